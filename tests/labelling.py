"""A folder with everything a labelling run needs, and the run itself."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from streamfilter.distort import Distortion
from tests.tiny_networks import colour_classifier, fixed_detector
from trainer.label import LabelJob

QUALITIES = (Distortion("jpeg", 5), Distortion("jpeg", 50))
COLOURS = {"red": (230, 20, 20), "green": (20, 230, 20), "blue": (20, 20, 230)}


def make_folder(tmp_path: Path) -> Path:
    """Seven noisy pictures of one colour each, a CSV with class 0, 1 or 2 for it, two classifiers and two detectors."""
    random = np.random.default_rng(2)
    images = tmp_path / "images"
    images.mkdir()
    lines = ["path,class_index,split"]
    for index, name in enumerate(["red", "green", "blue", "red", "green", "blue", "red"]):
        noisy = np.array(COLOURS[name]) + random.normal(0, 20, (40, 60, 3))
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(images / f"p{index}.png")
        lines.append(f"p{index}.png,{list(COLOURS).index(name)},{'dev' if index < 5 else 'test'}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    colour_classifier(tmp_path / "sure.onnx", gain=16)
    colour_classifier(tmp_path / "unsure.onnx", gain=9)
    fixed_detector(tmp_path / "left.onnx", [[0, 0, 0.5, 1], [0, 0, 0.1, 0.1]], [0.9, 0.04], [0, 2])
    fixed_detector(tmp_path / "whole.onnx", [[0, 0, 1, 1], [0.1, 0, 0.5, 1]], [0.9, 0.8], [5, 0])
    return tmp_path


def job(folder: Path, **changes: object) -> LabelJob:
    usual = {
        "task": "classification",
        "images": folder / "images",
        "truth": folder / "labels.csv",
        "networks": (str(folder / "sure.onnx"), str(folder / "unsure.onnx")),
        "out": folder / "labels",
        "distortions": QUALITIES,
        "workers": 2,
    }
    return LabelJob(**{**usual, **changes})


def coco(folder: Path) -> Path:
    """A person on the left half of every picture, and a crowd over all of it that does not count."""
    images = [{"id": n, "file_name": f"p{n}.png", "width": 60, "height": 40, "split": "dev"} for n in range(7)]
    person = {"category_id": 1, "bbox": [0, 0, 30, 40], "iscrowd": 0}
    crowd = {"category_id": 6, "bbox": [0, 0, 60, 40], "iscrowd": 1}
    annotations = [{**what, "image_id": n} for n in range(7) for what in (person, crowd)]
    path = folder / "instances.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": []}))
    return path


def detection_job(folder: Path, **changes: object) -> LabelJob:
    networks = (str(folder / "left.onnx"), str(folder / "whole.onnx"))
    return job(folder, **{"task": "detection", "truth": coco(folder), "networks": networks, **changes})
