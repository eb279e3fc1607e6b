"""Annotation files with mistakes: named in one line by whoever reads them."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from streamfilter.errors import InputError
from tests.own_data import coco
from trainer.coco import read_coco
from trainer.kit import KitJob, make_kit
from trainer.pictures import list_items

GOOD: dict[str, Any] = {
    "images": [{"id": number, "file_name": f"{number}.png", "width": 60, "height": 40} for number in (1, 2)],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9]}],
    "categories": [],
}


@pytest.mark.parametrize(
    ("part", "changes", "message"),
    [
        ("annotations", {"image_id": 9}, "of image 9, which is not listed"),
        ("annotations", {"category_id": 0}, "category id 0"),
        ("annotations", {"category_id": 10**20}, "category id 1000"),
        ("annotations", {"bbox": [1, 2, 3]}, "the bbox"),
        ("annotations", {"bbox": [1, 2, 3, None]}, "the bbox"),
        ("annotations", {"bbox": [1, 2, 3, float("nan")]}, "the bbox"),
        ("images", {"width": 0}, "image 1 has the size 0x40"),
        ("images", {"height": "40"}, "image 1 has the size 60x'40'"),
        ("images", {"id": 2}, "two images have the same id"),
        ("images", {"id": [1]}, "unhashable"),
        ("images", {"file_name": 7}, "is no text"),
        ("images", {"split": 7}, "is no text"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, part: str, changes: dict[str, Any], message: str) -> None:
    content = copy.deepcopy(GOOD)
    content[part][0].update(changes)
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        read_coco(path)


def test_annotations_do_not_matter_where_only_splits_are_read(tmp_path: Path) -> None:
    content = {**GOOD, "annotations": [{"category_id": 0}]}
    (tmp_path / "instances.json").write_text(json.dumps(content))
    assert read_coco(tmp_path / "instances.json", with_objects=False) == content


def test_a_kit_and_a_label_table_refuse_the_same(tmp_path: Path) -> None:
    pictures, annotations = coco(tmp_path)
    content = json.loads(annotations.read_text())
    del content["annotations"][0]["bbox"]
    annotations.write_text(json.dumps(content))
    with pytest.raises(InputError, match="'bbox' is missing"):
        make_kit(KitJob(tmp_path / "kit", coco=pictures, coco_annotations=annotations))
    with pytest.raises(InputError, match="'bbox' is missing"):
        list_items(pictures, annotations, "detection")
    assert not (tmp_path / "kit" / "detection" / "instances.json").exists()
