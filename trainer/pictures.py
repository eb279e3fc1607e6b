"""Pictures and what is true about them: decoding, listing, ground truth."""

from __future__ import annotations

import csv
import hashlib
import os
import re
import struct
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from streamfilter.errors import ConfigError, InputError, InputNotFoundError, PictureError
from streamfilter.frame import RGB
from trainer.coco import read_coco
from trainer.utility import Objects

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
MAX_PIXELS = 50_000_000
MAX_SIDE = 65_500
MAX_ASPECT = 100


@dataclass(frozen=True, eq=False)
class Item:
    """A picture and its ground truth."""

    picture: str
    """Path relative to the pictures' root, with forward slashes."""
    split: str = ""
    """As the truth file says; empty when it does not."""
    class_index: int | None = None
    """ImageNet class, 0-999; None when unknown."""
    objects: Objects | None = None
    """The objects in the picture; None when unknown, empty when there are none."""


def read_picture(path: Path) -> tuple[RGB, str]:
    """A picture file as an upright array, and the digest of its bytes.

    Returns:
        (H, W, 3) uint8, RGB, HWC, 0-255, and the hex SHA-256 of the file.

    Raises:
        PictureError: it cannot be read or decoded, or declares a size over the bounds.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    broken = (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        struct.error,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    )
    try:
        data = path.read_bytes()
        with Image.open(BytesIO(data)) as opened:
            _check_size(path, *opened.size)
            upright = ImageOps.exif_transpose(opened)
            if upright.mode.startswith("I;16"):
                upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
            return np.array(upright.convert("RGB")), hashlib.sha256(data).hexdigest()
    except UnidentifiedImageError as error:
        raise PictureError(f"{path} cannot be decoded: it is no picture, or of an unknown format") from error
    except broken as error:
        raise PictureError(f"{path} cannot be decoded: {error}") from error


def read_labelled(path: Path, content_hash: str) -> RGB:
    """A picture file that a table is about, as `read_picture` gives it.

    Raises:
        PictureError: it cannot be read or decoded, or is no longer the one of that hash.
    """
    rgb, found = read_picture(path)
    if found != content_hash:
        raise PictureError(f"{path} has changed since it was labelled: label it again")
    return rgb


def _check_size(path: Path, width: int, height: int) -> None:
    """Bounds of memory, of libjpeg, and of a classifier's resize of the shorter side."""
    long, short = max(width, height), min(width, height)
    if width * height > MAX_PIXELS or long > MAX_SIDE or long > MAX_ASPECT * short:
        bounds = f"{MAX_PIXELS} pixels, {MAX_SIDE} a side, 1:{MAX_ASPECT}"
        raise PictureError(f"{path} is {width}x{height}, over the bounds ({bounds})")


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key in which `img2` comes before `img10`."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]


def list_items(images: Path, truth: Path | None, task: str, pristine: bool = False) -> list[Item]:
    """The pictures to label, in the truth's order, or in natural order without a truth.

    Args:
        images: folder the pictures are relative to.
        truth: CSV `path,class_index[,split]` (classification) or COCO JSON (detection); None for no ground truth.
        task: `classification` or `detection`.
        pristine: whether to read no more than the splits from the truth, of whichever task it is: the reference is what
            the networks say of the pristine pictures then.

    Raises:
        InputNotFoundError: the folder, the truth or a picture it names does not exist.
        InputError: the truth cannot be read, or there are no pictures.
    """
    if not images.is_dir():
        raise InputNotFoundError(f"{images} is not a folder of pictures")
    if truth is None:
        items = [Item(name) for name in _walk(images)]
    elif not truth.is_file():
        raise InputNotFoundError(f"truth {truth} does not exist")
    else:
        is_csv = truth.suffix.lower() == ".csv" if pristine else task == "classification"
        items = _read_csv(images, truth) if is_csv else _read_coco(images, truth, not pristine)
    if pristine:
        items = [Item(item.picture, item.split) for item in items]
    if not items:
        raise InputError(f"no pictures in {truth or images}; wanted {', '.join(SUFFIXES)}")
    check_names([item.picture for item in items], truth or images)
    return items


def check_names(names: Sequence[str], where: Path) -> None:
    """Make sure that each picture is named once, by a name that can be written into a table.

    Raises:
        InputError: a name stands there twice, or is none.
    """
    for name in names:
        if not name or "\0" in name or name.encode(errors="replace").decode() != name:
            raise InputError(f"{where} has a picture of the name {name!r}, which is not UTF-8 text: rename it")
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise InputError(f"{where} names the picture {twice} more than once: keep one line of it")


def select(items: Iterable[Item], split: str | None, limit: int | None) -> list[Item]:
    """The items of a split, at most so many.

    Raises:
        ConfigError: no item has that split.
    """
    known = list(items)
    chosen = [item for item in known if split is None or item.split == split]
    if not chosen:
        splits = sorted({item.split for item in known} - {""})
        raise ConfigError(f"no picture has the split {split!r}; known: {', '.join(splits) or 'none'}")
    return chosen[:limit]


def identity(items: Sequence[Item]) -> list[object]:
    """How many and which, as JSON values."""
    return [len(items), hashlib.sha256("\n".join(item.picture for item in items).encode()).hexdigest()]


def _walk(images: Path) -> list[str]:
    found = (path.relative_to(images).as_posix() for path in images.rglob("*") if path.suffix.lower() in SUFFIXES)
    return sorted(found, key=natural_key)


def _read_csv(images: Path, truth: Path) -> list[Item]:
    try:
        with truth.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
        wanted = {"path", "class_index"}
        if rows and not wanted <= set(rows[0]):
            raise InputError(f"truth {truth} has the columns {', '.join(rows[0])}; wanted path,class_index[,split]")
        classes = [_class_index(row["class_index"]) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error, ValueError, TypeError) as error:
        raise InputError(f"truth {truth} cannot be read as CSV: {error}") from error
    return [
        Item(_locate(images, truth, row["path"] or ""), row.get("split") or "", index)
        for row, index in zip(rows, classes, strict=True)
    ]


def _class_index(text: str) -> int:
    index = int(text)
    if not 0 <= index <= 999:
        raise ValueError(f"class_index {index} outside 0-999")
    return index


def _read_coco(images: Path, truth: Path, with_objects: bool) -> list[Item]:
    content = read_coco(truth, with_objects)
    by_image: dict[Any, list[Any]] = {image["id"]: [] for image in content["images"]}
    for annotation in content["annotations"] if with_objects else ():
        if not annotation.get("iscrowd"):
            by_image[annotation["image_id"]].append(annotation)
    return [
        Item(
            _locate(images, truth, image["file_name"]),
            image.get("split") or "",
            objects=_objects(image, by_image[image["id"]]),
        )
        for image in content["images"]
    ]


def _objects(image: dict[str, Any], annotations: list[Any]) -> Objects:
    size = np.array([image["width"], image["height"]] * 2, dtype=np.float64)
    boxes = np.array([annotation["bbox"] for annotation in annotations], dtype=np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    ids = np.array([annotation["category_id"] for annotation in annotations], dtype=np.int64)
    return Objects(np.clip(boxes / size, 0, 1).astype(np.float32), ids)


def _locate(images: Path, truth: Path, name: str) -> str:
    """The picture's path relative to `images`; names in a truth may also be relative to the truth's own folder."""
    if (images / name).is_file():
        return Path(name).as_posix()
    beside = truth.parent / name
    if not beside.is_file():
        raise InputNotFoundError(f"{name}, named in {truth}, is neither in {images} nor in {truth.parent}")
    return Path(os.path.relpath(beside, images)).as_posix()
