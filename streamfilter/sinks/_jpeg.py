"""A frame as JPEG bytes."""

from __future__ import annotations

from streamfilter.errors import OutputError
from streamfilter.frame import Frame


def jpeg_bytes(frame: Frame, quality: int) -> bytes:
    """The source's own JPEG, untouched, or the picture encoded.

    Args:
        frame: a readable frame.
        quality: JPEG quality, 1-100, when it has to be encoded.

    Raises:
        OutputError: JPEG cannot hold it (a side over 65,535 pixels).
    """
    if frame.jpeg is not None:
        return frame.jpeg
    import cv2

    try:
        done, data = cv2.imencode(
            ".jpg", cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
        )
    except cv2.error as error:
        raise OutputError(_refusal(frame)) from error
    if not done:
        raise OutputError(_refusal(frame))
    return data.tobytes()


def _refusal(frame: Frame) -> str:
    height, width = frame.size_hw
    return f"cannot encode frame {frame.index} of {frame.input} as JPEG: {width}x{height} pixels; JPEG ends at 65535"
