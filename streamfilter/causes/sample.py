"""A few pieces of a picture at its own resolution: what a codec, a lens or a sensor does is seen there, cheaply."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt

from streamfilter.frame import Frame
from streamfilter.preprocess import is_full_range, native_planes, packed

PATCH = 64
"""Side of a patch, pixels; smaller where the picture is."""
GRID = 4
"""Most patches along a side."""
BLOCK = 16
"""Codecs cut pictures into squares of this side; patches begin where those do."""
WIDEST = 64
"""Most blocks of a row of blocks whose borders are looked at."""
OVERVIEW = 96
"""Most rows and columns of the overview."""

Grey = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Sample:
    """What is looked at of one picture; 0-255 in full range but for the lines, and not turned upright."""

    luma: Grey
    """(P, S, S) uint8: patches side by side on a grid, S a multiple of `BLOCK` up to `PATCH`."""
    chroma: Grey
    """(2P, S/2, S/2) uint8: the same patches of U, then of V, at half the resolution."""
    lines: tuple[Grey, Grey, Grey, Grey]
    """Four of (K, B, `BLOCK`) uint8: of B blocks the two rows above each of K borders between rows of blocks, and the
    two below; in the range they are stored in."""
    overview: Grey
    """(h, w) uint8: single pixels from everywhere."""


def take(frame: Frame) -> Sample | None:
    """The sample of a readable frame, from the decoder's planes where it has them; None when it is too small.

    Raises:
        PictureError: the frame is unreadable.
    """
    planes = native_planes(frame)
    if not planes:
        return _of_rgb(packed(frame))
    if min(planes[0].shape) < 2 * BLOCK:
        return None
    places = _places(*planes[0].shape)
    sample = Sample(_cut(planes[0], places), _chroma(planes, places), _lines(planes[0]), _thinned(planes[0]))
    return sample if frame.native is None or is_full_range(frame.native) else _widened(sample)


def _of_rgb(rgb: Grey) -> Sample | None:
    import cv2

    if min(rgb.shape[:2]) < 2 * BLOCK:
        return None
    places = _places(*rgb.shape[:2])
    patches = _cut(rgb, places)
    count, side = patches.shape[:2]
    ycc = np.asarray(cv2.cvtColor(patches.reshape(-1, side, 3), cv2.COLOR_RGB2YCrCb), np.uint8)
    halves = np.asarray(cv2.resize(ycc, (side // 2, count * side // 2), interpolation=cv2.INTER_AREA), np.uint8)
    chroma = np.stack([halves[:, :, 2], halves[:, :, 1]]).reshape(-1, side // 2, side // 2)
    lines = _lines(rgb)
    return Sample(
        np.ascontiguousarray(ycc[:, :, 0]).reshape(count, side, side),
        chroma,
        (_grey(lines[0]), _grey(lines[1]), _grey(lines[2]), _grey(lines[3])),
        _grey(np.ascontiguousarray(_thinned(rgb))),
    )


def _grey(rgb: Grey) -> Grey:
    import cv2

    flat = np.ascontiguousarray(rgb).reshape(len(rgb), -1, 3)
    return np.asarray(cv2.cvtColor(flat, cv2.COLOR_RGB2GRAY), dtype=np.uint8).reshape(rgb.shape[:-1])


@lru_cache(maxsize=64)
def _places(height: int, width: int) -> tuple[tuple[tuple[int, int], ...], int]:
    """Top left corners of the patches, each on a block's corner, and their side."""
    side = min(PATCH, height // BLOCK * BLOCK, width // BLOCK * BLOCK)
    tops, lefts = (
        [int(start) // BLOCK * BLOCK for start in np.linspace(0, length - side, min(GRID, length // side))]
        for length in (height, width)
    )
    return tuple((top, left) for top in tops for left in lefts), side


def _cut(plane: Grey, places: tuple[tuple[tuple[int, int], ...], int], shrink: int = 1) -> Grey:
    corners, side = places
    part = side // shrink
    return np.stack(
        [plane[top : top + part, left : left + part] for top, left in ((y // shrink, x // shrink) for y, x in corners)]
    )


def _chroma(planes: list[Grey], places: tuple[tuple[tuple[int, int], ...], int]) -> Grey:
    """The patches of U and V; where there are none, grey ones."""
    corners, side = places
    if len(planes) < 3:
        return np.full((2 * len(corners), side // 2, side // 2), 128, np.uint8)
    return np.concatenate([_cut(_halved(plane, planes[0].shape), places, 2) for plane in planes[1:3]])


def _halved(plane: Grey, luma_shape: tuple[int, ...]) -> Grey:
    """A chroma plane of any subsampling, pixels left out or repeated so that half as many as the luma's are there."""
    for axis, (own, of) in enumerate(zip(plane.shape, luma_shape, strict=True)):
        if round(of / own) > 2:
            plane = np.repeat(plane, round(of / own) // 2, axis)
    steps = [max(1, round(2 * own / of)) for own, of in zip(plane.shape, luma_shape, strict=True)]
    return plane[:: steps[0], :: steps[1]]


def _lines(plane: Grey) -> tuple[Grey, Grey, Grey, Grey]:
    count, wide = (plane.shape[0] - BLOCK - 2) // BLOCK + 1, plane.shape[1] // BLOCK
    before, above, below, after = (
        plane[start::BLOCK][:count, : wide * BLOCK].reshape(count, wide, BLOCK, *plane.shape[2:])[
            :, :: -(-wide // WIDEST)
        ]
        for start in (BLOCK - 2, BLOCK - 1, BLOCK, BLOCK + 1)
    )
    return before, above, below, after


def _thinned(plane: Grey) -> Grey:
    steps = [-(-side // OVERVIEW) for side in plane.shape[:2]]
    return plane[:: steps[0], :: steps[1]]


def _widened(sample: Sample) -> Sample:
    """Limited range (luma 16-235, chroma 16-240) as full range; the lines stay, for only their steps are compared."""
    luma, chroma = _tables()
    return Sample(
        _mapped(sample.luma, luma), _mapped(sample.chroma, chroma), sample.lines, _mapped(sample.overview, luma)
    )


def _mapped(values: Grey, table: Grey) -> Grey:
    import cv2

    rows = np.ascontiguousarray(values).reshape(len(values), -1)
    return np.asarray(cv2.LUT(rows, table), dtype=np.uint8).reshape(values.shape)


@cache
def _tables() -> tuple[Grey, Grey]:
    values = np.arange(256.0)
    luma, chroma = (values - 16) * 255 / 219, (values - 128) * 255 / 224 + 128
    wide, wider = (np.asarray(np.clip(np.rint(table), 0, 255), np.uint8) for table in (luma, chroma))
    return wide, wider
