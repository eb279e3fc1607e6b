"""Small real ONNX models with outputs that can be worked out by hand."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from streamfilter.spec import ModelSpec

SIZE = 32


def brightness_model(path: Path, tasks: tuple[str, ...] = ("classification", "detection"), **changes: object) -> Path:
    """A utility model whose every task's utility is the mean brightness of the picture, 0-1."""
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["floats", "axes"], ["mean"], keepdims=0),
            helper.make_node("Div", ["mean", "white"], ["bright"]),
            helper.make_node("Unsqueeze", ["bright", "last"], ["column"]),
            helper.make_node("Concat", ["column"] * len(tasks), ["utility"], axis=1),
        ],
        "brightness",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", SIZE, SIZE, 3])],
        [helper.make_tensor_value_info("utility", TensorProto.FLOAT, ["N", len(tasks)])],
        [
            numpy_helper.from_array(np.array([1, 2, 3], np.int64), "axes"),
            numpy_helper.from_array(np.array(255, np.float32), "white"),
            numpy_helper.from_array(np.array([1], np.int64), "last"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    spec = ModelSpec("brightness", SIZE, tasks, dict.fromkeys(tasks, 0.5))
    for key, value in {**spec.to_metadata(), **changes}.items():
        if value is not None:
            model.metadata_props.add(key=key, value=str(value))
    onnx.save(model, path)
    return path
