"""Which frames belong together: a video, a live stream, a folder of pictures. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import PurePath

import numpy as np

from streamfilter.report.columns import Columns, Floats, Ints, shown

LONGEST_NAME = 160
"""Letters of a path that are shown."""
RESTART_SECONDS = 1.0
"""A time stamp this far behind the last one is a clock that started anew, not disorder."""


class Clock(StrEnum):
    """What the timeline of a clip counts."""

    MEDIA = "media"
    """The container's own time, seconds."""
    WALL = "wall"
    """The time of day of a live stream."""
    ORDER = "order"
    """Nothing but the order: pictures have no clock."""


@dataclass(frozen=True, eq=False)
class Clip:
    """What belongs together on one timeline."""

    name: str
    """For people: short, without passwords."""
    where: str
    """For people: the whole path or address, without passwords."""
    columns: Columns
    """Its N frames, in order of time."""
    clock: Clock
    seconds: Floats
    """(N,) time since `began`, never falling, also where the clock starts anew; the position for `Clock.ORDER`."""
    began: float = 0.0
    """Seconds since 1970 of the first frame for `Clock.WALL`, else 0."""

    def __len__(self) -> int:
        return len(self.seconds)


def split(columns: Columns) -> list[Clip]:
    """The clips that lie in some records, in the order they begin.

    A video read twice is two clips; runs of one live stream are one, on the time of day. Pictures (inputs of a single
    frame without a clock) are put together by their folder.
    """
    if not len(columns):
        return []
    groups = [group for rows in _by_number(_group_numbers(columns)) for group in _passes(columns, rows)]
    clips = [_clip(columns.take(rows)) for rows in sorted(groups, key=lambda rows: int(rows[0]))]
    return list(_told_apart(clips))


def _group_numbers(columns: Columns) -> Ints:
    """(N,) the input's number, or for pictures a number their folder shares."""
    count = len(columns.inputs)
    frames = np.bincount(columns.input, minlength=count)
    has_clock = np.isfinite(columns.pts_seconds) | np.isfinite(columns.arrived)
    clocked = np.bincount(columns.input, weights=has_clock, minlength=count)
    numbers, folders = np.arange(count), dict[str, int]()
    for number in np.flatnonzero((frames == 1) & (clocked == 0)):
        folder = str(PurePath(columns.inputs[number]).parent)
        numbers[number] = folders.setdefault(folder, int(number))
    return numbers[columns.input]


def _by_number(numbers: Ints) -> list[Ints]:
    order = np.argsort(numbers, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1)


def _passes(columns: Columns, rows: Ints) -> list[Ints]:
    """A file's frames split where its index starts anew; those of live streams and pictures stay together."""
    if np.isfinite(columns.arrived[rows]).any() or len(np.unique(columns.input[rows])) > 1:
        return [rows]
    return np.split(rows, np.flatnonzero(np.diff(columns.index[rows]) <= 0) + 1)


def _clip(columns: Columns) -> Clip:
    where = shown(columns.inputs[columns.input[0]], LONGEST_NAME)
    if len(np.unique(columns.input)) > 1 or (not _has(columns.pts_seconds) and not _has(columns.arrived)):
        is_folder = len(np.unique(columns.input)) > 1
        where = str(PurePath(where).parent) if is_folder else where
        return Clip(PurePath(where).name or where, where, columns, Clock.ORDER, np.arange(len(columns), dtype=float))
    name = where if "://" in where else PurePath(where).name or where
    if not _has(columns.arrived):
        return Clip(name, where, columns, Clock.MEDIA, _rising(_filled(columns.pts_seconds)))
    arrived = _filled(columns.arrived)
    order = np.argsort(arrived, kind="stable")
    began = float(arrived[order[0]])
    return Clip(name, where, columns.take(order), Clock.WALL, arrived[order] - began, began)


def _has(times: Floats) -> bool:
    return bool(np.isfinite(times).any())


def _filled(times: Floats) -> Floats:
    """The same times, a missing one being that of the frame before it (or of the first that has one)."""
    known = np.isfinite(times)
    last = np.maximum.accumulate(np.where(known, np.arange(len(times)), -1))
    return times[np.where(last < 0, np.argmax(known), last)]


def _rising(times: Floats) -> Floats:
    """The same times, those of a clock that starts anew going on behind the last one, as in a video that is written."""
    steps = np.diff(times)
    anew = steps <= -RESTART_SECONDS
    forward = steps[steps > 0]
    usual = float(np.median(forward)) if len(forward) else 0.0
    shifts = np.cumsum(np.where(anew, usual - steps, 0.0))
    return np.maximum.accumulate(times + np.concatenate([[0.0], shifts]))


def _told_apart(clips: list[Clip]) -> Iterator[Clip]:
    """The clips with names of their own: the folder in front, a number behind where that is not enough."""
    names = [clip.name for clip in clips]
    longer = [
        str(PurePath(*PurePath(clip.where).parts[-2:])) if names.count(clip.name) > 1 and "://" not in clip.where
        else clip.name
        for clip in clips
    ]  # fmt: skip
    seen: dict[str, int] = {}
    for clip, name in zip(clips, longer, strict=True):
        seen[name] = seen.get(name, 0) + 1
        yield replace(clip, name=name if seen[name] == 1 else f"{name} ({seen[name]})")
