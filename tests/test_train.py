"""Training: exact resumption, refusals, what a run folder holds, and that it learns."""

import json
import math
import os
import shutil
import signal
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from streamfilter.errors import ConfigError, DeviceError, InputError, ModelError, OutputError
from tests.labelled import write_labels
from trainer import loop
from trainer.__main__ import main
from trainer.alone import alone_in
from trainer.loop import learning_rate, masked_cross_entropy, stop_on_signal
from trainer.models import build, load
from trainer.runs import RunFolder, TrainConfig
from trainer.state import Tally
from trainer.train import choose_precision, train

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_labels(tmp_path_factory.mktemp("labelled"), 20)


@pytest.fixture(scope="module")
def config(labels: Path) -> TrainConfig:
    return TrainConfig(
        labels=(str(labels),), tasks=("classification",), model="mobilenet_v3_small", input_size=32, epochs=4,
        batch_size=12, lr=0.1, threads=1, cache_mb=16, holdout=0.3,
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained(config: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    assert train(config, out, command="python -m trainer train ...")
    return out


def stop_after(steps: int):
    @contextmanager
    def stopping():
        asked = iter(range(1, 10**9))
        yield lambda: next(asked) >= steps

    return stopping


def test_a_resumed_run_equals_an_unbroken_one(config, trained, tmp_path, monkeypatch):
    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(loop, "stop_on_signal", stop_after(5))
            assert not train(config, tmp_path)
    with pytest.raises(ModelError, match=r"not finished \([123] of 4 epochs\)"):
        load(tmp_path)
    assert train(config, tmp_path, command="python -m trainer train ...")
    unbroken, resumed = (RunFolder(path).load_checkpoint()["model"] for path in (trained, tmp_path))
    for key, weights in unbroken.items():
        assert torch.equal(weights, resumed[key]), key
    assert (trained / "history.jsonl").read_text() == (tmp_path / "history.jsonl").read_text()
    judged = [json.loads((path / "metrics.json").read_text())["held_back"]["tasks"] for path in (trained, tmp_path)]
    assert judged[0] == judged[1]


def test_a_run_folder_holds_its_record(trained):
    record, split = (json.loads((trained / name).read_text()) for name in ("run.json", "split.json"))
    assert record["command"] == "python -m trainer train ..."
    assert record["config"]["seed"] == 0
    assert record["labels"][0]["networks"] == ["detail"]
    assert "--distortions jpeg=1,40,50" in record["labels"][0]["command"]
    counts = record["counts"]["classification"]
    assert counts["balanced"][0] == counts["balanced"][1] == max(counts["labelled"])
    assert not set(split["training"]) & set(split["held_back"])
    assert len(split["training"]) + len(split["held_back"]) == 20
    with Image.open(trained / "curve.png") as curve:
        assert curve.width > 600
        assert len(np.unique(np.asarray(curve.convert("L")))) > 10
    assert not list(trained.glob("*.part"))


def test_it_learns(trained):
    """Pictures at quality 1 against hardly compressed ones: the loss must fall from that of a coin, ln 2."""
    losses = [json.loads(line)["training"]["loss"] for line in (trained / "history.jsonl").read_text().splitlines()]
    assert len(losses) == 4
    assert losses[-1] < 0.67 < losses[0] + 0.05


def test_a_run_can_start_from_the_weights_of_another(config, trained, tmp_path):
    started = build(config.model, config.tasks, str(trained), front=config.front).backbone.state_dict()
    for key, weights in load(trained).backbone.state_dict().items():
        assert torch.equal(weights, started[key]), key
    assert train(replace(config, epochs=1, init=str(trained)), tmp_path, command="second")
    record = json.loads((tmp_path / "run.json").read_text())
    (first,) = record["started_from"]
    assert first["command"] == "python -m trainer train ..."
    assert first["labels"] == [label["command"] for label in record["labels"]]
    with pytest.raises(ConfigError, match="is a mobilenet_v3_small for classification with front residual"):
        build("shufflenet_v2_x0_5", config.tasks, str(trained))


def test_a_run_never_starts_from_itself(config, trained):
    before = {path.name: path.read_bytes() for path in trained.iterdir()}
    with pytest.raises(ConfigError, match="cannot start from itself"):
        train(replace(config, init=str(trained)), trained, fresh=True)
    assert {path.name: path.read_bytes() for path in trained.iterdir()} == before


def test_a_share_of_the_initial_weights_stays(config, trained, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"share of the initial weights 1\.5 outside 0-1; .*give --init"):
        replace(config, keep_initial=1.5)
    changed, kept = (replace(config, epochs=1, init=str(trained), keep_initial=share) for share in (0.0, 0.25))
    assert train(changed, tmp_path / "changed")
    with monkeypatch.context() as patch:
        patch.setattr(loop, "stop_on_signal", stop_after(2))
        assert not train(kept, tmp_path / "kept")
    for _ in range(2):  # the second time it is finished already
        assert train(kept, tmp_path / "kept")
    before, after, mixed = (
        load(run).backbone.state_dict() for run in (trained, tmp_path / "changed", tmp_path / "kept")
    )
    assert any(not torch.equal(before[key], after[key]) for key in before)
    for key, weights in mixed.items():
        if weights.is_floating_point():
            torch.testing.assert_close(weights, 0.25 * before[key] + 0.75 * after[key], rtol=2e-3, atol=2e-4)


def test_another_recipe_is_refused_with_its_differences(config, trained):
    before = {path.name: path.read_bytes() for path in trained.iterdir()}
    with pytest.raises(ConfigError, match=r"epochs was 4, now 2; .*lr was 0\.1, now 0\.2.*--fresh"):
        train(replace(config, epochs=2, lr=0.2), trained)
    assert {path.name: path.read_bytes() for path in trained.iterdir()} == before


def test_a_run_that_diverges_stops_where_it_does(config, tmp_path):
    with pytest.raises(ModelError, match=r"out diverged at epoch 1, step [23] of \d+: the loss is nan; train anew at"):
        train(replace(config, lr=1e30), tmp_path / "out")


def test_settings_that_an_older_run_lacks_are_no_other_recipe(config, trained, tmp_path):
    old = shutil.copytree(trained, tmp_path / "old")
    checkpoint = RunFolder(old).load_checkpoint()
    for key in ("target", "optimizer", "room", "patch", "networks"):
        del checkpoint["recipe"][key]
    RunFolder(old).save_checkpoint(checkpoint)
    assert train(config, old)
    with pytest.raises(ConfigError, match="patch was 0, now 16"):
        train(replace(config, patch=16), old)


def test_confidences_are_learned_by_a_head_for_each_network(config, labels, tmp_path):
    confident = replace(config, target="confidence", balance="none", optimizer="adamw", lr=0.003, epochs=2, patch=24)
    assert train(confident, tmp_path)
    net = load(tmp_path)
    assert net.networks == (("classification", "detail"),)
    assert len(net.scale) == 2
    assert net(torch.zeros(1, 32, 32, 3, dtype=torch.uint8)).shape == (1, 1)


def test_a_damaged_checkpoint_is_named(config, tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"broken")
    with pytest.raises(ModelError, match=r"checkpoint\.pt is damaged"):
        train(config, tmp_path)
    torch.save({"weights": torch.zeros(1)}, tmp_path / "checkpoint.pt")
    for use in (lambda: train(config, tmp_path), lambda: load(tmp_path)):
        with pytest.raises(ModelError, match="is no checkpoint of a run"):
            use()


def test_starting_over_leaves_nothing_of_the_run_before(config, trained, tmp_path, monkeypatch):
    again = shutil.copytree(trained, tmp_path / "again")
    RunFolder(again).update_metrics("test", {"tasks": {}})
    monkeypatch.setattr(loop, "stop_on_signal", stop_after(1))
    assert not train(replace(config, epochs=2), again, fresh=True)
    assert {path.name for path in again.iterdir()} == {
        "balance-classification.parquet", "checkpoint.pt", "run.json", "split.json",
    }  # fmt: skip
    with pytest.raises(ModelError, match="not finished"):
        load(again)


def test_two_runs_do_not_train_into_one_folder(config, tmp_path):
    with alone_in(tmp_path), pytest.raises(OutputError, match="another process is writing into"):
        train(config, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_record_that_is_no_object_is_named(tmp_path):
    (tmp_path / "run.json").write_text("7")
    with pytest.raises(ModelError, match=r"run\.json is not a JSON object"):
        RunFolder(tmp_path).read_json("run.json")


def test_test_pictures_are_never_trained_on(config, tmp_path):
    labels = write_labels(tmp_path, 6, test=[3])
    with pytest.raises(InputError, match="split `test`"):
        train(replace(config, labels=(str(labels),)), tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0, "lr": 0.0}, "epochs 0 under 1; learning rate 0.0 not above 0"),
        ({"batch_size": 1}, "batch size 1 under 2"),
        ({"seed": -1, "room": math.inf}, "seed -1 under 0; room inf outside 1-8"),
        ({"lr": math.inf, "checkpoint_minutes": math.nan}, "learning rate inf .*; nan minutes between"),
        ({"tasks": ("classification", "classification")}, "tasks must be distinct"),
        ({"holdout": 1.0}, "outside 0-1"),
    ],
)
def test_settings_out_of_range_are_all_listed(config, changes, message):
    with pytest.raises(ConfigError, match=message):
        replace(config, **changes)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_where_there_is_none_is_refused(config, tmp_path):
    with pytest.raises(DeviceError, match="no CUDA device"):
        train(replace(config, device="cuda"), tmp_path)


