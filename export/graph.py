"""A trained network as an ONNX file that carries everything the runtime must know."""

from __future__ import annotations

import io
import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch

from export.card import HELD_BACK, render
from export.parity import check, read_pictures
from streamfilter.errors import ConfigError, InputNotFoundError, ModelError, OutputError, first_line
from streamfilter.spec import ModelSpec
from trainer.models import UtilityNet, load
from trainer.rounding import MOST

log = logging.getLogger(__name__)

INPUT, OUTPUT = "images", "utility"
OPSET = 18
KEEP_USEFUL = "0.85"
PACKED, WIDE, STEPS = ".packed", ".wide", ".steps"
LEAST_PACKED = 64
TRAINING_KEYS = ("command", "commit", "config", "labels", "sources", "counts", "precision", "torch")


class Calibrated(torch.nn.Module):
    """The network with its calibrated probabilities as the output."""

    def __init__(self, net: UtilityNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, S, S, 3) uint8 RGB -> (N, T) float32 in [0, 1]."""
        return self.net.probabilities(images)


def export_run(
    run: Path,
    out: Path,
    pictures: Path | None = None,
    name: str | None = None,
    command: str = "",
    keep_useful: str = KEEP_USEFUL,
) -> tuple[ModelSpec, float]:
    """Write a finished run as an ONNX file and its card beside it; neither is left when the graph disagrees with torch.

    Args:
        run: folder of a finished `python -m trainer train`.
        out: the ONNX file; the card takes its name with `.md`.
        pictures: folder of real pictures to compare on; None takes those the run was trained with.
        name: of the model; None takes the file's.
        command: the command line, for the card.
        keep_useful: share of the held-back useful pictures that each task's default threshold keeps, as in the run's
            `threshold_to_keep`.

    Returns:
        What the file says about itself, and the largest difference from torch.

    Raises:
        InputNotFoundError: the run lacks a file, or there are too few pictures.
        ConfigError: `out` does not end in `.onnx`.
        ModelError: the run is not finished or damaged, or the graph differs from torch.
        OutputError: the file or the card cannot be written.
    """
    check_name(out)
    net = load(run)
    record, metrics = _read(run / "run.json"), _read(run / "metrics.json")
    size = int(record["config"]["input_size"])
    spec = ModelSpec(
        name=name or out.stem,
        input_size=size,
        fit=net.fit,
        tasks=net.tasks,
        thresholds=_thresholds(metrics, net.tasks, keep_useful),
        training={
            **{key: record[key] for key in TRAINING_KEYS},
            "seed": record["config"]["seed"],
            "networks": sorted({network for label in record["labels"] for network in label["networks"]}),
        },
        measured={part: _summary(judged["tasks"]) for part, judged in metrics.items()},
    )
    folders = [pictures] if pictures else [Path(label["images"]) for label in record["labels"]]
    images = read_pictures(folders, size, net.fit)
    with replacing(out) as part, replacing(out.with_suffix(".md")) as card:
        onnx.save(to_onnx(net, spec), part)
        difference = check(net, part, images)
        parameters = sum(parameter.numel() for parameter in net.parameters())
        text = render(spec, record, metrics, command, part.stat().st_size, parameters, difference, keep_useful)
        card.write_text(text, encoding="utf-8")
    return spec, difference


def check_name(out: Path) -> None:
    """Make sure that a model is not written over a file of another kind.

    Raises:
        ConfigError: `out` does not end in `.onnx`.
    """
    if out.suffix != ".onnx":
        raise ConfigError(f"the model {out} must end in .onnx")


def to_onnx(net: UtilityNet, spec: ModelSpec) -> onnx.ModelProto:
    """The graph `images` -> `utility` with the spec as its metadata.

    Raises:
        ModelError: torch cannot export it, or the graph is not valid.
    """
    example = torch.zeros((2, *spec.input_hw, 3), dtype=torch.uint8)
    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings():
            # The newer exporter takes a minute, keeps this machine's paths as stack traces and pools by gathering.
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.onnx.export(
                Calibrated(net).eval(), (example,), buffer, dynamo=False, opset_version=OPSET,
                input_names=[INPUT], output_names=[OUTPUT], dynamic_axes={INPUT: {0: "N"}, OUTPUT: {0: "N"}},
                training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False,
            )  # fmt: skip
        model = onnx.load_from_string(buffer.getvalue())
        pack(model.graph)
        shorten(model.graph)
        onnx.checker.check_model(model, full_check=True)
    except (RuntimeError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelError(f"cannot export {spec.name}: {first_line(error)}") from error
    onnx.helper.set_model_props(model, spec.to_metadata())
    return model


def _thresholds(metrics: Mapping[str, Any], tasks: Sequence[str], keep_useful: str) -> dict[str, float]:
    if HELD_BACK not in metrics:
        raise ModelError("metrics.json lacks what training measured; give its training command again")
    judged = metrics[HELD_BACK]["tasks"]
    found = {task: judged[task]["threshold_to_keep"].get(keep_useful) for task in tasks}
    missing = [task for task, value in found.items() if value is None]
    if missing:
        raise ModelError(f"the run measured no threshold that keeps {keep_useful} for {missing[0]}; choose another")
    return {task: round(value, 3) for task, value in found.items()}


def pack(graph: onnx.GraphProto) -> None:
    """Store the weights that float16 or int8 holds exactly so, with nodes behind them that widen them once, at loading.

    PRESERVE keeps batch normalisation apart for this: folded into the convolutions, no weight would be exact.
    """
    widened: list[onnx.NodeProto] = []
    for tensor in list(graph.initializer):
        if tensor.data_type != onnx.TensorProto.FLOAT:
            continue
        values = onnx.numpy_helper.to_array(tensor)
        if values.size < LEAST_PACKED:
            continue
        name = tensor.name
        levels, steps = _on_grid(values)
        if levels is not None:
            tensor.CopyFrom(onnx.numpy_helper.from_array(levels, name + PACKED))
            graph.initializer.append(onnx.numpy_helper.from_array(steps, name + STEPS))
            widened += [
                onnx.helper.make_node("Cast", [name + PACKED], [name + WIDE], to=onnx.TensorProto.FLOAT),
                onnx.helper.make_node("Mul", [name + WIDE, name + STEPS], [name]),
            ]
        elif np.array_equal(values, values.astype(np.float16)):
            tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), name + PACKED))
            widened.append(onnx.helper.make_node("Cast", [name + PACKED], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*widened, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _on_grid(values: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int8] | None, npt.NDArray[np.float32]]:
    """(O, ...) weights -> whole multiples and the step of each output channel; None where they are not such."""
    axes = tuple(range(1, values.ndim))
    steps = np.abs(values).max(axes, keepdims=True) / np.float32(MOST)
    steps[steps == 0] = 1
    levels = np.rint(values / steps).astype(np.int8)
    return (levels if axes and np.array_equal(levels * steps, values) else None), steps


def shorten(graph: onnx.GraphProto) -> None:
    """Number the values inside the graph: the exporter's names, paths of modules, are a tenth of a small file."""
    kept = {value.name for value in (*graph.input, *graph.output)}
    numbers: dict[str, str] = {name: name for name in ("", *kept)}

    def short(name: str) -> str:
        return numbers.setdefault(name, f"v{len(numbers)}")

    for tensor in graph.initializer:
        tensor.name = short(tensor.name)
    for node in graph.node:
        node.ClearField("name")
        inputs, outputs = [short(name) for name in node.input], [short(name) for name in node.output]
        del node.input[:], node.output[:]
        node.input.extend(inputs)
        node.output.extend(outputs)
    del graph.value_info[:]


def _summary(tasks: Mapping[str, Any]) -> dict[str, Any]:
    return {
        task: {key: value for key, value in judged.items() if key not in ("by_quality", "by_kind", "jpeg")}
        for task, judged in tasks.items()
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputNotFoundError(f"{path} is missing; make the run with `python -m trainer train`") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}); train again with --fresh") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} is not a JSON object; train again with --fresh")
    return value


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; renamed onto it at the end, removed on failure.

    Raises:
        OutputError: it cannot be written.
    """
    part = path.with_name(path.name + ".part")
    try:
        yield part
        os.replace(part, path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}; choose another --out") from error
    finally:
        with suppress(OSError):
            part.unlink()
