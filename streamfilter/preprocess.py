"""Frame -> model input. The only copy: the trainer and the exporter import it too."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from streamfilter.errors import PictureError
from streamfilter.frame import FULL_RANGE, RGB, Frame, check_rgb
from streamfilter.spec import STRETCH, centre_side

if TYPE_CHECKING:
    import av
    from av.video.reformatter import VideoReformatter

PLANAR_420 = ("yuv420p", "yuvj420p", "nv12")
"""Of `nv12`, which hardware decodes to, U and V lie in one plane in turns."""
BT709 = 1
CENTRE_CROP = 0.875
"""Side of the centre that classifiers are shown, as a share of the shorter side."""
GLIMPSE_HW = (36, 64)
DETAIL_LINES = 4
"""Of the lines of a glimpse, its detail is measured on one in so many."""

_OWN = threading.local()


def shrink(rgb: RGB, size: int, fit: str = STRETCH) -> RGB:
    """A picture as the model's input: stretched to a square, and for some models its centre below that.

    The centre is the middle square of 0.875 of the shorter side: what classifiers are shown of a picture.

    Args:
        rgb: (H, W, 3) uint8, RGB, HWC, 0-255.
        size: side of the square, pixels.
        fit: one of `streamfilter.spec.FITS`.

    Returns:
        (*input_hw(size, fit), 3) uint8, RGB, HWC, 0-255; area interpolation down, bilinear up.

    Raises:
        ShapeError: `rgb` is not (H, W, 3) uint8, or has no pixels.
    """
    check_rgb(rgb)
    return _composed(_views(rgb, size, fit))


def model_input(frame: Frame, size: int, fit: str = STRETCH) -> RGB:
    """A frame as the model wants it; a video frame is scaled from the decoder's own planes.

    Args:
        frame: a readable frame.
        size: the model's input size, pixels.
        fit: one of `streamfilter.spec.FITS`.

    Returns:
        (*input_hw(size, fit), 3) uint8, RGB, HWC, 0-255, upright.

    Raises:
        PictureError: the frame is unreadable.
    """
    if frame.native is None:
        return shrink(packed(frame), size, fit)
    native = frame.native
    if native.width < 1 or native.height < 1:
        raise PictureError(f"frame {frame.index} of {frame.input} is {native.width}x{native.height}")
    try:
        planar = native.format.name in PLANAR_420
        views = _views_of_planes(native, size, fit) if planar else _views(_rgb(native), size, fit)
    except OSError as error:
        raise PictureError(f"frame {frame.index} of {frame.input} cannot be scaled: {error.strerror}") from error
    return _composed(views if frame.is_upright else [frame.upright(view) for view in views])


@dataclass(frozen=True, eq=False)
class Glimpse:
    """A frame's luma from every so many lines: enough to see that something changed."""

    luma: npt.NDArray[np.float32]
    """`GLIMPSE_HW` float32, 0-255, not turned upright."""
    detail: float
    """Mean step from a pixel to the next along the lines, at full width, grey levels: blur, noise, blocks move it."""

    @cached_property
    def spread(self) -> npt.NDArray[np.float32]:
        """(36 * 64,) float32, ascending: which luma there is, wherever it is."""
        return np.sort(self.luma, axis=None)


