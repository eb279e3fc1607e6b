"""Small real label tables: crops of photographs, labelled by an ONNX network that looks for fine detail."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import skimage.data
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from streamfilter.distort import Distortion
from trainer.label import LabelJob, label

SIDE = 64
QUALITIES = (1, 40, 50)


def write_pictures(folder: Path, count: int, first: int = 0) -> Path:
    """`count` different 64x64 crops of photographs with fine noise, and `labels.csv` (class 0, split dev)."""
    folder.mkdir(parents=True, exist_ok=True)
    photographs = (skimage.data.astronaut(), skimage.data.coffee(), skimage.data.chelsea())
    lines = ["path,class_index,split"]
    for index in range(first, first + count):
        random = np.random.default_rng(index)
        photograph = photographs[index % len(photographs)]
        top, left = (int(random.integers(side - SIDE)) for side in photograph.shape[:2])
        crop = photograph[top : top + SIDE, left : left + SIDE].astype(np.int64)
        noisy = crop + random.integers(-60, 61, (SIDE, SIDE, 1))
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(folder / f"p{index}.png")
        lines.append(f"p{index}.png,0,dev")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


def detail_classifier(path: Path, least: float = 12.0) -> Path:
    """Class 0 when neighbouring columns differ by more than `least` grey levels on average, else class 1."""
    sides = np.full((1, 1000), 0, np.float32)
    sides[0, 0] = 2
    bias = np.full(1000, -100, np.float32)
    bias[:2] = [-2 * least, 0]
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Slice", ["floats", "one", "far", "across"], ["right"]),
        helper.make_node("Slice", ["floats", "zero", "last", "across"], ["left"]),
        helper.make_node("Sub", ["right", "left"], ["step"]),
        helper.make_node("Abs", ["step"], ["size"]),
        helper.make_node("ReduceMean", ["size", "axes"], ["detail"], keepdims=0),
        helper.make_node("Unsqueeze", ["detail", "one"], ["column"]),
        helper.make_node("MatMul", ["column", "sides"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    constants = {
        "one": np.array([1], np.int64),
        "zero": np.array([0], np.int64),
        "far": np.array([SIDE], np.int64),
        "last": np.array([SIDE - 1], np.int64),
        "across": np.array([2], np.int64),
        "axes": np.array([1, 2, 3], np.int64),
        "sides": sides,
        "bias": bias,
    }
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 1000])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    metadata = {"task": "classification", "input_size": SIDE, "fit": "shorter_side_then_center_crop", "crop_ratio": 1.0}
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=str(value))
    onnx.save(model, path)
    return path


def write_labels(root: Path, count: int = 20, first: int = 0, test: Sequence[int] = ()) -> Path:
    """`root/labels/classification.parquet` of `count` pictures at `QUALITIES`; the folder of the table.

    The pictures numbered in `test` are of that split.
    """
    pictures = write_pictures(root / "pictures", count, first)
    truth = pictures / "labels.csv"
    for index in test:
        truth.write_text(truth.read_text().replace(f"p{index}.png,0,dev", f"p{index}.png,0,test"))
    network = detail_classifier(root / "detail.onnx")
    distortions = tuple(Distortion("jpeg", quality) for quality in QUALITIES)
    label(LabelJob("classification", pictures, (str(network),), root / "labels", truth, distortions, workers=1))
    return root / "labels"
