"""A model's convolutions in float16, made when it is loaded; its input stays uint8 and its output float32."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, MutableSequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from streamfilter.errors import MissingExtraError

if TYPE_CHECKING:
    import onnx

HALF = ".half"
MOST = float(np.finfo(np.float16).max)
LAST = "Conv"
RESIZE = "Resize"
"""Its first input is a picture; the others say how far it is scaled, in float32 whatever the picture is in."""


def in_half(path: Path) -> bytes:
    """The model with everything up to its last convolution in float16; the head behind it stays float32.

    Args:
        path: a utility model that ONNX Runtime can read.

    Raises:
        MissingExtraError: the package `onnx` is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError("--precision fp16 needs the package onnx; run: pip install onnx") from error
    model = onnx.shape_inference.infer_shapes(_folded(path))
    _halve(model.graph)
    return bytes(model.SerializeToString())


def _folded(path: Path) -> onnx.ModelProto:
    """The model with its weights widened and batch normalisation folded in: rounded once, at the end."""
    import onnx
    import onnxruntime

    with tempfile.TemporaryDirectory() as scratch:
        folded = Path(scratch) / "folded.onnx"
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(folded)
        onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return onnx.load(folded)


def _halve(graph: onnx.GraphProto) -> None:
    from onnx import TensorProto, helper

    known = [*graph.value_info, *graph.output]
    floats = {value.name for value in known if value.type.tensor_type.elem_type == TensorProto.FLOAT}
    inside, outside = _around_last_convolution(graph)
    _halve_weights(graph, inside, outside)
    _halve_casts(inside)
    made = {name for node in inside for name in node.output} & floats
    wanted = [*(name for node in outside for name in node.input), *(value.name for value in graph.output)]
    crossing = {name: name + HALF for name in wanted if name in made}
    for node in inside:
        _rename(node.input, crossing)
        _rename(node.output, crossing)
    casts = [helper.make_node("Cast", [half], [name], to=TensorProto.FLOAT) for name, half in crossing.items()]
    del graph.value_info[:], graph.node[:]
    graph.node.extend([*inside, *casts, *outside])


def _around_last_convolution(graph: onnx.GraphProto) -> tuple[list[onnx.NodeProto], list[onnx.NodeProto]]:
    """Copies of the convolutions and all that feeds one, and of the other nodes, each in order."""
    inside: list[onnx.NodeProto] = []
    outside: list[onnx.NodeProto] = []
    feeding: set[str] = set()
    for node in reversed(graph.node):
        feeds = node.op_type == LAST or not feeding.isdisjoint(node.output)
        if feeds:
            feeding.update(node.input)
        copied = type(node)()
        copied.CopyFrom(node)
        (inside if feeds else outside).append(copied)
    return inside[::-1], outside[::-1]


def _halve_weights(graph: onnx.GraphProto, inside: list[onnx.NodeProto], outside: list[onnx.NodeProto]) -> None:
    from onnx import TensorProto, numpy_helper

    used = {name for node in inside for name in node.input}
    kept = {name for node in outside for name in node.input}
    floats = [tensor for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT]
    scales = {name for node in inside if node.op_type == RESIZE for name in node.input[1:]}
    halved = [tensor for tensor in floats if tensor.name in used - scales]
    gone = {tensor.name for tensor in halved} - kept
    others = [tensor for tensor in graph.initializer if tensor.name not in gone]
    made = [
        numpy_helper.from_array(
            np.clip(numpy_helper.to_array(tensor), -MOST, MOST).astype(np.float16), tensor.name + HALF
        )
        for tensor in halved
    ]
    for node in inside:
        _rename(node.input, {tensor.name: tensor.name + HALF for tensor in halved})
    del graph.initializer[:]
    graph.initializer.extend([*others, *made])


def _halve_casts(nodes: list[onnx.NodeProto]) -> None:
    from onnx import TensorProto

    for node in nodes:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16


def _rename(names: MutableSequence[str], new: Mapping[str, str]) -> None:
    renamed = [new.get(name, name) for name in names]
    del names[:]
    names.extend(renamed)