def glimpse(frame: Frame) -> Glimpse:
    """What a frame looks like in few pixels.

    Args:
        frame: a readable frame.
    """
    import cv2

    luma = _plane(frame.native, 0) if frame.native and _is_planar(frame.native) else packed(frame)[:, :, 1]
    lines = luma[:: max(1, luma.shape[0] // (4 * GLIMPSE_HW[0]))]
    # OpenCV averages whole numbers of pixels ten times faster than parts of them; what is cut off is under one cell.
    cells = zip(lines.shape, GLIMPSE_HW, strict=True)
    height, width = (max(side - side % part, min(side, part)) for side, part in cells)
    small = cv2.resize(lines[:height, :width], GLIMPSE_HW[::-1], interpolation=cv2.INTER_AREA)
    few = lines[::DETAIL_LINES]
    steps = cv2.norm(few[:, 1:], few[:, :-1], cv2.NORM_L1) / few[:, 1:].size if few.shape[1] > 1 else 0.0
    return Glimpse(np.asarray(small, dtype=np.float32), steps)


def native_planes(frame: Frame) -> list[npt.NDArray[np.uint8]]:
    """Views of the decoder's 8-bit planes, not turned upright: luma, then U and V if any; none where it has no such."""
    native = frame.native
    if native is None or not _is_planar(native):
        return []
    return _planes(native)


def packed(frame: Frame) -> RGB:
    """A readable frame's (H, W, 3) uint8 RGB; where it was decoded small, the smaller one, for it is there already."""
    return frame.rgb if frame.reduced is None else frame.reduced.array


def is_full_range(native: av.VideoFrame) -> bool:
    """Whether its luma runs from 0 to 255 rather than from 16 to 235."""
    return native.color_range == FULL_RANGE or native.format.name == "yuvj420p"


def _resize(picture: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    import cv2

    shrinks = picture.shape[0] >= size and picture.shape[1] >= size
    resized = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.uint8)


def _middle(height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of the middle square."""
    side = max(1, round(CENTRE_CROP * min(height, width)))
    top, left = (height - side) // 2, (width - side) // 2
    return slice(top, top + side), slice(left, left + side)


def _composed(views: Sequence[RGB]) -> RGB:
    """Square views one below the other, black beside the smaller ones."""
    if len(views) == 1:
        return views[0]
    both = np.zeros((sum(map(len, views)), len(views[0]), 3), np.uint8)
    top = 0
    for view in views:
        both[top : top + len(view), : len(view)] = view
        top += len(view)
    return both


def _views(rgb: RGB, size: int, fit: str) -> list[RGB]:
    views = [_resize(rgb, size)]
    if fit != STRETCH:
        rows, columns = _middle(rgb.shape[0], rgb.shape[1])
        views.append(_resize(rgb[rows, columns], centre_side(size)))
    return views


def _rgb(native: av.VideoFrame) -> RGB:
    return np.asarray(native.to_ndarray(format="rgb24"), dtype=np.uint8)


def _views_of_planes(native: av.VideoFrame, size: int, fit: str) -> list[RGB]:
    if min(native.width, native.height) < size:
        scaled = [[_resize(plane, size) for plane in _planes(native)]]
    else:
        # What `_resize` gives, within a few grey levels; FFmpeg averages areas several times faster than OpenCV.
        small = _scaler().reformat(native, size, size, format="yuv444p", interpolation="AREA")
        scaled = [[_plane(small, index) for index in range(3)]]
    if fit != STRETCH:
        rows, columns = _middle(native.height, native.width)
        halves = [slice(part.start // 2, max(part.start // 2 + 1, part.stop // 2)) for part in (rows, columns)]
        cuts = [(rows, columns), tuple(halves), tuple(halves)]
        cut_out = [plane[cut] for plane, cut in zip(_planes(native), cuts, strict=True)]
        scaled.append([_resize(plane, centre_side(size)) for plane in cut_out])
    return [_mixed(planes, native) for planes in scaled]


def _mixed(planes: list[npt.NDArray[np.uint8]], native: av.VideoFrame) -> RGB:
    import cv2

    return np.asarray(cv2.transform(cv2.merge(planes), _yuv_to_rgb(native)), dtype=np.uint8)


def _scaler() -> VideoReformatter:
    """This thread's scaler: it keeps its tables for as long as the sizes stay."""
    from av.video.reformatter import VideoReformatter

    if not hasattr(_OWN, "scaler"):
        _OWN.scaler = VideoReformatter()
    scaler: VideoReformatter = _OWN.scaler
    return scaler


def _planes(native: av.VideoFrame) -> list[npt.NDArray[np.uint8]]:
    """Each of the colours by itself, luma first."""
    if len(native.planes) == 2:
        both = _plane(native, 1, 2)
        return [_plane(native, 0), both[:, ::2], both[:, 1::2]]
    return [_plane(native, index) for index in range(len(native.planes))]


def _plane(native: av.VideoFrame, index: int, together: int = 1) -> npt.NDArray[np.uint8]:
    plane = native.planes[index]
    # PyAV's stubs leave out that a plane is a buffer.
    lines = np.frombuffer(cast(memoryview, plane), dtype=np.uint8)[: plane.line_size * plane.height]
    return lines.reshape(plane.height, plane.line_size)[:, : together * plane.width]


def _is_planar(native: av.VideoFrame) -> bool:
    """Whether the first plane is 8-bit luma."""
    form = native.format
    return form.name in PLANAR_420 or (not form.is_rgb and form.is_planar and form.components[0].bits == 8)


def _yuv_to_rgb(native: av.VideoFrame) -> npt.NDArray[np.float64]:
    """(3, 4) matrix from (Y, U, V, 1) in 0-255 to RGB in 0-255. Source: ITU-R BT.601 and BT.709."""
    kr, kb = (0.2126, 0.0722) if native.colorspace == BT709 else (0.299, 0.114)
    luma, chroma, black = (1.0, 1.0, 0.0) if is_full_range(native) else (255 / 219, 255 / 224, 16.0)
    kg = 1 - kr - kb
    red_v, blue_u = 2 * (1 - kr) * chroma, 2 * (1 - kb) * chroma
    green_u, green_v = -blue_u * kb / kg, -red_v * kr / kg
    matrix = np.array([[luma, 0, red_v], [luma, green_u, green_v], [luma, blue_u, 0]])
    offset = -matrix @ np.array([black, 128.0, 128.0])
    return np.column_stack([matrix, offset])
