"""Frames as encoders take them: upright, of one size and colour, stamped with the output's own time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from streamfilter.frame import Frame
from streamfilter.sinks._clock import TIME_BASE
from streamfilter.sinks._encoders import PIXEL_FORMAT

if TYPE_CHECKING:
    import av
    from av.video.reformatter import VideoReformatter

BT709, UNSPECIFIED, LIMITED, FULL = 1, 2, 1, 2
"""Codes of ITU-T H.273, as FFmpeg uses them for matrices, primaries, transfer and range."""


@dataclass(frozen=True)
class Picture:
    """What all frames of one file have in common: the first one's."""

    width: int
    height: int
    matrix: int
    range: int
    primaries: int
    transfer: int
    aspect: Fraction
    """Width of a pixel over its height."""


def upright(frame: Frame) -> av.VideoFrame:
    """The decoder's own frame, or its RGB when it has to be turned or was a picture."""
    import av

    if frame.native is not None and frame.is_upright:
        return frame.native
    return av.VideoFrame.from_ndarray(frame.rgb, format="rgb24")


def common(frame: Frame, source: av.VideoFrame) -> Picture:
    """What later frames are made to match; `source` is the frame as `upright` gives it."""
    width, height, aspect = even(source.width), even(source.height), _aspect(frame)
    if source.format.is_rgb:
        return Picture(width, height, BT709, LIMITED, UNSPECIFIED, UNSPECIFIED, aspect)
    return Picture(width, height, source.colorspace, _range(source), source.color_primaries, source.color_trc, aspect)


def _aspect(frame: Frame) -> Fraction:
    coded = frame.pixel_aspect or Fraction(1)
    return coded if frame.rotation_degrees % 180 == 0 else 1 / coded


def _range(source: av.VideoFrame) -> int:
    return FULL if source.color_range == FULL or source.format.name.startswith("yuvj") else LIMITED


def converted(source: av.VideoFrame, common: Picture, scaler: VideoReformatter) -> av.VideoFrame:
    """The frame as the encoder takes it; the very same object when it is so already."""
    same_size = (source.width, source.height) == (common.width, common.height)
    same_colours = (source.colorspace, _range(source)) == (common.matrix, common.range)
    if same_size and same_colours and source.format.name == PIXEL_FORMAT:
        return source
    return scaler.reformat(
        source,
        common.width,
        common.height,
        PIXEL_FORMAT,
        dst_colorspace=_SCALER_MATRIX.get(common.matrix, common.matrix),
        dst_color_range=common.range,
    )


_SCALER_MATRIX = {6: 5}
"""H.273 has two codes for the matrix of BT.601, the scaler one."""


def even(side: int) -> int:
    """4:2:0 halves the chroma, so sides are even."""
    return max(2, side - side % 2)


@contextmanager
def stamped(picture: av.VideoFrame, tick: int, kind: int = 0) -> Iterator[av.VideoFrame]:
    """Lend the encoder a frame with our time stamp; the caller's own marks come back afterwards.

    The decoder's picture type goes as well, for it would force a keyframe wherever the source had one; `kind` says what
    to force instead, 0 for nothing.
    """
    before = (picture.pts, picture.time_base or Fraction(0), picture.duration, picture.pict_type)
    try:
        picture.pts, picture.time_base, picture.duration, picture.pict_type = tick, TIME_BASE, 0, kind
        yield picture
    finally:
        picture.pts, picture.time_base, picture.duration, picture.pict_type = before
