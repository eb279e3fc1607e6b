"""`reproduce`: the plan and its cost, and a small run from pictures to tables that is stopped and goes on."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from streamfilter.distort import parse
from streamfilter.errors import ConfigError
from tests.tiny_kit import write_kit
from trainer.__main__ import main
from trainer.label import LabelJob
from trainer.recipe.plan import Place
from trainer.recipe.steps import LabelStep, TrainStep
from trainer.reproduce.cost import Meter, pictures_of, seconds_left
from trainer.reproduce.plan import ACROSS, TABLES, _once, reproduce_steps
from trainer.reproduce.steps import JudgeStep, ScoreStep
from trainer.runs import TrainConfig

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_kit(tmp_path_factory.mktemp("reproduce"))


@pytest.fixture
def table(kit: Path, tmp_path: Path) -> LabelStep:
    networks = (str(kit / "networks" / "efficientnet_lite0_224.onnx"), str(kit / "networks" / "squeezenet1_1_227.onnx"))
    truth = kit / "classification" / "labels.csv"
    job = LabelJob(
        "classification", kit / "classification", networks, tmp_path / "labels", truth, parse("jpeg=1,5 noise=9"),
        "dev", workers=1,
    )  # fmt: skip
    return LabelStep(job, "jpeg=1,5 noise=9")


def meter(kit: Path, **known: float) -> Meter:
    """One that knows what things take."""
    names = {
        ("network", str(path), task): 2.0
        for path in (kit / "networks").glob("*.onnx")
        for task in ("classification", "detection")
    }
    distortions = {("distortion", "jpeg"): 0.25, ("distortion", "noise"): 1.0, ("small", "64"): 0.5}
    return Meter(np.zeros((64, 64, 3), np.uint8), None, {**names, **distortions, **known})


def test_labels_cost_their_pictures_versions_and_networks(kit, table):
    assert pictures_of(table.job) == 8
    each = 3 * (0.25 + 0.25 + 1.0) / 3 + (1 + 3) * 2 * 2.0
    assert seconds_left(table, meter(kit), [table]) == pytest.approx(8 * each)


def test_training_costs_its_rows_and_epochs(kit, table, tmp_path):
    config = TrainConfig(
        ("labels",), ("classification",), model="nano", balance="none", input_size=64, epochs=3, holdout=0.25
    )
    step = TrainStep(config, tmp_path / "run", None, (table,))
    known = meter(kit)
    shape = ("nano", "sgd", "64", "0", "cpu")
    known.known |= {("training", *shape): 4.0, ("answer", *shape): 1.0}
    rows = 8 * (1 + 3)
    looks = 3 * (0.75 * rows * 4.0 + 0.25 * rows) + 0.25 * rows
    make = 8 * 3 * 0.5 + rows * 0.5
    assert looks + make / 2 <= seconds_left(step, known, [table, step]) <= looks + make


def test_a_model_that_remembers_its_looks_looks_once(kit, table, tmp_path):
    job = replace(table.job, task="detection", images=kit / "detection", truth=kit / "detection" / "instances.json")
    config = TrainConfig(
        ("labels",), model="lite0_centred", target="confidence", balance="none", input_size=64, room=1, epochs=3,
        holdout=0.25,
    )  # fmt: skip
    step = TrainStep(config, tmp_path / "run", None, (LabelStep(job, "jpeg=1"),))
    known = meter(kit)
    shape = ("lite0_centred", "sgd", "64", "0", "cpu")
    known.known |= {("training", *shape): 0.5, ("answer", *shape): 4.0}
    rows = 8 * (1 + 3)
    learned, held = 0.75 * rows, 0.25 * rows
    least = 3 * learned * 0.5 + (learned + held) * 4.0
    assert least < seconds_left(step, known, [table, step]) <= least + (learned + held) * 1.5


def test_all_of_it_is_planned(kit, tmp_path):
    steps = reproduce_steps(Place.of(kit, tmp_path), smoke=True, with_paper=False)
    assert [step.out.name for step in steps if isinstance(step, TrainStep)] == [
        "utility-nano-288",
        "utility-nano",
        "utility-lite0",
        "utility-resnet18",
        "utility-nano-classification",
        "utility-nano-detection",
    ]
    assert len([step for step in steps if isinstance(step, ScoreStep)]) == 4
    judged = {step.request.what for step in steps if isinstance(step, JudgeStep)}
    assert judged == {"networks", "distortions", "discard", "figure1", "figure2", "calibration", "leak"}
    assert len({step.words for step in steps}) == len(steps)
    with_paper = reproduce_steps(Place.of(kit, tmp_path), smoke=True, with_paper=True)
    assert "paper" in [step.out.name for step in with_paper if isinstance(step, TrainStep)]
    requests = [step.request for step in steps if isinstance(step, JudgeStep)]
    across = [request.models for request in requests if str(request.name).startswith("across")]
    assert across == [("utility-nano", "utility-nano-classification", "utility-nano-detection")] * 2


def test_test_pictures_and_unseen_networks_serve_tables_only(kit, tmp_path):
    steps = reproduce_steps(Place.of(kit, tmp_path), smoke=True, with_paper=True)
    learned = {table.job.out for step in steps if isinstance(step, TrainStep) for table in step.tables}
    for step in steps:
        if isinstance(step, LabelStep) and step.job.out in learned:
            assert step.job.split == "dev" or "extra" in str(step.job.images)
            assert not [
                name for name in step.job.networks if "mobilenet_v1" in name or "edgetpu" in name or "fast" in name
            ]
        elif isinstance(step, LabelStep):
            assert step.job.split == "test"


def test_two_recipes_may_not_want_one_table_differently(table):
    other = LabelStep(table.job, "jpeg=1")
    assert _once([table, table]) == [table]
    with pytest.raises(ConfigError, match=r"two recipes want .*labels, classification differently"):
        _once([table, other])


def test_a_stopped_run_goes_on_to_the_last_table(kit, tmp_path, monkeypatch):
    (kit / "init").mkdir(exist_ok=True)
    options = ["reproduce", "--kit", str(kit), "--work", str(tmp_path), "--smoke"]
    monkeypatch.setattr("trainer.reproduce.seconds_left", lambda step, meter, steps: 0.0 if step.done() else 36.0)
    with monkeypatch.context() as patch:
        patch.setattr("trainer.reproduce.steps.score", _interrupt)
        stopped = CliRunner().invoke(main, options)
    assert stopped.exit_code == 130, (stopped.output, stopped.exception)
    assert stopped.stderr.endswith("stopped; the same command goes on\n")
    work = tmp_path / "smoke"
    made = {path: path.stat().st_mtime_ns for path in (work / "models").iterdir()}
    made |= {path: path.stat().st_mtime_ns for path in (work / "labels").rglob("*.parquet")}
    assert len(made) == 12 + 14
    with monkeypatch.context() as patch:
        patch.setattr("trainer.recipe.steps.train", None)
        patch.setattr("trainer.reproduce.steps.evaluate", None)
        done = CliRunner().invoke(main, options)
    assert done.exit_code == 0, (done.output, done.exception)
    assert {path: path.stat().st_mtime_ns for path in made} == made
    results = work / "benchmarks" / "results"
    assert {path.stem for path in results.glob("*.md")} == {name or what for what, _, _, name in (*TABLES, *ACROSS)} | {
        "leak",
        "networks-lite0",
    }
    assert "--even-labels" in (results / "networks-lite0.md").read_text()
    planned = CliRunner().invoke(main, [*options, "--plan"]).stdout.splitlines()
    assert all(line.endswith(" done") for line in planned[:-1])
    assert planned[-1].startswith("total: 0.00 hours on ")


def _interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_the_plan_measures_and_prints_a_total(kit, tmp_path):
    shown = CliRunner().invoke(main, ["reproduce", "--kit", str(kit), "--work", str(tmp_path), "--smoke", "--plan"])
    assert shown.exit_code == 0, (shown.output, shown.exception)
    lines = shown.stdout.splitlines()
    hours = [float(re.fullmatch(r".*\S  +(\d+\.\d\d) h", line)[1]) for line in lines[:-1]]
    total = re.fullmatch(r"total: (\d+\.\d\d) hours on .* cores, .*, from a measurement made now", lines[-1])
    assert float(total[1]) == pytest.approx(sum(hours), abs=0.005 * len(lines))
    assert not list(tmp_path.iterdir())
