"""A recipe file: which labels, which training, which model; its command, time and expected result."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_type_hints

from streamfilter.distort import JPEG_QUALITIES, parse
from streamfilter.errors import ConfigError
from trainer.label import REFERENCES
from trainer.metrics import KEEP_SHARES
from trainer.recipe.checks import CHOICES, TRAIN_CHOICES, check_table
from trainer.runs import TrainConfig

PICTURES = ("classification", "detection", "extra")
KIT = "kit:"
SECTIONS = ("recipe", "labels", "lessons", "train", "export", "smoke")
JPEG = "jpeg=" + ",".join(map(str, JPEG_QUALITIES))


@dataclass(frozen=True)
class About:
    """What a person wants to know before running it."""

    name: str
    """Of the run folder."""
    about: str
    """What it makes and why."""
    time: str
    """How long it takes, and on what machine that was measured."""
    expected: str
    """The result it gave there."""


@dataclass(frozen=True)
class Labels:
    """One label table."""

    out: str
    """Its folder under the work folder."""
    task: str
    """`classification` or `detection`."""
    pictures: str
    """The kit's pictures: `classification`, `detection` or `extra`."""
    networks: tuple[str, ...]
    """The kit's networks without `.onnx`, or torchvision's names."""
    reference: str = "truth"
    """`truth` or `pristine`; pictures without a truth have the pristine decision whatever is said here."""
    split: str | None = None
    """Only this split; None for all."""
    distortions: str = JPEG
    """As `python -m trainer label` takes them."""
    sample: int | None = None
    """Distortions drawn for each picture; None for all the given ones."""
    limit: int | None = None
    """Only the first so many pictures; None for all."""
    augmented: int = 0
    """Augmented versions labelled in the place of each picture; 0 for the picture itself."""


@dataclass(frozen=True)
class Lesson:
    """One taught table."""

    out: str
    """Its folder under the work folder."""
    teacher: str
    """Name of the recipe whose run says what networks would."""
    pictures: str
    """The kit's pictures: `classification`, `detection` or `extra`."""
    split: str | None = None
    """Only this split; None for all."""
    distortions: str = "all"
    """As `python -m trainer teach` takes them."""
    sample: int = 3
    """Distortions drawn for each crop."""
    limit: int | None = None
    """Only the first so many pictures; None for all."""
    augmented: int = 1
    """Crops of each picture."""


@dataclass(frozen=True)
class Export:
    """The model file."""

    model: str
    """Its name under `models/`."""
    keep_useful: float = 0.85
    """Share of the held-back useful pictures that the default thresholds keep."""


@dataclass(frozen=True)
class Recipe:
    """A checked recipe."""

    about: About
    """For people."""
    labels: tuple[Labels, ...]
    """The label tables."""
    train: Mapping[str, Any]
    """Fields of `TrainConfig`; folders and the initial weights as the file names them."""
    export: Export
    """The model file."""
    lessons: tuple[Lesson, ...] = ()
    """The taught tables."""

    def only(self, task: str) -> Recipe:
        """The same for one task alone, from the same weights, under names that end in the task.

        Raises:
            ConfigError: no label table is of that task.
        """
        tables = tuple(table for table in self.labels if table.task == task)
        if not tables:
            raise ConfigError(f"{self.about.name} labels no {task}; it labels {self.labels[0].task}")
        outs = {one.out for one in (*tables, *self.lessons)}
        train = {**self.train, "tasks": (task,), "labels": tuple(out for out in self.train["labels"] if out in outs)}
        about = replace(self.about, name=f"{self.about.name}-{task}")
        model = self.export.model.removesuffix(".onnx")
        return Recipe(about, tables, train, replace(self.export, model=f"{model}-{task}.onnx"), self.lessons)


