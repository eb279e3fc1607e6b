"""COCO's annotation files: read and checked, once for all who use them."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from streamfilter.errors import InputError
from trainer.networks.base import COCO_CATEGORY_IDS

BROKEN = (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError, AttributeError, OverflowError)
CATEGORIES = frozenset(COCO_CATEGORY_IDS.tolist())


def read_coco(path: Path, with_objects: bool = True) -> dict[str, Any]:
    """The content of a file in COCO's format, whose images have a name and a size.

    Args:
        path: the JSON file.
        with_objects: whether its annotations count, and are checked: of an image that is listed, with a finite box and
            one of COCO's 80 category ids, because the networks answer with them.

    Raises:
        InputError: it cannot be read, or is not so; the message says which image or annotation is wrong.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for image in content["images"]:
            _check_image(image)
        known = {image["id"] for image in content["images"]}
        if len(known) < len(content["images"]):
            raise ValueError("two images have the same id")
        for annotation in content["annotations"] if with_objects else ():
            _check_annotation(annotation, known)
    except BROKEN as error:
        raise InputError(f"{path} cannot be read as COCO JSON: {_told(error)}") from error
    return content


def _told(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def _check_image(image: Mapping[str, Any]) -> None:
    sides = (image["width"], image["height"])
    if not all(isinstance(side, (int, float)) and 0 < side < math.inf for side in sides):
        raise ValueError(f"image {image['id']!r} has the size {sides[0]!r}x{sides[1]!r}")
    if not isinstance(image["file_name"], str) or not isinstance(image.get("split") or "", str):
        raise ValueError(f"file_name or split of image {image['id']!r} is no text")


def _check_annotation(annotation: Mapping[str, Any], known: Collection[object]) -> None:
    of, box, category = annotation["image_id"], annotation["bbox"], annotation["category_id"]
    if of not in known:
        raise ValueError(f"an annotation is of image {of!r}, which is not listed")
    if len(box) != 4 or not all(isinstance(value, (int, float)) and math.isfinite(value) for value in box):
        raise ValueError(f"an annotation of image {of!r} has the bbox {box!r}")
    if category not in CATEGORIES:
        raise ValueError(f"an annotation of image {of!r} has the category id {category!r}, which is none of COCO's 80")
