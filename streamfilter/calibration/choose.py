"""Judged frames -> the threshold that keeps a promise. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamfilter.calibration.bound import best_share, blocks_needed, passes
from streamfilter.config import not_one_of
from streamfilter.errors import CalibrationError, ConfigError
from streamfilter.profile import BOUNDS

Floats = npt.NDArray[np.float64]
FEWEST_FRAMES = 20


@dataclass(frozen=True)
class Judged:
    """One frame, or a degraded version of one: what the model gave it and what it was worth to the consumer."""

    input: str
    index: int
    pts_seconds: float | None
    """None when the input has no clock."""
    distortion: str
    """`pristine`, or a kind and its strength, `jpeg=6`."""
    utility: Mapping[str, float]
    """For each task of the model, 0-1."""
    useful: bool | None
    """Whether the consumer still decides rightly; None when it decided nothing on the original, or was not asked."""
    errors: int = 0
    """Things it asserts with confidence that are not in its decision on the original."""
    task: str | None = None
    """What the consumer does, `classification` or `detection`; None when it does not show."""
    source: str = ""
    """What was read to get it: for a picture its folder or list; empty when that is `input`."""


@dataclass(frozen=True)
class Goal:
    """What a threshold shall do.

    Raises:
        ConfigError: values are out of range; all of them are listed.
    """

    kind: str
    """`keep_useful`, `confident_errors` or `keep_rate`; see `Bound.kind`."""
    target: float
    """Share of useful frames to keep, of confident errors to remove, or of frames to keep; inside 0-1."""
    confidence: float = 0.95
    """Probability that the promise holds, inside 0-1."""

    def __post_init__(self) -> None:
        problems = [not_one_of("goal", self.kind, BOUNDS)]
        for name in ("target", "confidence"):
            value = getattr(self, name)
            inside = isinstance(value, int | float) and 0 < value < 1
            problems.append("" if inside else f"{name} is {value!r}, expected a number over 0 and under 1")
        if any(problems):
            raise ConfigError("; ".join(problem for problem in problems if problem))

    @property
    def alpha(self) -> float:
        """Share that may be lost, or that may remain."""
        return 1 - self.target


@dataclass(frozen=True)
class Choice:
    """A threshold, and what it does on the calibration data."""

    threshold: float
    blocks: int
    """Those it rests on."""
    useful_frames: int
    useful_kept: float
    """Share, 0-1; 1 when there are no useful frames."""
    error_frames: int
    """Frames on which the consumer asserts something wrong."""
    errors_removed: float
    """Share of them, 0-1; 0 when there are none."""
    discard: float
    """Share of the judged frames that is dropped, 0-1."""
    ideal_discard: float
    """Share of the judged frames that is not useful, 0-1: what a perfect filter drops."""


@dataclass(frozen=True, eq=False)
class Table:
    """Judged frames as columns; those the consumer decided nothing on are `counts` = False."""

    block: npt.NDArray[np.int64]
    """(N,) int64, 0 to blocks - 1."""
    blocks: int
    utility: Floats
    """(N,) float64, 0-1, for the task that counts."""
    useful: npt.NDArray[np.bool_]
    """(N,) bool."""
    counts: npt.NDArray[np.bool_]
    """(N,) bool, whether there is a verdict at all."""
    wrong: npt.NDArray[np.bool_]
    """(N,) bool, whether the consumer asserts something wrong."""

    @property
    def capacity(self) -> int:
        """Most frames in one block, with a verdict or not."""
        return int(np.bincount(self.block, minlength=1).max())

    def per_block(self, rows: npt.NDArray[np.bool_]) -> Floats:
        """(B,) float64: how many of the rows each block has."""
        return np.bincount(self.block[rows], minlength=self.blocks).astype(np.float64)


def tabulate_frames(judged: Sequence[Judged], task: str, block_seconds: float) -> Table:
    """Judged frames by block: an input's stretches of `block_seconds`, or the whole input where it has no clock.

    Args:
        judged: in any order.
        task: whose utility counts.
        block_seconds: length of a block; 0 = each input is one.
    """
    keys = [block_of(one, block_seconds) for one in judged]
    number = {key: index for index, key in enumerate(dict.fromkeys(keys))}
    return Table(
        np.array([number[key] for key in keys], np.int64),
        len(number),
        np.array([one.utility[task] for one in judged], np.float64),
        np.array([one.useful is True for one in judged], np.bool_),
        np.array([one.useful is not None for one in judged], np.bool_),
        np.array([one.errors > 0 for one in judged], np.bool_),
    )


def block_of(one: Judged, block_seconds: float) -> tuple[str, int]:
    """The block a frame lies in: what it was read from, and which stretch of that."""
    stretch = 0 if not block_seconds or one.pts_seconds is None else int(one.pts_seconds // block_seconds)
    return one.source or one.input, stretch


def choose_threshold(table: Table, goal: Goal) -> Choice:
    """The threshold that does what is wanted.

    Raises:
        CalibrationError: the data do not carry the promise; the message says what is missing.
    """
    pick = {"keep_useful": _keep_useful, "confident_errors": _remove_errors, "keep_rate": _keep_rate}[goal.kind]
    return describe_threshold(table, pick(table, goal))


def describe_threshold(table: Table, threshold: float) -> Choice:
    """What a threshold does on judged frames."""
    kept, useful = table.utility >= threshold, table.useful
    judged = table.counts if table.counts.any() else np.ones_like(kept)
    return Choice(
        threshold=threshold,
        blocks=table.blocks,
        useful_frames=int(useful.sum()),
        useful_kept=float(kept[useful].mean()) if useful.any() else 1.0,
        error_frames=int(table.wrong.sum()),
        errors_removed=float((~kept)[table.wrong].mean()) if table.wrong.any() else 0.0,
        discard=float((~kept)[judged].mean()),
        ideal_discard=float((~useful)[table.counts].mean()) if table.counts.any() else 0.0,
    )


def _keep_useful(table: Table, goal: Goal) -> float:
    """The largest threshold under which too few useful frames lie."""
    if not table.useful.any():
        raise CalibrationError(
            f"0 of {table.counts.sum()} judged frames are useful to the consumer: nothing can be kept; see that it "
            "decides with confidence on the original frames"
        )
    if table.useful[table.counts].all():
        raise CalibrationError(
            f"all {table.counts.sum()} judged frames are useful to the consumer: there is nothing to drop; add bad "
            "footage or harder --distortions"
        )
    useful = table.per_block(table.useful)

    def holds(threshold: float) -> bool:
        lost = table.per_block(table.useful & (table.utility < threshold))
        return passes(lost, useful, table.capacity, goal.alpha, goal.confidence)

    steps = np.unique(table.utility[table.useful])
    found = _last(steps, holds)
    if found is None:
        raise _too_few(table, useful, goal, "useful frames")
    return found


def _remove_errors(table: Table, goal: Goal) -> float:
    """The smallest threshold over which few enough frames with confident errors lie."""
    if not table.wrong.any():
        raise CalibrationError("the consumer makes no confident error on any judged frame: there is nothing to remove")
    wrong = table.per_block(table.wrong)

    def holds(threshold: float) -> bool:
        remaining = table.per_block(table.wrong & (table.utility >= threshold))
        return passes(remaining, wrong, table.capacity, goal.alpha, goal.confidence)

    above = np.minimum(np.nextafter(np.unique(table.utility[table.wrong]), 2), 1.0)
    found = _last(above[::-1], holds)
    if found is None:
        raise _too_few(table, wrong, goal, "confident errors")
    return found


def _keep_rate(table: Table, goal: Goal) -> float:
    """The threshold that keeps the share of the frames; it promises nothing."""
    if len(table.utility) < FEWEST_FRAMES:
        raise CalibrationError(f"{len(table.utility)} frames are too few for a keep rate, take {FEWEST_FRAMES} or more")
    return float(np.quantile(table.utility, goal.alpha, method="higher"))


def _last(steps: Floats, holds: Callable[[float], bool]) -> float | None:
    """The last of the steps that holds, all those before it holding too; None when not even the first does."""
    if not holds(float(steps[0])):
        return None
    low, high = 0, len(steps)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(float(steps[middle])) else (low, middle)
    return float(steps[low])


def _too_few(table: Table, counted: Floats, goal: Goal, what: str) -> CalibrationError:
    fill = float(counted.sum()) / (table.capacity * table.blocks)
    needed = blocks_needed(goal.alpha, goal.confidence, fill)
    best = best_share(table.blocks, goal.confidence, fill)
    holds = f"these can carry {best:.0%} at most" if best else "these carry no promise at all"
    return CalibrationError(
        f"{table.blocks} blocks are too few to promise {goal.target:g} of the {what} at {goal.confidence:g} "
        f"confidence: at least {max(1, needed - table.blocks)} more like them are needed; {holds}"
    )
