"""One picture into the kit: copied, linked, or made smaller."""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from streamfilter.digest import file_sha256
from streamfilter.errors import OutputError, PictureError
from streamfilter.frame import RGB
from trainer.networks.onnx import resize
from trainer.parts import write_beside
from trainer.pictures import read_picture

JPEG_SUFFIXES = (".jpg", ".jpeg")
QUALITY = 92
SWAPPING_ORIENTATIONS = (5, 6, 7, 8)
ORIENTATION_TAG = 0x0112


@dataclass(frozen=True)
class Placing:
    """How pictures come into the kit."""

    shorter_side: int | None = None
    """Pictures with a longer shorter side, in pixels, are resized to it; None for none."""
    link: bool = False
    """Whether pictures that keep their size are symbolic links instead of copies."""


@dataclass(frozen=True)
class Placed:
    """A picture that is in the kit."""

    name: str
    """Path relative to the folder of pictures, with forward slashes."""
    content_hash: str
    """Hex SHA-256 of the kit's file."""
    width: int
    """Pixels, upright."""
    height: int
    """Pixels, upright."""
    kept: bool
    """Whether it was there already."""


def place(source: Path, folder: Path, name: str, how: Placing) -> Placed:
    """Bring a picture into a folder as `name`; a resized one is a JPEG, and called so.

    A file that is there already is kept when it is not older than the source and has its size in bytes, or the shorter
    side that is asked for. New files appear whole or not at all.

    Raises:
        PictureError: the picture cannot be read or decoded.
        OutputError: the folder cannot be written.
    """
    smaller = name if name.lower().endswith(JPEG_SUFFIXES) else f"{name}.jpg"
    for candidate in dict.fromkeys((name, smaller)):
        size = _size_if_current(source, folder / candidate, how)
        if size:
            return Placed(candidate, file_sha256(folder / candidate), *size, kept=True)
    rgb, content_hash = read_picture(source)
    height, width = rgb.shape[:2]
    factor = (how.shorter_side or min(height, width)) / min(height, width)
    try:
        if factor >= 1:
            _copy(source, folder / name, how.link)
            return Placed(name, content_hash, width, height, kept=False)
        height, width = max(1, round(height * factor)), max(1, round(width * factor))
        content_hash = _encode(resize(rgb, height, width), folder / smaller)
    except OSError as error:
        raise OutputError(f"{folder / name} cannot be written: {error}") from error
    return Placed(smaller, content_hash, width, height, kept=False)


def _size_if_current(source: Path, target: Path, how: Placing) -> tuple[int, int] | None:
    try:
        wanted, found = source.stat(), target.stat()
        if found.st_mtime < wanted.st_mtime:
            return None
        size = upright_size(target)
    except (OSError, PictureError):
        return None
    too_large = how.shorter_side is not None and min(size) > how.shorter_side
    is_source = found.st_size == wanted.st_size and target.is_symlink() == how.link and not too_large
    is_smaller = min(size) == how.shorter_side and not target.is_symlink()
    return size if is_source or is_smaller else None


def upright_size(path: Path) -> tuple[int, int]:
    """Width and height of a picture in pixels as its header says, after its EXIF orientation.

    Raises:
        PictureError: there is no such header.
    """
    from PIL import Image

    broken = (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError)
    try:
        with Image.open(path) as opened:
            width, height = opened.size
            turned = opened.getexif().get(ORIENTATION_TAG) in SWAPPING_ORIENTATIONS
    except broken as error:
        raise PictureError(f"{path} cannot be decoded: {error}") from error
    return (height, width) if turned else (width, height)


def _copy(source: Path, target: Path, link: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    try:
        if link:
            os.symlink(source.resolve(), unfinished)
        else:
            shutil.copyfile(source, unfinished)
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


def _encode(rgb: RGB, target: Path) -> str:
    from PIL import Image

    data = BytesIO()
    Image.fromarray(rgb).save(data, "JPEG", quality=QUALITY, subsampling="4:4:4")
    target.parent.mkdir(parents=True, exist_ok=True)
    write_beside(target, data.getvalue())
    return hashlib.sha256(data.getvalue()).hexdigest()
