"""What the thresholds say about a frame's score, as far as the thresholds are known. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from streamfilter.frame import Reason
from streamfilter.report.columns import Columns, Floats

TOLERANCE = 1e-6
"""Records round utilities to six decimals."""

PINNED = 0.05
"""Decisions this close on both sides tell a threshold from others."""


@dataclass(frozen=True)
class Rule:
    """Thresholds and what they are said to be."""

    thresholds: Mapping[str, float] = field(default_factory=dict)
    """Task -> utility at or above which a frame is useful; empty when not known."""
    task: str = "any"
    """Which tasks a frame must be useful to, as in `Settings.task`."""
    model: str | None = None
    """Name of the model; None when not known."""
    origin: str = "not known"
    """Where the thresholds come from, for people."""

    def tasks(self, columns: Columns) -> list[str]:
        """Those of the columns' tasks that count."""
        return [task for task in columns.utility if self.task in ("any", "all", task)]

    def margins(self, columns: Columns) -> Floats:
        """(N,) how far each frame is above (positive) or below the threshold under the task rule; NaN when not scored.

        Where thresholds are not known they are taken as 0: the order within one task stays right.
        """
        tasks = self.tasks(columns)
        if not tasks:
            return np.full(len(columns), np.nan)
        over = np.stack([columns.utility[task] - self.thresholds.get(task, 0.0) for task in tasks]).astype(np.float64)
        scored = np.isfinite(over).any(axis=0)
        filled = np.where(np.isfinite(over), over, np.inf if self.task == "all" else -np.inf)
        return np.where(scored, filled.min(axis=0) if self.task == "all" else filled.max(axis=0), np.nan)

    def unexplained(self, columns: Columns) -> int:
        """Frames recorded as useful below the thresholds, or as of low utility above them."""
        margins = self.margins(columns)
        useful = _is(columns, Reason.USEFUL) & (margins < -TOLERANCE)
        return int(np.count_nonzero(useful | (_is(columns, Reason.LOW_UTILITY) & (margins >= TOLERANCE))))

    def is_pinned(self, columns: Columns) -> bool:
        """Whether useful frames and frames of low utility lie close to the thresholds."""
        near = np.abs(self.margins(columns)) < PINNED
        return all(bool((near & _is(columns, reason)).any()) for reason in (Reason.USEFUL, Reason.LOW_UTILITY))


def _is(columns: Columns, reason: Reason) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    known = columns.reasons.index(reason.value) if reason.value in columns.reasons else -1
    return np.asarray(columns.reason == known)
