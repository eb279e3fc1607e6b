"""What every room passes along: a frame, and what was decided about it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from streamfilter.errors import PictureError, ShapeError

if TYPE_CHECKING:
    import av

RGB = npt.NDArray[np.uint8]
FULL_RANGE = 2
"""Of a decoded frame's `color_range`: luma from 0 to 255, not from 16 to 235."""


class Reason(StrEnum):
    """Why a frame was kept or dropped. Every frame has exactly one."""

    USEFUL = "useful"
    """Kept: its utility reaches the threshold."""
    HYSTERESIS = "hysteresis"
    """Kept: under the threshold, but not by more than the hysteresis after a kept frame."""
    GAP_FLOOR = "gap_floor"
    """Kept: under the threshold, but nothing was kept for the maximum gap."""
    CANARY = "canary"
    """Kept: it would have been dropped, but was drawn at random to be looked at."""
    SHADOW = "shadow"
    """Kept: it would have been dropped, but nothing is dropped in shadow mode."""
    LOW_UTILITY = "low_utility"
    """Dropped: its utility is under the threshold."""
    UNREADABLE = "unreadable"
    """Dropped: it could not be decoded, so it was never scored."""
    RELEASED = "released"
    """Kept: data was lost on the way, but its utility reaches the stricter threshold for that."""
    TAINTED = "tainted"
    """Dropped: data was lost on the way, and its utility is under the stricter threshold for that."""
    AWAITING_KEYFRAME = "awaiting_keyframe"
    """Dropped: it came after a connect and before the first intact keyframe."""
    OVERFLOW = "overflow"
    """Dropped before it was scored or delivered: newer frames took its place."""
    STALE = "stale"
    """Dropped before it was scored or delivered: it had waited longer than the staleness bound."""
    OUTRANKED = "outranked"
    """Dropped before it was delivered: the consumer was busy, and a more useful frame of the same moment went first."""
    STOPPED = "stopped"
    """Dropped before it was scored or delivered: the run ended, or its stream could not go on."""


class Cause(StrEnum):
    """What makes a picture useless to machines, as far as can be measured. Most useful pictures have none."""

    COMPRESSION = "compression"
    """Blocks, ringing and flat places of a codec at too low a rate."""
    BLUR = "blur"
    """Out of focus, smeared by motion, or scaled up from few pixels."""
    NOISE = "noise"
    DARK = "dark"
    OVER_EXPOSED = "over_exposed"
    DAMAGED = "damaged"
    """Parts are missing or made up after lost data."""
    COVERED = "covered"
    """Something hides the scene: hardly any structure is left anywhere."""
    FROZEN = "frozen"
    """The same picture for a long time, noise included."""


@dataclass(frozen=True)
class Signs:
    """What the way a live frame came says about its soundness."""

    connection: int = 0
    """Which connect it came by, from 0; each reconnect counts up."""
    is_keyframe: bool = False
    """Whether it was coded without reference to other frames."""
    gap: bool = False
    """Whether packets or time are missing between the frame before it and this one."""
    errors: bool = False
    """Whether the decoder complained about it."""
    concealed_share: float = 0.0
    """Share of the picture that the decoder made up, 0-1."""


@dataclass(frozen=True)
class StreamEvent:
    """Something that happened to a stream as a whole."""

    stream: str
    """The stream's name."""
    kind: str
    """`connecting`, `connected`, `playing`, `waiting` (for the next try), `failed`, `closed`, `ended`, `unhealthy`,
    `healthy`, `added`, `removed`; of its drops `bound_doubtful`, `bound_credible`, `drifted`, `settled`; of the camera
    itself `camera_dark`, `camera_covered`, `camera_defocused`, `camera_frozen`, `camera_ok`."""
    detail: str
    """One line, without passwords."""


def check_rgb(rgb: RGB) -> None:
    """Take (H, W, 3) uint8 with at least one pixel for a picture, and nothing else.

    Raises:
        ShapeError: it is something else.
    """
    if not isinstance(rgb, np.ndarray):
        raise ShapeError(f"expected (H, W, 3) uint8 with at least one pixel, got {type(rgb).__name__}")
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or rgb.size == 0:
        raise ShapeError(f"expected (H, W, 3) uint8 with at least one pixel, got {rgb.shape} {rgb.dtype}")


