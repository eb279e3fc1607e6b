"""Everything from pictures to the tables of the evaluation, as steps in order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from streamfilter.distort import JPEG_QUALITIES
from streamfilter.errors import ConfigError
from streamfilter.spec import TASKS
from trainer.judge import Request
from trainer.recipe.file import Labels, Recipe, load_recipe
from trainer.recipe.plan import Place, export_step, label_step, teach_step, train_step
from trainer.recipe.steps import LabelStep, Step
from trainer.reproduce.steps import EvaluateStep, JudgeStep, ScoreStep
from trainer.score import ScoreJob

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
SHIPPED, PAPER = ("large", "default", "accurate", "resnet18"), "paper"
"""Recipes in the order in which they need each other; the first is a stage of the second."""
SINGLE = "default"
"""Recipe that is made for each task alone as well, to compare with both together (tables III and IV)."""
EVEN = "accurate"
"""Recipe whose model is judged as well where even classes are divided, found on the pictures that its run held back."""
UNSEEN = {
    "classification": ("mobilenet_v1_075_192_int8", "mobilenet_edgetpu_075_224_int8"),
    "detection": ("fastestdet_352",),
}
SEEN = {
    "classification": ("efficientnet_lite0_224", "mobilenet_v2_224_int8", "squeezenet1_1_227"),
    "detection": ("picodet_s_416", "yolox_nano_416", "nanodet_m_416"),
}
SMOKE_PICTURES, SMOKE_SEEN, SMOKE_UNSEEN = 8, "jpeg=1,50", "jpeg=4,40"
MANY, SAME_QUALITIES = "labels/dev-many", "labels/dev"
"""Development tables: of all kinds of distortions, and of the qualities at which the labelling networks judge."""
NEW_QUALITIES, MANY_KINDS = "test-unseen", "test-many"


@dataclass(frozen=True)
class TestTable:
    """Labels of the test pictures for both tasks."""

    __test__ = False

    name: str
    """Of the folder under labels/, and of the score table."""
    networks: Mapping[str, tuple[str, ...]]
    """Who labels, by task."""
    distortions: str
    """As typed."""
    sample: int | None = None
    """Distortions drawn for each picture; None for all."""

    def labels(self, smoke: bool) -> list[Labels]:
        """One label table a task."""
        full = [
            Labels(
                f"labels/{self.name}", task, task, names, split="test", distortions=self.distortions, sample=self.sample
            )
            for task, names in self.networks.items()
        ]
        few = SMOKE_UNSEEN if self.name == NEW_QUALITIES else SMOKE_SEEN
        small = (replace(table, limit=SMOKE_PICTURES, distortions=few, sample=None) for table in full)
        return list(small) if smoke else full


TESTS = (
    TestTable("test", SEEN, "jpeg=" + ",".join(map(str, JPEG_QUALITIES))),
    TestTable(NEW_QUALITIES, UNSEEN, "jpeg=4,6,10,15,22,40"),
    TestTable(MANY_KINDS, UNSEEN, "all", 16),
)
TABLES = (
    ("networks", "test", None, None),
    ("figure1", "test", None, None),
    ("calibration", "test", None, None),
    ("discard", "test", None, "discard-jpeg"),
    ("figure2", NEW_QUALITIES, None, None),
    ("distortions", NEW_QUALITIES, "unseen-jpeg", "distortions-unseen-jpeg"),
    ("distortions", MANY_KINDS, None, None),
    ("discard", MANY_KINDS, None, None),
    ("calibration", MANY_KINDS, None, "calibration-many"),
)
"""What `python -m trainer judge` makes of which test table, with which rows, under which name; None for its own."""
ACROSS = (("networks", "test", None, "across-labels"), ("figure2", NEW_QUALITIES, None, "across"))
"""The same with one model for both tasks and one for each."""
EVEN_TABLE = ("networks", TESTS[0].name, "networks-lite0")
"""What is judged at that point, of which test table, under which name."""


def reproduce_steps(place: Place, smoke: bool, with_paper: bool) -> list[Step]:
    """Labels, training, evaluation, export, scores and tables.

    Raises:
        ConfigError: a recipe has mistakes, or two recipes want one label table differently.
        InputNotFoundError: the kit lacks weights to start from.
    """
    names = (*SHIPPED, PAPER) if with_paper else SHIPPED
    recipes = [load_recipe(RECIPES / f"{name}.toml", smoke) for name in names]
    singles = [load_recipe(RECIPES / f"{SINGLE}.toml", smoke).only(task) for task in TASKS]
    learned = _once(label_step(table, place) for recipe in recipes for table in recipe.labels)
    tests = {test.name: [label_step(table, place) for table in test.labels(smoke)] for test in TESTS}
    judged = [step for steps in tests.values() for step in steps]
    trained = [step for recipe in (*recipes, *singles) for step in _model_steps(recipe, place)]
    scored = [_score_step(name, steps, [*recipes, *singles], place) for name, steps in tests.items()]
    even = _even_steps(recipes[SHIPPED.index(EVEN)], learned, place)
    return [*learned, *judged, *trained, *scored, *_judge_steps(recipes, singles, learned, place), *even]


def _once(steps: Iterable[LabelStep]) -> list[LabelStep]:
    found: dict[tuple[Path, str], LabelStep] = {}
    for step in steps:
        if found.setdefault((step.job.out, step.job.task), step) != step:
            raise ConfigError(f"two recipes want {step.job.out}, {step.job.task} differently; rename one's `out`")
    return list(found.values())


def _model_steps(recipe: Recipe, place: Place) -> list[Step]:
    train, export = train_step(recipe, place), export_step(recipe, place)
    taught = (teach_step(lesson, place) for lesson in recipe.lessons)
    return [*taught, train, EvaluateStep(train.out, place.work / "labels" / TESTS[0].name, train.config.tasks), export]


def _score_step(name: str, tables: Sequence[LabelStep], recipes: Sequence[Recipe], place: Place) -> ScoreStep:
    """Runs where single networks are judged, for only they have a head for each; else the models that ship."""
    runs = tuple(train_step(recipe, place).out for recipe in recipes)
    models = tuple(export_step(recipe, place).out.as_posix() for recipe in recipes)
    single = name == TESTS[0].name
    energy = Path(place.networks(SEEN["classification"][:1])[0])
    folders = tuple(dict.fromkeys(table.job.out for table in tables))
    job = ScoreJob(
        folders, place.work / "scores" / f"{name}.parquet", models=() if single else models,
        runs=tuple(run.as_posix() for run in runs) if single else (), energy_network=energy,
    )  # fmt: skip
    return ScoreStep(job, tuple(table.job for table in tables))


def _judge_steps(
    recipes: Sequence[Recipe], singles: Sequence[Recipe], learned: Sequence[LabelStep], place: Place
) -> list[Step]:
    results, labels = place.work / "benchmarks" / "results", place.work / "labels"
    dev = tuple(dict.fromkeys(step.job.out for step in learned))
    runs = tuple(train_step(recipe, place).out for recipe in (*recipes, *singles))
    leak = Request("leak", tuple(labels / test.name for test in TESTS), results, dev_labels=dev, runs=runs)
    steps: list[Step] = [JudgeStep(leak)]
    compared = [recipes[SHIPPED.index(SINGLE)], *singles]
    for what, test, rows, name in (*TABLES, *ACROSS):
        chosen = compared if (what, test, rows, name) in ACROSS else recipes
        scorers = _run_names(chosen, place) if test == TESTS[0].name else _model_names(chosen, place)
        oracle = (place.work / MANY,) if what == "distortions" or test == MANY_KINDS else ()
        scores = place.work / "scores" / f"{test}.parquet"
        request = Request(
            what, (labels / test,), results, (scores,), tuple(scorers), dev_labels=oracle, rows=rows, name=name
        )
        steps.append(JudgeStep(request))
    return steps


def _even_steps(recipe: Recipe, learned: Sequence[LabelStep], place: Place) -> list[Step]:
    """The held-back pictures' scores, at the qualities that judge, and the table at the point found on them."""
    what, test, name = EVEN_TABLE
    run, labels = train_step(recipe, place).out, place.work / SAME_QUALITIES
    scores, results = place.work / "scores", place.work / "benchmarks" / "results"
    held = scores / f"held-{run.name}.parquet"
    job = ScoreJob((labels,), held, runs=(run.as_posix(),), rivals=(), held_back=run)
    request = Request(
        what, (place.work / "labels" / test,), results, (scores / f"{test}.parquet",), (run.name,), name=name,
        even_labels=(labels,), even_scores=(held,),
    )  # fmt: skip
    return [ScoreStep(job, tuple(step.job for step in learned if step.job.out == labels)), JudgeStep(request)]


def _run_names(recipes: Sequence[Recipe], place: Place) -> list[str]:
    return [train_step(recipe, place).out.name for recipe in recipes]


def _model_names(recipes: Sequence[Recipe], place: Place) -> list[str]:
    return [export_step(recipe, place).out.stem for recipe in recipes]
