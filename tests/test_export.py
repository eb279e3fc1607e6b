"""Export: the file runs in the runtime, agrees with torch, carries its spec and card, or is not there at all."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner

from export import export_run, parity
from export.__main__ import main
from export.card import _commands
from streamfilter.errors import ConfigError, InputNotFoundError, ModelError, OutputError
from streamfilter.scorer import Scorer
from tests.labelled import write_labels, write_pictures
from trainer.models import load
from trainer.runs import TrainConfig
from trainer.train import train

torch.set_num_threads(1)
COMMAND = "python -m trainer train --labels labels/dev --out runs/x"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("labelled")
    labels = write_labels(root, 16)
    config = TrainConfig(
        labels=(str(labels),), tasks=("classification",), model="mobilenet_v3_small", input_size=32, epochs=1,
        batch_size=16, threads=1, cache_mb=16, balance="none", holdout=0.4,
    )  # fmt: skip
    assert train(config, root / "run", command=COMMAND)
    return root / "run"


@pytest.fixture(scope="module")
def int8_run(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("int8")
    config = json.loads((run / "run.json").read_text())["config"]
    settings = {key: tuple(value) if isinstance(value, list) else value for key, value in config.items()}
    config = TrainConfig(**{**settings, "weights": "int8"}, threads=1, cache_mb=16)
    assert train(config, root / "run", command=COMMAND)
    return root / "run"


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("model") / "utility-small.onnx"
    export_run(run, out, command="python -m export runs/x --out utility-small.onnx")
    return out


def test_the_runtime_gives_the_calibrated_probabilities_at_any_batch_size(run, exported):
    scorer = Scorer(str(exported), device="cpu", threads=1)
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    with torch.inference_mode():
        wanted = load(run).probabilities(torch.from_numpy(images)).numpy()
    for count in (1, 2, 5):
        assert np.allclose(scorer.score(images[:count]), wanted[:count], atol=1e-4)


def test_the_spec_is_the_runs_record(run, exported):
    spec = Scorer(str(exported), device="cpu", threads=1).spec
    record, metrics = (json.loads((run / name).read_text()) for name in ("run.json", "metrics.json"))
    assert (spec.name, spec.input_size, spec.tasks) == ("utility-small", 32, ("classification",))
    assert spec.training["command"] == COMMAND
    assert spec.training["config"] == record["config"]
    held_back = metrics["held_back"]["tasks"]["classification"]
    assert spec.thresholds == {"classification": round(held_back["threshold_to_keep"]["0.85"], 3)}
    assert spec.measured["held_back"]["classification"]["accuracy"] == held_back["accuracy"]


def test_the_graph_is_clean(exported):
    model = onnx.load(exported)
    assert not [node for node in model.graph.node if node.doc_string or node.metadata_props]
    dims = model.graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_param or dim.dim_value for dim in dims] == ["N", 32, 32, 3]


def test_weights_are_stored_in_half_the_bytes(exported, run):
    weights = sum(tensor.numel() for tensor in load(run).parameters())
    assert 2 * weights < exported.stat().st_size < 2.5 * weights


def test_int8_weights_take_a_quarter_of_the_bytes_and_say_what_torch_says(int8_run, tmp_path):
    out = tmp_path / "utility-int8.onnx"
    _, difference = export_run(int8_run, out)
    assert difference < 1e-5
    weights = sum(tensor.numel() for tensor in load(int8_run).parameters())
    assert weights < out.stat().st_size < 1.5 * weights
    assert "weights stored as int8" in out.with_suffix(".md").read_text()
    kinds = {tensor.data_type for tensor in onnx.load(out).graph.initializer if len(tensor.dims) == 4}
    assert onnx.TensorProto.INT8 in kinds
    assert onnx.TensorProto.FLOAT16 not in kinds


def test_the_card_tells_what_the_record_says(run, exported):
    card = exported.with_suffix(".md").read_text()
    held_back = json.loads((run / "metrics.json").read_text())["held_back"]["tasks"]["classification"]
    figures = [held_back[name] for name in ("accuracy", "balanced_accuracy", "auroc", "auprc", "ece")]
    figures += [held_back[part][name] for part in ("jpeg", "quality_oracle") for name in ("balanced_accuracy", "auroc")]
    assert " | ".join("-" if value is None else f"{value:.3f}" for value in figures) in card
    assert COMMAND in card
    assert "python -m export runs/x --out utility-small.onnx" in card
    assert "python -m trainer label --task classification" in card
    assert "jpeg at 1, 40, 50" in card
    assert f"{exported.stat().st_size / 1e6:.1f} MB" in card
    assert "detail" in card


def test_the_card_has_the_label_commands_of_the_run_it_started_from():
    first = {"command": "train first", "commit": "abc", "labels": ["label crops", "label pictures"]}
    record = {"started_from": [first], "labels": [{"command": "label pictures"}], "command": "train second"}
    said = _commands(record, {"held_back": {}, "test": {"command": "evaluate"}}, "export")
    wanted = ["label crops", "label pictures", "train first  # at commit abc", "train second", "evaluate", "export"]
    assert said == wanted


def test_a_graph_that_differs_leaves_nothing(run, tmp_path, monkeypatch):
    honest = parity.check

    def check_another_network(net, path, images):
        with torch.no_grad():
            net.bias += 0.01
        return honest(net, path, images)

    monkeypatch.setattr("export.graph.check", check_another_network)
    with pytest.raises(ModelError, match=r"differs from torch by .*nothing was written"):
        export_run(run, tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_too_few_pictures_leave_nothing(run, tmp_path):
    pictures = write_pictures(tmp_path / "few", 3)
    (pictures / "broken.png").write_bytes(b"no picture")
    with pytest.raises(InputNotFoundError, match=r"needs 16 pictures, 3 found .*--pictures"):
        export_run(run, tmp_path / "m.onnx", pictures)
    assert not list(tmp_path.glob("m.*"))


def test_a_folder_that_is_not_there_is_named(run, tmp_path):
    with pytest.raises(OutputError, match=r"cannot write .*none"):
        export_run(run, tmp_path / "none" / "m.onnx")


def test_only_a_file_that_is_called_a_model_is_written(run, tmp_path):
    notes = tmp_path / "notes.txt"
    notes.write_text("mine")
    with pytest.raises(ConfigError, match=r"must end in \.onnx"):
        export_run(run, notes)
    assert notes.read_text() == "mine"


@pytest.mark.parametrize(("text", "message"), [("7", "is not a JSON object"), ("{}", "lacks what training measured")])
def test_damaged_figures_are_refused(run, tmp_path, text, message):
    damaged = shutil.copytree(run, tmp_path / "run")
    (damaged / "metrics.json").write_text(text)
    with pytest.raises(ModelError, match=message):
        export_run(damaged, tmp_path / "m.onnx")


def test_an_unfinished_run_is_refused_in_one_line(tmp_path):
    done = CliRunner().invoke(main, [str(tmp_path), "--out", str(tmp_path / "m.onnx")])
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert "checkpoint.pt is missing" in done.stderr


def test_the_command_writes_model_and_card(run, tmp_path, monkeypatch):
    out = tmp_path / "m.onnx"
    arguments = [str(run), "--out", str(out), "--name", "mine"]
    monkeypatch.setattr(sys, "argv", ["export", *arguments])
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert f"{out}: " in done.stdout
    assert out.with_suffix(".md").read_text().startswith("# mine\n")
    assert "--name mine" in out.with_suffix(".md").read_text()


def test_names_inside_the_graph_are_short(exported):
    graph = onnx.load(exported).graph
    names = {name for node in graph.node for name in (node.name, *node.input, *node.output)}
    assert max(map(len, names - {"images", "utility"})) <= 5
