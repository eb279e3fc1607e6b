"""A model file whose convolutions calculate in int8: python -m export.quantize MODEL.onnx --pictures FOLDER --out FILE

Faster where the processor multiplies bytes well, and slower for depthwise convolutions: measure both files with
`python -m benchmarks.models A.onnx B.onnx`, and what it costs with `python -m trainer score --model FILE`.
"""

from __future__ import annotations

import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import numpy.typing as npt
import onnx

from export.graph import INPUT, check_name, replacing
from export.parity import read_pictures
from streamfilter.errors import ConfigError, ModelError, StreamFilterError
from streamfilter.scorer import Scorer, find_model

QUANTISED = ("Conv", "Gemm", "MatMul", "Add", "MaxPool", "Relu", "Clip")
QUALITIES = (95, 50, 20, 8, 3)
"""JPEG qualities of the pictures that the ranges are taken from: useful ones and useless ones."""
MOST_APART = 0.3
"""Further from the original, on any of those pictures, the file is not written."""

Images = npt.NDArray[np.uint8]


def quantise(model: Path | str, out: Path, pictures: list[Path], command: str = "") -> tuple[float, float]:
    """Write a model anew with 8-bit weights, a scale a channel, and 8-bit activations; its card is carried over.

    Args:
        model: an exported utility model, or the name of a shipped one.
        out: the ONNX file to write; its card goes beside it.
        pictures: folders of real pictures; the ranges of the activations are taken from them.
        command: the command line, for the card.

    Returns:
        Mean and largest difference of a utility from the original, on those pictures.

    Raises:
        ConfigError: `out` does not end in `.onnx`, or is the model itself.
        InputNotFoundError: there are too few pictures.
        ModelError: the model cannot be read, is quantised already, or differs by more than `MOST_APART`.
        OutputError: the file cannot be written.
    """
    check_name(out)
    model = find_model(str(model))
    if out.exists() and out.samefile(model):
        raise ConfigError(f"{out} is the model itself; choose another --out")
    original = Scorer(str(model), device="cpu")
    if any(node.op_type == "QuantizeLinear" for node in onnx.load(model).graph.node):
        raise ModelError(f"{model} calculates in int8 already; give the model it was made from")
    images = _compressed(read_pictures(pictures, original.spec.input_size, original.spec.fit))
    with replacing(out) as part:
        _quantise(model, part, images)
        apart = np.abs(Scorer(str(part), device="cpu").score(images) - original.score(images))
        mean, most = float(apart.mean()), float(apart.max())
        if most > MOST_APART:
            raise ModelError(f"int8 moves a utility by {most:.2f}, more than {MOST_APART}; nothing was written")
    card = model.with_suffix(".md")
    if card.is_file():
        note = f"Arithmetic in int8: utilities move by {mean:.4f} on average, {most:.3f} at most, of {len(images)}."
        with replacing(out.with_suffix(".md")) as part:
            made = f"Made from `{model.name}`, whose card follows, by `{command}`."
            part.write_text(f"{note} {made}\n\n{card.read_text(encoding='utf-8')}", encoding="utf-8")
    return mean, most


def _quantise(model: Path, out: Path, images: Images) -> None:
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left: Iterator[Images] = iter(images)

        def get_next(self) -> dict[str, Images] | None:
            image = next(self._left, None)
            return None if image is None else {INPUT: image[None]}

    with tempfile.TemporaryDirectory() as scratch:
        widened = Path(scratch) / "widened.onnx"
        options: Any = onnxruntime.SessionOptions()
        # Weights are packed in the file; quantising wants them as plain float32, batch normalisation folded in.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(widened)
        onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        front = _name_front(widened)
        quantize_static(
            str(widened), str(out), Reader(), quant_format=QuantFormat.QDQ, per_channel=True, reduce_range=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, op_types_to_quantize=list(QUANTISED),
            nodes_to_exclude=front,
        )  # fmt: skip
    written, source = onnx.load(out), onnx.load(model)
    onnx.helper.set_model_props(written, {prop.key: prop.value for prop in source.metadata_props})
    onnx.save(written, out)


def _name_front(path: Path) -> list[str]:
    """The nodes before the first convolution, which prepare the picture and are cheap; all nodes get names."""
    model = onnx.load(path)
    convolved: set[str] = set()
    front = []
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{index}"
        if node.op_type == "Conv" or convolved.intersection(node.input):
            convolved.update(node.output)
        else:
            front.append(node.name)
    onnx.save(model, path)
    return front


def _compressed(images: Images) -> Images:
    """Each picture as it is, and at one of `QUALITIES` in turn."""
    coded = [
        cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITIES[index % len(QUALITIES)]])[1], 1)
        for index, image in enumerate(images)
    ]
    return np.concatenate([images, np.stack([np.asarray(one, dtype=np.uint8) for one in coded])])


@click.command()
@click.argument("model")
@click.option(
    "--pictures", multiple=True, required=True, type=click.Path(path_type=Path), help="Real ones; repeatable."
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="ONNX file; its card goes beside it.")
def main(model: str, pictures: tuple[Path, ...], out: Path) -> None:
    """Write MODEL with convolutions in int8."""
    try:
        mean, most = quantise(
            model, out, list(pictures), shlex.join(["python", "-m", "export.quantize", *sys.argv[1:]])
        )
    except StreamFilterError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{out}: {out.stat().st_size / 1e6:.1f} MB, utilities move by {mean:.4f} on average, {most:.3f} at most")


if __name__ == "__main__":
    main(prog_name="python -m export.quantize")
