"""How many confident errors a detector no longer makes when it is spared the frames a calibrated filter drops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.outcome import Outcome
from benchmarks.trust_cases.judged import judged
from benchmarks.trust_cases.splits import KEEP_ALL, part, random_splits
from streamfilter import CalibrationError, Goal, Judged, choose_threshold, tabulate_frames

Rows = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]

DETECTOR = "fastestdet_352"
BLOCK_SECONDS = 0.5
GOALS = (Goal("keep_useful", 0.95), Goal("confident_errors", 0.3))
"""Decided before the test part was looked at: lose at most 5 % of the useful frames; or remove 30 % of the errors."""
SHARES = (0.5, 0.75)
"""Of the clips, or of their stretches, for calibration, when they are drawn at random."""
TASKS = ("detection", "classification")
"""The consumer's own, as `calibrate` takes it by itself; and the other one, tried second."""
FOLDS = 4
"""Three quarters of the clips, as they are and degraded, are about five minutes of video."""
STRETCH_SECONDS = 2.0
"""Of the same cameras, drawn at random: longer than the blocks, so that neighbours seldom fall apart."""
WANTED_FALL, ALLOWED_LOSS = 0.3, 0.05


@dataclass(frozen=True)
class Counts:
    """What was measured on frames that were not calibrated on."""

    thresholds: tuple[float, ...]
    """Chosen on the others; `KEEP_ALL` where none could be."""
    frames: int
    kept: int
    useful: int
    useful_kept: int
    errors: int
    """Confident errors on all frames."""
    errors_kept: int
    """Those on the kept frames."""
    errors_on_useful: int
    """Those on useful frames, beside what is right there: a filter that drops no useful frame cannot remove them."""

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, item.name) + getattr(other, item.name) for item in fields(self)))

    @property
    def fall(self) -> float:
        """Share of the confident errors that are not made any more, 0-1."""
        return 1 - self.errors_kept / self.errors if self.errors else 0.0

    @property
    def useful_lost(self) -> float:
        """Share of the useful frames that are dropped, 0-1."""
        return 1 - self.useful_kept / max(1, self.useful)

    def row(self) -> dict[str, Any]:
        """As a line of the table."""
        return {
            "threshold": ", ".join(f"{threshold:.3f}" for threshold in self.thresholds),
            "frames": self.frames,
            "errors per 1,000 before": 1000 * self.errors / self.frames,
            "after": 1000 * self.errors_kept / self.frames,
            "fall": self.fall,
            "fall, perfect filter": 1 - self.errors_on_useful / max(1, self.errors),
            "after, per 1,000 kept": 1000 * self.errors_kept / max(1, self.kept),
            "useful lost": self.useful_lost,
            "dropped": 1 - self.kept / self.frames,
        }


def errors(models: Sequence[str], folder: Path, every_seconds: float, splits: int) -> Outcome:
    """Other cameras: every other clip by name calibrates, four folds, random choices; the same ones: other quarters."""
    rows: list[dict[str, Any]] = []
    figures: dict[str, Any] = {"detector": DETECTOR}
    for model in models:
        frames = judged(DETECTOR, model, folder, every_seconds)
        clips, stretches = (tabulate_frames(frames, TASKS[0], seconds).block for seconds in (0, STRETCH_SECONDS))
        figures |= {"judged frames": len(frames), "clips": int(clips.max()) + 1}
        for goal in GOALS:
            for task in TASKS:
                for split, parts in _splits(frames, clips).items():
                    first, *others = (measure(frames, calibrates, goal, task) for calibrates in parts)
                    counts = sum(others, first)
                    rows.append({"model": model, "goal": _words(goal), "score": task, "split": split, **counts.row()})
            for share in SHARES:
                for what, groups in (("clips", clips), (f"stretches of {STRETCH_SECONDS:g} s", stretches)):
                    taken = random_splits(int(groups.max()) + 1, share, splits)
                    tried = [measure(frames, mine[groups], goal) for mine in taken]
                    where = f"{model}, {_words(goal)}, random {share:.0%} of the {what}"
                    figures |= {f"{where}: {key}": value for key, value in _summary(tried).items()}
    return Outcome(
        f"{WANTED_FALL:.0%} fewer confident errors per 1,000 frames at {ALLOWED_LOSS:.0%} of the useful frames lost or "
        "less, on frames that were not calibrated on",
        figures,
        rows,
    )


def _splits(frames: Sequence[Judged], clips: Numbers) -> dict[str, list[Rows]]:
    """By name the parts that calibrate; what was measured beside each is added up."""
    quarter = quarters(frames)
    return {
        "other cameras: every other clip": [clips % 2 == 0],
        f"other cameras: {FOLDS} folds, each clip once": [clips % FOLDS != fold for fold in range(FOLDS)],
        "same cameras, later: after the first half": [quarter < 2],
        "same cameras, later: after three quarters": [quarter < 3],
        "same cameras: each quarter once": [quarter != one for one in range(4)],
    }


def quarters(frames: Sequence[Judged]) -> Numbers:
    """(frames,) int64: the quarter of its clip, 0-3, that a frame's block lies in; all clip by clip, as time goes."""
    clips, blocks = (tabulate_frames(frames, TASKS[0], seconds).block for seconds in (0, BLOCK_SECONDS))
    first, last = (np.array([pick(blocks[clips == clip]) for clip in clips]) for pick in (np.min, np.max))
    found: Numbers = 4 * (blocks - first) // (last - first + 1)
    return found


def measure(frames: Sequence[Judged], calibrates: Rows, goal: Goal, task: str = TASKS[0]) -> Counts:
    """Calibrate on some frames, measure on the others.

    Args:
        frames: all that was judged.
        calibrates: (frames,) bool, which are for calibration.
        goal: what the threshold shall do.
        task: whose utility counts.
    """
    try:
        table = tabulate_frames(frames, task, BLOCK_SECONDS)
        threshold = choose_threshold(part(table, calibrates), goal).threshold
    except CalibrationError:
        threshold = KEEP_ALL
    test = [frame for frame, is_mine in zip(frames, calibrates, strict=True) if not is_mine]
    kept = [frame for frame in test if frame.utility[task] >= threshold]
    useful, useful_kept = _useful(test), _useful(kept)
    return Counts(
        (threshold,), len(test), len(kept), len(useful), len(useful_kept), _errors(test), _errors(kept), _errors(useful)
    )  # fmt: skip


def _useful(frames: Sequence[Judged]) -> list[Judged]:
    return [frame for frame in frames if frame.useful is True]


def _errors(frames: Sequence[Judged]) -> int:
    return sum(frame.errors for frame in frames)


def _summary(tried: Sequence[Counts]) -> dict[str, float]:
    meets = [one.fall >= WANTED_FALL and one.useful_lost <= ALLOWED_LOSS for one in tried]
    return {
        "median fall": float(np.median([one.fall for one in tried])),
        "median useful lost": float(np.median([one.useful_lost for one in tried])),
        "splits that reach both": float(np.mean(meets)),
        "splits without a threshold": float(np.mean([KEEP_ALL in one.thresholds for one in tried])),
    }


def _words(goal: Goal) -> str:
    return {"keep_useful": "keep useful", "confident_errors": "remove errors"}[goal.kind] + f" {goal.target:g}"
