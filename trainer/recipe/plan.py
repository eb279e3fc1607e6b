"""From a recipe and a kit to steps."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streamfilter.distort import parse
from streamfilter.errors import ConfigError, InputNotFoundError
from trainer.label import LabelJob
from trainer.networks.torchvision import NETWORKS
from trainer.recipe.file import KIT, Labels, Lesson, Recipe
from trainer.recipe.steps import ExportStep, LabelStep, Step, TeachStep, TrainStep
from trainer.runs import TrainConfig
from trainer.teach import TeachJob

TRUTH = {"classification": "labels.csv", "detection": "instances.json"}
EXTRA_SPLITS = "pictures.json"
RUN = "run:"
"""Prefix of initial weights that another recipe's run has learned."""


@dataclass(frozen=True)
class Place:
    """Where the inputs lie and the outputs go."""

    kit: Path
    """Folder of the kit."""
    work: Path
    """Folder of labels, runs and models."""
    weights_dir: Path | None = None
    """Folder of published weights; None to download them."""

    @classmethod
    def of(cls, kit: Path, work: Path, weights_dir: Path | None = None, smoke: bool = False) -> Place:
        """The place, as named from the current folder: a run remembers these names.

        Raises:
            InputNotFoundError: there is no kit.
        """
        if not (kit / "networks").is_dir() and not any((kit / part).is_dir() for part in TRUTH):
            raise InputNotFoundError(f"{kit} is not a kit: it has neither networks/ nor pictures; give another --kit")
        return cls(_near(kit), _near(work / "smoke" if smoke else work), weights_dir and _near(weights_dir))

    def networks(self, names: Sequence[str]) -> tuple[str, ...]:
        """Networks as `python -m trainer label` takes them.

        Raises:
            ConfigError: neither the kit nor torchvision has one of that name.
        """
        unknown = [name for name in names if not self._onnx(name).is_file() and name not in NETWORKS]
        if unknown:
            raise ConfigError(f"no network {', '.join(unknown)}: neither in {self.kit / 'networks'} nor torchvision's")
        return tuple(str(self._onnx(name)) if self._onnx(name).is_file() else name for name in names)

    def init(self, init: str) -> str:
        """Initial weights as `python -m trainer train` takes them.

        Raises:
            InputNotFoundError: the kit has no such file.
        """
        if init.startswith(RUN):
            return str(self.work / "runs" / init.removeprefix(RUN))
        if not init.startswith(KIT):
            return init
        path = self.kit / init.removeprefix(KIT)
        if not path.is_file():
            raise InputNotFoundError(f"{path}, where the recipe wants to start, does not exist")
        return str(path)

    def _onnx(self, name: str) -> Path:
        return self.kit / "networks" / f"{name}.onnx"


def _near(path: Path) -> Path:
    return Path(os.path.relpath(path))


def label_step(table: Labels, place: Place) -> LabelStep:
    """The step that makes this table.

    Raises:
        ConfigError: a network is unknown.
    """
    images = place.kit / table.pictures
    reference, split = table.reference, table.split
    truth = images / TRUTH[table.pictures] if table.pictures in TRUTH else None
    if truth is None and (images / EXTRA_SPLITS).is_file():
        truth, reference, split = images / EXTRA_SPLITS, "pristine", split or "dev"
    job = LabelJob(
        table.task, images, place.networks(table.networks), place.work / table.out, truth, parse(table.distortions),
        split, table.limit, place.weights_dir, sample=table.sample, reference=reference, augmented=table.augmented,
    )  # fmt: skip
    return LabelStep(job, table.distortions)


def teach_step(lesson: Lesson, place: Place) -> TeachStep:
    """The step that makes this taught table."""
    images = place.kit / lesson.pictures
    truth, split = images / TRUTH.get(lesson.pictures, EXTRA_SPLITS), lesson.split
    if lesson.pictures not in TRUTH:
        truth, split = (truth, split or "dev") if truth.is_file() else (None, split)
    job = TeachJob(
        place.work / "runs" / lesson.teacher, images, place.work / lesson.out, truth, parse(lesson.distortions),
        lesson.sample, lesson.augmented, split, lesson.limit,
    )  # fmt: skip
    return TeachStep(job, lesson.distortions)


def train_step(recipe: Recipe, place: Place) -> TrainStep:
    """The step that trains the recipe's network.

    Raises:
        InputNotFoundError: the kit lacks the weights to start from.
    """
    labels = tuple((place.work / name).as_posix() for name in recipe.train["labels"])
    init = {"init": place.init(recipe.train["init"])} if "init" in recipe.train else {}
    cache = {"cache_dir": str(place.work / recipe.train["cache_dir"])} if "cache_dir" in recipe.train else {}
    config = TrainConfig(**{**recipe.train, **init, **cache, "labels": labels})
    tables = (label_step(table, place) for table in recipe.labels if table.out in recipe.train["labels"])
    learned = tuple(table for table in tables if table.job.task in config.tasks)
    heard = tuple(teach_step(lesson, place) for lesson in recipe.lessons if lesson.out in recipe.train["labels"])
    return TrainStep(config, place.work / "runs" / recipe.about.name, place.weights_dir, learned, heard)


def export_step(recipe: Recipe, place: Place) -> ExportStep:
    """The step that exports it."""
    run, model = place.work / "runs" / recipe.about.name, place.work / "models" / recipe.export.model
    return ExportStep(run, model, recipe.export.keep_useful)


def recipe_steps(recipe: Recipe, place: Place) -> list[Step]:
    """Everything the recipe asks for, in order.

    Raises:
        ConfigError: a network is unknown.
        InputNotFoundError: the kit lacks the weights to start from.
    """
    labels = [label_step(table, place) for table in recipe.labels]
    lessons = [teach_step(lesson, place) for lesson in recipe.lessons]
    return [*labels, *lessons, train_step(recipe, place), export_step(recipe, place)]
