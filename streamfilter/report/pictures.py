"""The chosen frames as pictures, decoded again from the files they came from."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np

from streamfilter.errors import InputError, PictureError
from streamfilter.frame import RGB, Frame
from streamfilter.report.clips import Clip, Clock
from streamfilter.report.columns import shown
from streamfilter.sources import ImagesSource, VideoSource, open_source
from streamfilter.sources.images import looks_like_picture

THUMB_PIXELS = 256
FULL_PIXELS = 1280
FULL_BYTES = 300_000
QUALITIES = (82, 60, 35)
LEADS_SECONDS = (0.0, 10.0, 1e9)
"""How far before a frame decoding begins: at the keyframe before it, and earlier where that gives nothing."""
MATCH_SECONDS = 2e-4
MAX_SEQUENTIAL = 5_000
"""Frames decoded one after the other where the clock does not tell them apart, so that they cannot be sought."""


@dataclass(frozen=True)
class Picture:
    """A frame to look at."""

    thumb: str
    """JPEG as a data: address, `THUMB_PIXELS` wide at most."""
    full: str
    """JPEG as a data: address, `FULL_PIXELS` a side at most."""
    width: int
    """Of the frame itself, pixels."""
    height: int


def take(clip: Clip, rows: Sequence[int], moved_to: Path | None) -> list[Picture | str]:
    """A picture for each row, or one line that says why there is none.

    Args:
        clip: the clip.
        rows: rows of the clip, in order.
        moved_to: folder to look for the recorded files in first; None = only where they were.
    """
    if clip.clock is Clock.WALL:
        return ["a live stream cannot be read again"] * len(rows)
    found: list[Picture | str] = []
    reader = _Reader(clip, rows)
    for row in rows:
        path = located(clip.columns.inputs[clip.columns.input[row]], moved_to)
        try:
            found.append(path if isinstance(path, str) else _picture(reader.frame(path, row)))
        except (InputError, PictureError, OSError) as error:
            found.append(shown(str(error)))
    return found


class _Reader:
    """Finds the frames of a clip's rows in its files: by the time where only one has it, else by the index."""

    def __init__(self, clip: Clip, rows: Sequence[int]) -> None:
        self._columns = clip.columns
        self._has_clock = clip.clock is Clock.MEDIA
        self._wanted = {int(clip.columns.index[row]) for row in rows}
        self._path: Path | None = None
        self._sequence: dict[int, Frame] = {}

    def frame(self, path: Path, row: int) -> Frame | None:
        """The frame of a row; None when the file has no such frame, or has it too far in."""
        index, seconds = int(self._columns.index[row]), float(self._columns.pts_seconds[row])
        if self._has_clock and self._is_alone(seconds) and (frame := _frame_at(path, seconds)) is not None:
            return frame
        if not self._has_clock and looks_like_picture(path):
            return next(iter(ImagesSource([path])))
        if self._path != path:
            self._path, self._sequence = path, _frames_by_index(path, self._wanted)
        frame = self._sequence.get(index)
        return frame if frame is not None and _is_at(frame, seconds) else None

    def _is_alone(self, seconds: float) -> bool:
        """Whether this is the time of one frame only: not so where a clock started anew, or a time is missing."""
        return int((np.abs(self._columns.pts_seconds - seconds) <= MATCH_SECONDS).sum()) == 1


def located(recorded: str, moved_to: Path | None) -> Path | str:
    """The file a record speaks of, or why it cannot be had."""
    if "://" in recorded or recorded in ("-", "stdin", "standard input"):
        return "a live stream cannot be read again"
    parts = PurePath(recorded).parts
    tails = [Path(*parts[first:]) for first in range(len(parts)) if parts[first] != PurePath(recorded).anchor]
    places = [moved_to / tail for tail in tails] if moved_to is not None else []
    try:
        path = next((place for place in [*places, Path(recorded)] if place.is_file()), None)
    except (OSError, ValueError):
        path = None
    return path or f"{shown(recorded)} is not there any more; say where it lies with --inputs"


def _frame_at(path: Path, seconds: float) -> Frame | None:
    """The frame of a video that is shown at this time, to the accuracy of the records; None when there is none."""
    for lead in LEADS_SECONDS:
        with closing(VideoSource(path)) as source:
            source.seek(seconds - lead)
            frame = _match(iter(source), seconds)
        if frame is not None:
            return frame
    return None


def _match(frames: Iterator[Frame], seconds: float) -> Frame | None:
    for frame in frames:
        if frame.pts_seconds is None or frame.pts_seconds < seconds - MATCH_SECONDS:
            continue
        return frame if frame.pts_seconds <= seconds + MATCH_SECONDS else None
    return None


def _is_at(frame: Frame, seconds: float) -> bool:
    if frame.pts_seconds is None:
        return not np.isfinite(seconds)
    return abs(frame.pts_seconds - seconds) <= MATCH_SECONDS


def _frames_by_index(path: Path, wanted: set[int]) -> dict[int, Frame]:
    last = min(max(wanted), MAX_SEQUENTIAL)
    with closing(open_source(path)) as source:
        found = {}
        for frame in source:
            if frame.index in wanted:
                found[frame.index] = frame
            if frame.index >= last:
                break
        return found


def _picture(frame: Frame | None) -> Picture:
    """A frame as JPEGs.

    Raises:
        PictureError: there is no frame, or it cannot be decoded.
    """
    if frame is None:
        raise PictureError("the file has no such frame any more, or it lies too far in to be found without a clock")
    if frame.problem is not None:
        raise PictureError(frame.problem)
    rgb = frame.rgb
    height, width = rgb.shape[:2]
    thumb = _jpeg(_fitted(rgb, THUMB_PIXELS), (72,))
    return Picture(thumb, _jpeg(_fitted(rgb, FULL_PIXELS), QUALITIES), width, height)


def _fitted(rgb: RGB, side: int) -> RGB:
    import cv2

    height, width = rgb.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return rgb
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _jpeg(rgb: RGB, qualities: Sequence[int]) -> str:
    """A JPEG as a data: address, of the first quality that keeps it small."""
    import cv2

    for quality in qualities:
        _, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
        if len(data) <= FULL_BYTES:
            break
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")
