"""int8 arithmetic: a real model is quantised, says nearly the same, and keeps its spec; bad input leaves nothing."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import skimage.data
from click.testing import CliRunner
from PIL import Image

from export.quantize import main, quantise
from streamfilter import Scorer, shipped_models
from streamfilter.errors import ConfigError, InputNotFoundError, ModelError, StreamFilterError

NAMES = ("astronaut", "coffee", "chelsea", "rocket")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for name in NAMES:
        picture = Image.fromarray(getattr(skimage.data, name)())
        for turn in range(4):
            picture.rotate(90 * turn, expand=True).save(folder / f"{name}{turn}.png")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    shipped = shipped_models()["utility-nano"]
    shutil.copy(shipped.with_suffix(".md"), folder / "small.md")
    return Path(shutil.copy(shipped, folder / "small.onnx"))


def test_it_says_nearly_the_same_and_is_the_same_kind_of_file(model: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "small-int8.onnx"
    mean, most = quantise(model, out, [pictures], "the command")
    original, written = Scorer(str(model), device="cpu"), Scorer(str(out), device="cpu")
    assert written.spec == original.spec
    images = [np.asarray(Image.open(path).convert("RGB").resize((original.spec.input_size,) * 2)) for path in
              sorted(pictures.iterdir())]  # fmt: skip
    assert np.abs(written.score(images) - original.score(images)).max() < 0.3
    assert 0 < mean <= most < 0.3
    kinds = {node.op_type for node in onnx.load(out).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    card = out.with_suffix(".md").read_text()
    assert card.startswith("Arithmetic in int8")
    assert "`the command`" in card
    assert "# utility-nano" in card


def test_what_comes_before_the_first_convolution_stays_as_it_is(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "int8.onnx"
    quantise(shipped_models()["utility-resnet18"], out, [pictures])
    front, quantised = {"images"}, []
    for node in onnx.load(out).graph.node:
        if front.intersection(node.input) and node.op_type != "QuantizeLinear":
            front.update(node.output)
        elif front.intersection(node.input):
            quantised.append(node.input[0])
    assert len(quantised) == 1
    assert front >= {"images", *quantised}


def test_too_few_pictures_and_too_large_a_loss_leave_nothing(
    model: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "x.onnx"
    with pytest.raises(InputNotFoundError, match="needs 16 pictures"):
        quantise(model, out, [tmp_path])
    monkeypatch.setattr("export.quantize.MOST_APART", 0.0)
    with pytest.raises(ModelError, match="nothing was written"):
        quantise(model, out, [pictures])
    assert list(tmp_path.iterdir()) == []


def test_the_model_itself_and_one_made_by_this_are_refused(model: Path, pictures: Path, tmp_path: Path) -> None:
    before = model.read_bytes()
    with pytest.raises(ConfigError, match="is the model itself"):
        quantise(model, model, [pictures])
    assert model.read_bytes() == before
    with pytest.raises(ConfigError, match=r"must end in \.onnx"):
        quantise(model, tmp_path / "notes.txt", [pictures])
    quantise("utility-nano", tmp_path / "int8.onnx", [pictures])
    with pytest.raises(ModelError, match="in int8 already"):
        quantise(tmp_path / "int8.onnx", tmp_path / "again.onnx", [pictures])


def test_what_is_no_model_is_refused_in_one_line(pictures: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.onnx"
    wrong.write_bytes(b"text")
    with pytest.raises(StreamFilterError):
        quantise(wrong, tmp_path / "x.onnx", [pictures])
    result = CliRunner().invoke(main, [str(wrong), "--pictures", str(pictures), "--out", str(tmp_path / "x.onnx")])
    assert result.exit_code == 1
    assert len(result.output.strip().splitlines()) == 1
