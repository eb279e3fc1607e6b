"""A folder with the layout and the names of the kit: small pictures, and networks that look for fine detail."""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.labelled import SIDE, detail_classifier, write_pictures

CLASSIFIERS = (
    "efficientnet_lite0_224", "mobilenet_v2_224_int8", "squeezenet1_1_227",
    "mobilenet_v1_075_192_int8", "mobilenet_edgetpu_075_224_int8",
)  # fmt: skip
DETECTORS = ("picodet_s_416", "yolox_nano_416", "nanodet_m_416", "fastestdet_352")


def detail_detector(path: Path, least: float = 12.0) -> Path:
    """A person on the left half, surely when neighbouring columns differ by more than `least` grey levels."""
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Slice", ["floats", "one", "far", "across"], ["right"]),
        helper.make_node("Slice", ["floats", "zero", "last", "across"], ["left"]),
        helper.make_node("Sub", ["right", "left"], ["step"]),
        helper.make_node("Abs", ["step"], ["size"]),
        helper.make_node("ReduceMean", ["size", "axes"], ["detail"], keepdims=0),
        helper.make_node("Sub", ["detail", "least"], ["more"]),
        helper.make_node("Sigmoid", ["more"], ["scores"]),
        helper.make_node("Identity", ["the_boxes"], ["boxes"]),
        helper.make_node("Identity", ["the_labels"], ["labels"]),
    ]
    constants = {
        "one": np.array([1], np.int64),
        "zero": np.array([0], np.int64),
        "far": np.array([SIDE], np.int64),
        "last": np.array([SIDE - 1], np.int64),
        "across": np.array([2], np.int64),
        "axes": np.array([1, 2, 3], np.int64),
        "least": np.array([least], np.float32),
        "the_boxes": np.array([[0, 0, 0.5, 1]], np.float32),
        "the_labels": np.array([0], np.int64),
    }
    outputs = [
        helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 4]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1]),
        helper.make_tensor_value_info("labels", TensorProto.INT64, [1]),
    ]
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, [1, SIDE, SIDE, 3])
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, path.stem, [images], outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    for key, value in {"task": "detection", "input_size": SIDE, "fit": "stretch"}.items():
        model.metadata_props.add(key=key, value=str(value))
    onnx.save(model, path)
    return path


def write_kit(root: Path, dev: int = 8, test: int = 8) -> Path:
    """`root/kit` with `dev` and `test` pictures of class 0, as many with a person on the left half, and extra ones."""
    kit, count = root / "kit", dev + test
    truth = write_pictures(kit / "classification", count) / "labels.csv"
    lines = truth.read_text().splitlines()
    late = [line.replace(",dev", ",test") for line in lines[1 + dev :]]
    truth.write_text("\n".join([*lines[: 1 + dev], *late]) + "\n")
    write_pictures(kit / "detection", count, first=count)
    write_pictures(kit / "extra", dev, first=2 * count)
    (kit / "detection" / "instances.json").write_text(json.dumps(coco(count, dev)))
    (kit / "networks").mkdir()
    for place, name in enumerate(CLASSIFIERS):
        detail_classifier(kit / "networks" / f"{name}.onnx", 12 + place / 8)
    for place, name in enumerate(DETECTORS):
        detail_detector(kit / "networks" / f"{name}.onnx", 12 + place / 8)
    return kit


def coco(count: int, dev: int) -> dict[str, object]:
    """A person on the left half of every picture."""
    images = [
        {
            "id": n,
            "file_name": f"p{count + n}.png",
            "width": SIDE,
            "height": SIDE,
            "split": "dev" if n < dev else "test",
        }
        for n in range(count)
    ]
    boxes = [{"image_id": n, "category_id": 1, "bbox": [0, 0, SIDE / 2, SIDE], "iscrowd": 0} for n in range(count)]
    return {"images": images, "annotations": boxes, "categories": []}