@dataclass(frozen=True, eq=False)
class Reduced:
    """A picture decoded at a half, a quarter or an eighth of its size: enough for the model, and much cheaper."""

    array: RGB
    """(h, w, 3) uint8 RGB, upright."""
    full_size_hw: tuple[int, int]
    """Height and width of the whole picture, pixels, upright."""
    load: Callable[[], RGB]
    """Decodes the whole picture; raises `PictureError`."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a stream, kept as the decoder gave it.

    Exactly one of `native`, `array`, `reduced` and `problem` is set, and none once its pixels were let go.

    Raises:
        ShapeError: `array` is not (H, W, 3) uint8, or has no pixels.
        ValueError: none or more than one of `native`, `array`, `reduced` and `problem` is set, or `pts_seconds` is NaN
            or infinite.
    """

    input: str
    """The source it came from, as shown in records; for pictures the file's path. Never holds a password."""
    index: int
    """Position in its source, from 0, in presentation order; unreadable frames count."""
    pts_seconds: float | None = None
    """Presentation time from the container, seconds; None when the source has no clock (pictures)."""
    native: av.VideoFrame | None = None
    """The decoder's frame, planes untouched, not yet rotated; None for pictures."""
    array: RGB | None = None
    """(H, W, 3) uint8 RGB, upright; None when the decoder's frame is kept instead."""
    jpeg: bytes | None = None
    """The file's own JPEG bytes, to pass through untouched; None when the source was not JPEG."""
    rotation_degrees: int = 0
    """Counter-clockwise turn, a multiple of 90, that makes `native` upright; 0 for `array`."""
    pixel_aspect: Fraction | None = None
    """Width of a pixel of `native` over its height, as coded; None when not said: then pixels are taken for square."""
    problem: str | None = None
    """Why it could not be decoded, one line; None when it could."""
    name: str | None = field(default=None)
    """File name relative to the folder or list it came from, for picture sinks; None for video."""
    arrived_seconds: float | None = None
    """When the packet of a live frame came, `time.monotonic()` seconds; None for files."""
    signs: Signs | None = None
    """What its way says about it; None for files."""
    reduced: Reduced | None = None
    """A smaller decode of `jpeg`, for scoring; None when the picture was decoded whole."""
    is_emptied: bool = False
    """Whether its pixels were let go: it was dropped before anyone looked at it."""
    is_mirrored: bool = False
    """Whether `native`, once turned, is to be mirrored left to right."""

    def __post_init__(self) -> None:
        pixels = (self.native, self.array, self.reduced, self.problem)
        if sum(part is not None for part in pixels) != (not self.is_emptied):
            raise ValueError("a frame has exactly one of native, array, reduced and problem")
        if self.pts_seconds is not None and not abs(self.pts_seconds) <= sys.float_info.max:
            raise ValueError(f"pts_seconds is {self.pts_seconds}, expected a finite number or None")
        if self.array is not None:
            check_rgb(self.array)

    @property
    def is_readable(self) -> bool:
        """Whether it has pixels at all."""
        return self.problem is None and not self.is_emptied

    def emptied(self) -> Frame:
        """The same frame without its pixels, for the records."""
        return replace(self, native=None, array=None, reduced=None, jpeg=None, problem=None, is_emptied=True)

    @property
    def clock_seconds(self) -> float | None:
        """What waits are counted by: a file's own time; of a live frame, when it came; None of pictures."""
        return self.pts_seconds if self.arrived_seconds is None else self.arrived_seconds

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels, upright.

        Raises:
            PictureError: the frame is unreadable.
        """
        if self.array is not None:
            return self.array.shape[0], self.array.shape[1]
        if self.reduced is not None:
            return self.reduced.full_size_hw
        if self.native is None:
            raise PictureError(f"frame {self.index} of {self.input} has no pixels: {self._why_empty}")
        size = (self.native.height, self.native.width)
        return size if self.rotation_degrees % 180 == 0 else (size[1], size[0])

    @property
    def _why_empty(self) -> str:
        return self.problem or "they were let go"

    @property
    def nbytes(self) -> int:
        """Bytes of memory its pixels take, about; RGB made on demand is not counted."""
        if self.native is not None:
            return sum(plane.buffer_size for plane in self.native.planes)
        pixels = self.array if self.reduced is None else self.reduced.array
        return 0 if pixels is None else pixels.nbytes + len(self.jpeg or b"")

    @cached_property
    def rgb(self) -> RGB:
        """(H, W, 3) uint8, RGB, HWC, 0-255, upright; converted from the native planes, or decoded, on first use.

        Raises:
            PictureError: the frame is unreadable.
        """
        if self.array is not None:
            return self.array
        if self.reduced is not None:
            return self.reduced.load()
        if self.native is None:
            raise PictureError(f"frame {self.index} of {self.input} has no pixels: {self._why_empty}")
        return self.upright(self.native.to_ndarray(format="rgb24"))

    @property
    def is_upright(self) -> bool:
        """Whether `native` is to be shown as it is."""
        return self.rotation_degrees % 360 == 0 and not self.is_mirrored

    def upright(self, picture: npt.NDArray[np.generic]) -> RGB:
        """What was made of `native`, turned and mirrored as it is to be seen.

        Args:
            picture: (h, w, 3) uint8, not yet turned.
        """
        turned = np.rot90(picture, self.rotation_degrees // 90)
        return np.ascontiguousarray(turned[:, ::-1] if self.is_mirrored else turned, dtype=np.uint8)


@dataclass(frozen=True, eq=False)
class Decision:
    """What happens to one frame, and why."""

    keep: bool
    """Whether the frame goes on to the consumers."""
    reason: Reason
    """The one cause of `keep`."""
    utility: Mapping[str, float] | None = None
    """Calibrated utility in [0, 1] for each task of the model; None when the frame was not scored."""
    damage: float | None = None
    """Share of the picture that the decoder made up since data went missing, 0-1; None when nothing is missing."""
    is_reused: bool = False
    """Whether the utility is that of an earlier frame that looked alike."""
    reuse_agrees: bool | None = None
    """Whether the utility that it could have taken over leads to the same decision; None when that was not checked."""
    spared: Reason | None = None
    """Why it would have been dropped, had it not been kept as `canary` or `shadow`; None for all other frames. One that
    is lost afterwards on its way to the consumer (`stale` ...) keeps it."""
    cause: Cause | None = None
    """What makes it useless, when it is; None when it is useful, or nothing was found."""