def load_recipe(path: Path, smoke: bool = False) -> Recipe:
    """The recipe of a TOML file.

    Args:
        path: the file.
        smoke: take the small size, its `[smoke]`.

    Raises:
        ConfigError: it cannot be read, or has mistakes; a line for each, with the file and the key.
    """
    content = _read(path)
    problems = [f"[{name}] is unknown; known: {', '.join(SECTIONS)}" for name in content if name not in SECTIONS]
    about, wrong = check_table("recipe", content.get("recipe", {}), get_type_hints(About), get_type_hints(About))
    problems += wrong + [f"recipe.{key} is empty" for key in ("name", "about") if about.get(key) == ""]
    labels, wrong = _labels(content.get("labels"))
    problems += wrong
    lessons, wrong = _lessons(content.get("lessons", []))
    problems += wrong
    outs = [one["out"] for one in (*labels, *lessons) if "out" in one]
    train, wrong = _train("train", content.get("train", {}), outs)
    problems += wrong + [f"two tables have the out {out!r}" for out in _shared(labels, lessons)]
    export, wrong = check_table("export", content.get("export", {}), get_type_hints(Export), ("model",))
    problems += wrong + _wrong_export(export)
    small, wrong = _smoke(content.get("smoke", {}), train)
    problems += wrong
    if problems:
        raise ConfigError("\n".join(f"{path}: {problem}" for problem in problems))
    tables = tuple(Labels(**one) for one in labels)
    taught = tuple(Lesson(**one) for one in lessons)
    recipe = Recipe(About(**about), tables, train, Export(**export), taught)
    return _smaller(recipe, small) if smoke else recipe


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the recipe {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error


def _labels(given: object) -> tuple[list[dict[str, Any]], list[str]]:
    if not isinstance(given, list) or not given:
        return [], ["[[labels]] is missing: name at least one label table"]
    required = ("out", "task", "pictures", "networks")
    choices = {**CHOICES, "pictures": PICTURES, "reference": REFERENCES}
    tables: list[dict[str, Any]] = []
    problems = []
    for index, table in enumerate(given, 1):
        where = f"labels[{index}]"
        good, wrong = check_table(where, table, get_type_hints(Labels), required, choices)
        problems += wrong + [f"{where}.{line}" for line in _wrong_labels(good)]
        same = [
            one
            for one in tables
            if "out" in one and (one["out"], one.get("task")) == tuple(map(good.get, ("out", "task")))
        ]
        problems += [f"{where}.out is {good['out']!r}, which has a table of that task already"] if same else []
        tables.append(good)
    return tables, problems


def _lessons(given: object) -> tuple[list[dict[str, Any]], list[str]]:
    if not isinstance(given, list):
        return [], ["[[lessons]] is not a list of tables"]
    required = ("out", "teacher", "pictures")
    lessons, problems = [], []
    for index, lesson in enumerate(given, 1):
        where = f"lessons[{index}]"
        good, wrong = check_table(where, lesson, get_type_hints(Lesson), required, {"pictures": PICTURES})
        problems += wrong + [f"{where}.{line}" for line in _wrong_labels({"networks": ("teacher",), **good})]
        problems += [f"{where}.augmented is 0, expected at least 1"] if good.get("augmented") == 0 else []
        lessons.append(good)
    return lessons, problems


def _shared(labels: Sequence[Mapping[str, Any]], lessons: Sequence[Mapping[str, Any]]) -> list[str]:
    """Folders of lessons that something else has as well."""
    outs = [*{one["out"] for one in labels if "out" in one}, *(one["out"] for one in lessons if "out" in one)]
    return sorted({out for out in outs if outs.count(out) > 1})


def _wrong_labels(table: Mapping[str, Any]) -> list[str]:
    networks = table.get("networks", ("one",))
    checks = {
        "networks must be different, at least one": 0 < len(networks) == len(set(networks)),
        f"sample is {table.get('sample')}, expected at least 1": table.get("sample", 1) >= 1,
        f"augmented is {table.get('augmented')}, expected at least 0": table.get("augmented", 0) >= 0,
        f"limit is {table.get('limit')}, expected at least 1": table.get("limit", 1) >= 1,
        f"out is {table.get('out')!r}, expected a folder under the work folder": _is_inside(table.get("out", "labels")),
    }
    return [problem for problem, passed in checks.items() if not passed] + _wrong_distortions(table)


def _wrong_distortions(table: Mapping[str, Any]) -> list[str]:
    try:
        parse(table.get("distortions", JPEG))
    except ConfigError as error:
        return [f"distortions: {error}"]
    return []


def _is_inside(name: str) -> bool:
    return bool(name) and not Path(name).is_absolute() and ".." not in Path(name).parts


def _train(where: str, given: object, outs: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    train, problems = check_table(where, given, get_type_hints(TrainConfig), ("labels",), TRAIN_CHOICES)
    unmade = [name for name in train.get("labels", ()) if name not in outs]
    problems += [f"{where}.labels names {name!r}, which no [[labels]] makes" for name in unmade]
    return train, problems + _out_of_range(where, {"labels": ("labels",), **train})


def _out_of_range(where: str, settings: Mapping[str, Any]) -> list[str]:
    try:
        TrainConfig(**settings)
    except ConfigError as error:
        return [f"[{where}] {problem}" for problem in str(error).split("; ")]
    return []


def _wrong_export(export: Mapping[str, Any]) -> list[str]:
    name, keep = export.get("model", "m.onnx"), export.get("keep_useful", KEEP_SHARES[0])
    shares = ", ".join(map(str, KEEP_SHARES))
    checks = {
        f"export.model is {name!r}, expected a file name ending in .onnx": Path(name).name == name.strip()
        and Path(name).suffix == ".onnx",
        f"export.keep_useful is {keep}, expected one of {shares}": keep in KEEP_SHARES,
    }
    return [problem for problem, passed in checks.items() if not passed]


def _smoke(given: object, train: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    own = {"limit": int, "distortions": str}
    hints = {**own, **get_type_hints(TrainConfig)}
    del hints["labels"]
    small, problems = check_table("smoke", given, hints, choices=TRAIN_CHOICES)
    problems += [f"smoke.{line}" for line in _wrong_labels({key: small[key] for key in own if key in small})]
    settings = {key: value for key, value in small.items() if key not in own}
    known = _out_of_range("train", {"labels": ("labels",), **train})
    return small, problems + ([] if known else _out_of_range("smoke", {"labels": ("labels",), **train, **settings}))


def _smaller(recipe: Recipe, small: Mapping[str, Any]) -> Recipe:
    distortions = {"distortions": small["distortions"], "sample": None} if "distortions" in small else {}
    limit = {"limit": small["limit"]} if "limit" in small else {}
    tables = tuple(replace(table, **distortions, **limit) for table in recipe.labels)
    kinds = {"distortions": small["distortions"], "sample": 2} if "distortions" in small else {}
    lessons = tuple(replace(lesson, **kinds, **limit) for lesson in recipe.lessons)
    settings = {key: value for key, value in small.items() if key not in ("limit", "distortions")}
    return replace(recipe, labels=tables, lessons=lessons, train={**recipe.train, **settings})
