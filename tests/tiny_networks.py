"""Small real ONNX networks with the trainer's uniform interface, whose answers can be worked out by hand."""

from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

CLASSIFIER = {"task": "classification", "input_size": 16, "fit": "shorter_side_then_center_crop", "crop_ratio": 0.875}
DETECTOR = {"task": "detection", "input_size": 32, "fit": "stretch", "pad_value": 0}


def colour_classifier(path: Path, gain: float = 12.0, count: str | int = "N", **metadata: object) -> Path:
    """Logits of classes 0, 1, 2 are `gain` times the mean red, green, blue (0-1); those of the other 997 are 0."""
    size = int(CLASSIFIER["input_size"])
    into_classes = np.zeros((3, 1000), np.float32)
    into_classes[[0, 1, 2], [0, 1, 2]] = gain / 255
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats", "axes"], ["colour"], keepdims=0),
        helper.make_node("MatMul", ["colour", "into_classes"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    constants = {"axes": np.array([1, 2], np.int64), "into_classes": into_classes}
    outputs = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [count, 1000])]
    return _save(path, nodes, constants, [count, size, size, 3], outputs, {**CLASSIFIER, **metadata})


def fixed_detector(
    path: Path, boxes: list[list[float]], scores: list[float], labels: list[int], **metadata: object
) -> Path:
    """Always the same boxes and labels; the scores are scaled by the largest red value in its input, 0-1."""
    size = int(DETECTOR["input_size"])
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["floats", "axes"], ["colour"], keepdims=0),
        helper.make_node("Gather", ["colour", "first"], ["red"], axis=0),
        helper.make_node("Mul", ["red", "scores_per_level"], ["scores"]),
        helper.make_node("Identity", ["the_boxes"], ["boxes"]),
        helper.make_node("Identity", ["the_labels"], ["labels"]),
    ]
    constants = {
        "axes": np.array([0, 1, 2], np.int64),
        "first": np.array(0, np.int64),
        "scores_per_level": np.array(scores, np.float32) / 255,
        "the_boxes": np.array(boxes, np.float32).reshape(-1, 4),
        "the_labels": np.array(labels, np.int64),
    }
    outputs = [
        helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [len(scores), 4]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, [len(scores)]),
        helper.make_tensor_value_info("labels", TensorProto.INT64, [len(scores)]),
    ]
    return _save(path, nodes, constants, [1, size, size, 3], outputs, {**DETECTOR, **metadata})


def _save(
    path: Path,
    nodes: list[NodeProto],
    constants: dict[str, np.ndarray],
    shape: list[str | int],
    outputs: list[onnx.ValueInfoProto],
    metadata: dict[str, object],
) -> Path:
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, shape)
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, path.stem, [images], outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    for key, value in metadata.items():
        if value is not None:
            model.metadata_props.add(key=key, value=str(value))
    onnx.save(model, path)
    return path
