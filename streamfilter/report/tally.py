"""Counts, gaps and taint windows of a clip. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from streamfilter.frame import Reason
from streamfilter.report.clips import Clip, Clock
from streamfilter.report.columns import Bools, Columns, Floats, Ints

TAINTED = (Reason.TAINTED, Reason.RELEASED, Reason.AWAITING_KEYFRAME)
"""Reasons that only frames inside a taint window have."""
PAUSE_SECONDS = 10.0
"""Between two frames further apart nothing was recorded: that is no doing of the filter."""
MOST_GAPS = 20
MOST_WINDOWS = 2000


@dataclass(frozen=True)
class Gap:
    """A stretch without a kept frame."""

    start: float
    """Time of the last kept frame before it, or of the first frame of all."""
    end: float
    """Time of the first kept frame after it, or of the last frame of all."""
    frames: int
    reason: str
    """The most frequent one among its frames."""
    cause: str
    """The most frequent one; empty when none was found."""

    @property
    def length(self) -> float:
        """Seconds, or frames where there is no clock."""
        return self.end - self.start


@dataclass(frozen=True)
class Tally:
    """What became of the frames of one clip, or of several together."""

    frames: int
    kept: int
    kept_by_reason: Mapping[str, int]
    dropped_by_reason: Mapping[str, int]
    by_cause: Mapping[str, int]
    """Causes of all frames that have one, kept or not."""
    spared: Mapping[str, int]
    """Frames kept as canary or in shadow mode, by why they would have been dropped."""
    means: Mapping[str, float | None]
    """Task -> mean utility of the scored frames."""
    worst_gap: Gap | None
    """The longest; None when every frame was kept."""

    @property
    def dropped(self) -> int:
        """Frames that did not go on."""
        return self.frames - self.kept

    @property
    def kept_share(self) -> float:
        """0-1; 0 without frames."""
        return self.kept / self.frames if self.frames else 0.0


def tally(columns: Columns, gaps: Sequence[Gap] = ()) -> Tally:
    """Count the frames.

    Args:
        columns: the frames.
        gaps: the gaps between them.
    """
    dropped = ~columns.keep
    return Tally(
        frames=len(columns),
        kept=int(columns.keep.sum()),
        kept_by_reason=_counts(columns.reason[columns.keep], columns.reasons),
        dropped_by_reason=_counts(columns.reason[dropped], columns.reasons),
        by_cause=_counts(columns.cause[columns.cause > 0], columns.causes),
        spared=_counts(columns.spared[columns.spared >= 0], columns.reasons),
        means={task: _mean(values[np.isfinite(values)]) for task, values in columns.utility.items()},
        worst_gap=max(gaps, key=lambda gap: gap.length, default=None),
    )


def find_gaps(clip: Clip, most: int = MOST_GAPS) -> list[Gap]:
    """The longest stretches without a kept frame, the longest first.

    Args:
        clip: the frames.
        most: how many are wanted.
    """
    found = runs(~clip.columns.keep)
    bounds = found.astype(np.float64)
    if clip.clock is not Clock.ORDER:
        before, after = np.maximum(found[:, 0] - 1, 0), np.minimum(found[:, 1], len(clip) - 1)
        first, last = clip.seconds[found[:, 0]], clip.seconds[found[:, 1] - 1]
        bounds[:, 0] = np.where(first - clip.seconds[before] > PAUSE_SECONDS, first, clip.seconds[before])
        bounds[:, 1] = np.where(clip.seconds[after] - last > PAUSE_SECONDS, last, clip.seconds[after])
    longest = np.argsort(bounds[:, 0] - bounds[:, 1], kind="stable")[:most]
    return [_gap(clip.columns, *map(int, found[row]), *map(float, bounds[row])) for row in longest]


def _gap(columns: Columns, first: int, end: int, start: float, stop: float) -> Gap:
    causes = columns.cause[first:end]
    reason, cause = _commonest(columns.reason[first:end]), _commonest(causes[causes > 0])
    return Gap(start, stop, end - first, columns.reasons[reason], columns.causes[cause])


def taint_windows(clip: Clip, most: int = MOST_WINDOWS) -> Floats:
    """(W, 2) times between which data lost on the way may have hurt the frames: the longest, in order of time."""
    numbers = [number for number, name in enumerate(clip.columns.reasons) if name in TAINTED]
    inside = runs(np.isin(clip.columns.reason, numbers))
    longest = np.sort(np.argsort(inside[:, 0] - inside[:, 1], kind="stable")[:most])
    return np.asarray(clip.seconds[np.minimum(inside[longest], len(clip) - 1)])


def runs(marks: Bools) -> Ints:
    """(R, 2) where a mark is set: first row of every run, and the row after its last."""
    edges = np.diff(np.concatenate([[False], marks, [False]]).astype(np.int8))
    return np.flatnonzero(edges).reshape(-1, 2)


def _counts(numbers: Ints, names: Sequence[str]) -> dict[str, int]:
    counted = Counter({names[number]: int(count) for number, count in enumerate(np.bincount(numbers)) if count})
    return dict(counted.most_common())


def _commonest(numbers: Ints) -> int:
    """The most frequent number; 0 when there is none."""
    return int(np.argmax(np.bincount(numbers))) if len(numbers) else 0


def _mean(values: np.ndarray[tuple[int], np.dtype[np.float32]]) -> float | None:
    return float(values.mean(dtype=np.float64)) if len(values) else None
