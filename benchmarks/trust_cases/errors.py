"""How many confident errors a detector no longer makes when it is spared the frames a calibrated filter drops."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.outcome import Outcome
from benchmarks.trust_cases.judged import judged
from benchmarks.trust_cases.splits import KEEP_ALL, part, random_splits
from streamfilter import CalibrationError, Goal, Judged, choose_threshold, tabulate_frames

DETECTOR = "fastestdet_352"
BLOCK_SECONDS = 0.5
GOALS = (Goal("keep_useful", 0.95), Goal("confident_errors", 0.3))
"""Decided before the test part was looked at: lose at most 5 % of the useful frames; or remove 30 % of the errors."""
SHARES = (0.5, 0.75)
"""Of the clips, for calibration, when they are drawn at random."""
WANTED_FALL, ALLOWED_LOSS = 0.3, 0.05


def errors(models: Sequence[str], folder: Path, every_seconds: float, splits: int) -> Outcome:
    """Half of the clips, every other one by name, calibrates, the other half is measured; then random splits."""
    rows: list[dict[str, Any]] = []
    figures: dict[str, Any] = {"detector": DETECTOR}
    for model in models:
        frames = judged(DETECTOR, model, folder, every_seconds)
        names = list(dict.fromkeys(frame.input for frame in frames))
        figures |= {"judged frames": len(frames), "clips": len(names)}
        alternate = np.arange(len(names)) % 2 == 0
        for goal in GOALS:
            rows.append({"model": model, "goal": _words(goal), **measure(frames, names, alternate, goal)})
            for share in SHARES:
                tried = [measure(frames, names, taken, goal) for taken in random_splits(len(names), share, splits)]
                where = f"{model}, {_words(goal)}, random {share:.0%} of the clips"
                figures |= {f"{where}: {key}": value for key, value in _summary(tried).items()}
    return Outcome(
        f"{WANTED_FALL:.0%} fewer confident errors per 1,000 frames at {ALLOWED_LOSS:.0%} of the useful frames lost or "
        "less, on clips that were not calibrated on",
        figures,
        rows,
    )


def measure(frames: Sequence[Judged], names: Sequence[str], taken: Any, goal: Goal) -> dict[str, Any]:
    """Calibrate on the clips taken, measure on the others.

    Args:
        frames: all that was judged.
        names: of the clips.
        taken: (clips,) bool, which are for calibration.
        goal: what the threshold shall do.
    """
    mine = {name for name, is_mine in zip(names, taken, strict=True) if is_mine}
    table = tabulate_frames(frames, "detection", BLOCK_SECONDS)
    calibrates = np.array([frame.input in mine for frame in frames])
    try:
        threshold = choose_threshold(part(table, calibrates), goal).threshold
    except CalibrationError:
        threshold = KEEP_ALL
    test = [frame for frame in frames if frame.input not in mine]
    kept = [frame for frame in test if frame.utility["detection"] >= threshold]
    useful = sum(frame.useful is True for frame in test)
    before, after = _errors(test), _errors(kept)
    return {
        "threshold": threshold,
        "frames": len(test),
        "errors per 1,000 before": 1000 * before / len(test),
        "after": 1000 * after / len(test),
        "fall": 1 - after / before if before else 0.0,
        "after, per 1,000 kept": 1000 * after / max(1, len(kept)),
        "useful lost": 1 - sum(frame.useful is True for frame in kept) / max(1, useful),
        "dropped": 1 - len(kept) / len(test),
    }


def _errors(frames: Sequence[Judged]) -> int:
    return sum(frame.errors for frame in frames)


def _summary(tried: Sequence[dict[str, Any]]) -> dict[str, float]:
    meets = [one["fall"] >= WANTED_FALL and one["useful lost"] <= ALLOWED_LOSS for one in tried]
    return {
        "median fall": float(np.median([one["fall"] for one in tried])),
        "median useful lost": float(np.median([one["useful lost"] for one in tried])),
        "splits that reach both": float(np.mean(meets)),
        "splits without a threshold": float(np.mean([one["threshold"] == KEEP_ALL for one in tried])),
    }


def _words(goal: Goal) -> str:
    return {"keep_useful": "keep useful", "confident_errors": "remove errors"}[goal.kind] + f" {goal.target:g}"
