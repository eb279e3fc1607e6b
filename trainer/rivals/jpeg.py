"""What a JPEG file gives away: its size, and the quality its quantisation tables were made for."""

from __future__ import annotations

import struct
from functools import cache
from io import BytesIO

import numpy as np
import numpy.typing as npt

from streamfilter.distort import KINDS
from streamfilter.errors import PictureError
from streamfilter.frame import RGB
from trainer.rivals.case import Case

NOT_JPEG_QUALITY = 101.0
"""Stands for pictures whose last step was not JPEG, pristine ones included: just above the best."""
ELSE_QUALITY = 90
"""Quality at which these are coded to have a size."""
QUALITIES = range(1, 101)
LUMA = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56),
    *(14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)
"""Row by row. Source: ITU-T T.81, table K.1."""


def bits_per_pixel(case: Case) -> float:
    """Size of the picture as a JPEG file.

    The very file when JPEG is the last thing that happened to the picture; otherwise the distorted picture coded at
    quality 90, which tells how much there is in it to code.
    """
    file = jpeg_file(case) or _encode(case.rgb, ELSE_QUALITY)
    return len(file) * 8 / case.grey.size


def jpeg_quality(case: Case) -> float:
    """Quality read from the file's quantisation tables; `NOT_JPEG_QUALITY` when JPEG was not the last step."""
    file = jpeg_file(case)
    return NOT_JPEG_QUALITY if file is None else quality_of(file)


def jpeg_file(case: Case) -> bytes | None:
    """The JPEG file the distorted picture was decoded from; None when JPEG was not the last step.

    Raises:
        PictureError: the codec refuses a picture of this size.
    """
    first, _, last = case.distortion.kind.rpartition("+")
    if last != "jpeg" or case.distortion.strength is None:
        return None
    if not first:
        return _encode(case.pristine, int(case.distortion.strength))
    before, level = KINDS[first], case.distortion.strength
    return _encode(before.apply(case.pristine, before.at(level)), int(KINDS[last].at(level)))


def quality_of(file: bytes) -> float:
    """The libjpeg quality, 1-100, whose luma table is nearest to that of a JPEG file (sum of absolute differences).

    Exact for files that libjpeg wrote with its standard tables.

    Raises:
        PictureError: it is not a readable JPEG file.
    """
    from PIL import Image

    try:
        with Image.open(BytesIO(file), formats=("JPEG",)) as opened:
            table = np.array(opened.quantization[0])  # type: ignore[attr-defined]
    except (OSError, SyntaxError, ValueError, KeyError, struct.error) as error:
        raise PictureError(f"no quality can be read from the JPEG file: {error}") from error
    return float(QUALITIES[int(np.abs(_tables() - table).sum(axis=1).argmin())])


@cache
def _tables() -> npt.NDArray[np.int64]:
    """(100, 64) libjpeg's luma tables of qualities 1 to 100, row by row. Source: libjpeg, jpeg_quality_scaling."""
    scales = np.array([5000 // quality if quality < 50 else 200 - 2 * quality for quality in QUALITIES])
    tables: npt.NDArray[np.int64] = np.clip((np.outer(scales, LUMA) + 50) // 100, 1, 255)
    return tables


def _encode(rgb: RGB, quality: int) -> bytes:
    """Baseline JPEG, 4:2:0, as the distortion writes it."""
    import cv2

    flags = [
        cv2.IMWRITE_JPEG_QUALITY,
        quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    ]
    whole, encoded = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), flags)
    if not whole:
        raise PictureError(f"a {rgb.shape[1]}x{rgb.shape[0]} picture cannot be written as JPEG")
    return encoded.tobytes()