def test_unlabelled_entries_weigh_nothing():
    logits = torch.tensor([[2.0, 50.0], [-1.0, 3.0]])
    labels = torch.tensor([[1.0, math.nan], [0.0, 0.0]])
    weights = torch.tensor([[1.0, 1.0], [3.0, 1.0]])
    losses = [math.log1p(math.exp(-2)), math.log1p(math.exp(-1)), math.log1p(math.exp(3))]
    expected = (losses[0] + losses[1] + 3 * losses[2]) / 5
    assert masked_cross_entropy(logits, labels, weights).item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("place", "rate"), [(0, 0), (0.05, 0.5), (0.1, 1), (0.55, 0.5), (1, 0), (1.1, 0)], ids=lambda value: f"{value:g}"
)
def test_the_rate_rises_then_falls_along_half_a_cosine(place, rate):
    assert learning_rate(1.0, 0.1, place) == pytest.approx(rate, abs=1e-9)


def test_the_tally_of_worked_numbers():
    tally = Tally.empty(1)
    tally.add(np.array([[1.0], [-1.0], [1.0], [5.0]], np.float32), np.array([[1], [1], [0], [np.nan]], np.float32))
    point = tally.point(("classification",))
    assert point["balanced_accuracy"] == {"classification": pytest.approx((1 / 2 + 0) / 2)}
    assert point["loss"] == pytest.approx((math.log1p(math.exp(-1)) + 2 * math.log1p(math.exp(1))) / 3)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_becomes_a_flag(number):
    before = signal.getsignal(number)
    with stop_on_signal() as stopping:
        assert not stopping()
        os.kill(os.getpid(), number)
        assert stopping()
    assert signal.getsignal(number) is before


def test_precision_follows_the_processor(caplog):
    caplog.set_level("INFO")
    chosen = choose_precision(torch.device("cpu"))
    assert ("bfloat16 (autocast)" in caplog.text) == (chosen is torch.bfloat16)
    assert ("float32: no native" in caplog.text) == (chosen is torch.float32)


def test_the_command_trains_prints_a_table_and_refuses_in_one_line(labels, tmp_path):
    options = ["--labels", str(labels), "--tasks", "classification", "--model", "mobilenet_v3_small"]
    options += ["--input-size", "32", "--epochs", "1", "--balance", "weights", "--threads", "1"]
    done = CliRunner().invoke(main, ["train", *options, "--out", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("| task | useful / not |")
    assert "| classification |" in done.stdout
    refused = CliRunner().invoke(main, ["train", *options[:1], str(tmp_path / "none"), "--out", str(tmp_path / "run")])
    assert refused.exit_code == 1
    assert refused.stderr.strip().splitlines() == [
        f"Error: {tmp_path / 'none'} is not a folder; make labels with `python -m trainer label`"
    ]
    unknown = CliRunner().invoke(main, ["train", *options, "--tasks", "segmentation", "--out", "x"])
    assert unknown.exit_code == 2
