"""A frame as JPEG bytes."""

from __future__ import annotations

from streamfilter.errors import PictureError
from streamfilter.frame import Frame

LONGEST_SIDE = 65_500
"""Pixels; libjpeg takes no more."""


def jpeg_bytes(frame: Frame, quality: int) -> bytes:
    """The source's own JPEG, untouched, or the picture encoded.

    Args:
        frame: a readable frame.
        quality: JPEG quality, 1-100, when it has to be encoded.

    Raises:
        PictureError: its pixels cannot be had, or a side is over `LONGEST_SIDE`.
    """
    if frame.jpeg is not None:
        return frame.jpeg
    import cv2

    height, width = frame.size_hw
    if max(height, width) > LONGEST_SIDE:
        raise PictureError(
            f"frame {frame.index} of {frame.input} has {width}x{height} pixels; a JPEG's sides end at {LONGEST_SIDE}"
        )
    _, data = cv2.imencode(".jpg", cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data.tobytes()
