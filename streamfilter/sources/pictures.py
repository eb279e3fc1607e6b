"""One picture's bytes -> RGB, whatever its format, depth and orientation."""

from __future__ import annotations

import io
import logging
import math
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from streamfilter.errors import PictureError
from streamfilter.frame import RGB, Frame, Reduced
from streamfilter.sources.base import MAX_PIXELS

if TYPE_CHECKING:
    from PIL import Image, ImageFile

log = logging.getLogger(__name__)

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
ORIENTATION = 0x0112
LYING = (5, 6, 7, 8)
"""Orientations whose width is the upright picture's height."""
REDUCED_SIDES = 3.9
"""Times the model's input that a picture decoded small is at least: what it scores then moves by less than 0.01."""
COARSEST_STEP = 80
"""Quantisation step of the mean up to which that holds; about quality 10."""
# What Pillow's format readers let through on hostile bytes; warnings are errors to those who ask Python for it.
DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    EOFError,
    MemoryError,
    NotImplementedError,
    struct.error,
    zlib.error,
    UserWarning,
)


def picture_format(head: bytes) -> str | None:
    """Pillow's name for the format of a file that starts with these 16 bytes; None when we do not read it."""
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head.startswith((b"II*\0", b"MM\0*")):
        return "TIFF"
    return "BMP" if head.startswith(b"BM") and head[6:10] == bytes(4) else None


def decode_picture(data: bytes) -> RGB:
    """The picture as eyes see it: upright by its EXIF orientation, sRGB numbers taken as they are.

    Grey, palette and CMYK (Adobe's inverted one too) become RGB; 16-bit samples keep their high byte; what is
    transparent is laid over black, for hidden pixels must not count. Of several pages or frames the first is read.

    Args:
        data: a whole JPEG, PNG, WebP, BMP or TIFF file.

    Returns:
        (H, W, 3) uint8, RGB, HWC, 0-255.

    Raises:
        PictureError: the bytes are no such picture, are cut short or damaged, or declare more than `MAX_PIXELS` pixels.
    """
    from PIL import Image

    kind = picture_format(data[:16])
    if kind is None:
        raise PictureError(f"is not a {', '.join(FORMATS)} picture")
    try:
        with _header(io.BytesIO(data), kind) as image:
            if image.width * image.height > MAX_PIXELS:
                bound = f"over the bound of {MAX_PIXELS // 1_000_000} megapixels"
                raise PictureError(f"declares {image.width}x{image.height} pixels, {bound}")
            image.load()
            return _upright(_to_rgb(image), _orientation(image))
    except (*DECODE_ERRORS, Image.DecompressionBombError) as error:
        raise PictureError(f"cannot be decoded: {_one_line(error)}") from error


def declared_pixels(path: Path) -> int:
    """How many pixels a picture file says it has; 0 when it cannot be told."""
    try:
        with path.open("rb") as file:
            kind = picture_format(file.read(16))
            file.seek(0)
            if kind is None:
                return 0
            with _header(file, kind) as image:
                return image.width * image.height
    except DECODE_ERRORS:
        return 0


def decode_reduced(data: bytes, model_side: int) -> Reduced | None:
    """The picture at a half, a quarter or an eighth of its size, by decoding fewer of a JPEG's frequencies.

    Args:
        data: a whole picture file.
        model_side: side of the model's square input, pixels.

    Returns:
        The smaller picture, each side at least `REDUCED_SIDES` times the model's; None when it would not be smaller, is
        no JPEG, or is so coarsely quantised that the score might move: then it has to be decoded whole.

    Raises:
        PictureError: as `decode_picture`.
    """
    from PIL import Image

    if picture_format(data[:16]) != "JPEG":
        return None
    try:
        with _header(io.BytesIO(data), "JPEG") as image:
            width, height = image.size
            tables = getattr(image, "quantization", {})
            steps = [table[0] for table in tables.values()]
            least = math.ceil(REDUCED_SIDES * model_side)
            if width * height > MAX_PIXELS or not steps or max(steps) > COARSEST_STEP:
                return None
            if min(width, height) < 2 * least or image.draft(None, (least, least)) is None:
                return None
            image.load()
            orientation = _orientation(image)
            turned = _upright(_to_rgb(image), orientation)
    except (*DECODE_ERRORS, Image.DecompressionBombError) as error:
        raise PictureError(f"cannot be decoded: {_one_line(error)}") from error
    lies = orientation in LYING
    return Reduced(turned, (width, height) if lies else (height, width), lambda: decode_picture(data))


def picture_frame(data: bytes, source: str, index: int, model_side: int | None, name: str | None = None) -> Frame:
    """The frame of a picture's bytes, unreadable when they cannot be decoded.

    Args:
        data: a whole picture file.
        source: what `Frame.input` says.
        index: its place in the source.
        model_side: the model's input size, pixels, when a smaller decode will do for now; None = decode it whole.
        name: what `Frame.name` says.
    """
    jpeg = data if picture_format(data[:16]) == "JPEG" else None
    try:
        reduced = None if model_side is None else decode_reduced(data, model_side)
        array = decode_picture(data) if reduced is None else None
    except PictureError as error:
        return Frame(source, index, problem=str(error), name=name)
    return Frame(source, index, array=array, reduced=reduced, jpeg=jpeg, name=name)


def _header(data: BinaryIO, kind: str) -> ImageFile.ImageFile:
    """The picture with its header read and no pixel yet; `Image.open` would put its own bound before ours."""
    from PIL import Image

    Image.init()
    reader, _ = Image.OPEN[kind]
    return reader(data, "")


def _to_rgb(image: Image.Image) -> RGB:
    from PIL import Image

    if image.mode.startswith("I;16"):
        return _grey_to_rgb(np.asarray(image))
    if image.mode in ("I", "F"):
        raise PictureError(f"has {image.mode} samples of 32 bits, whose range is unknown; save it with 8 or 16 bits")
    if image.has_transparency_data:
        layers = image.convert("RGBA")
        black = Image.new("RGBA", layers.size, (0, 0, 0, 255))
        return np.asarray(Image.alpha_composite(black, layers).convert("RGB"))
    return np.asarray(image.convert("RGB"))


def _grey_to_rgb(grey: np.ndarray) -> RGB:
    high = (grey.astype(np.uint16) >> 8).astype(np.uint8)
    return np.repeat(high[:, :, None], 3, axis=2)


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except DECODE_ERRORS as error:
        log.debug("EXIF left unread: %s", _one_line(error))
        return 1
    return value if isinstance(value, int) else 1


def _upright(rgb: RGB, orientation: int) -> RGB:
    """Undo an EXIF orientation. Source: Exif 2.32, table 6 (tag 0x0112)."""
    turns_then_mirror = {
        2: (0, True),
        3: (2, False),
        4: (2, True),
        5: (3, True),
        6: (3, False),
        7: (1, True),
        8: (1, False),
    }
    turns, mirrored = turns_then_mirror.get(orientation, (0, False))
    turned = np.rot90(rgb, turns)
    return np.ascontiguousarray(turned[:, ::-1] if mirrored else turned)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
