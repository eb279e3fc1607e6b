"""Counters of a run: every frame read is counted once, by the reason of its decision."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from streamfilter.frame import Decision, Reason


@dataclass
class Summary:
    """What became of the frames of a run.

    `frames_read` = `frames_kept` + the sum of `dropped_by_reason`, always.
    """

    kept_by_reason: Counter[Reason] = field(default_factory=Counter)
    """Kept frames for each reason."""
    dropped_by_reason: Counter[Reason] = field(default_factory=Counter)
    """Dropped frames for each reason."""
    failures: list[str] = field(default_factory=list)
    """One line for each input that could not be opened or read to its end."""
    interrupted: bool = False
    """Whether the run was asked to stop before its inputs ended."""
    seconds: float = 0.0
    """Wall-clock time of the run."""

    def __post_init__(self) -> None:
        self._started_at = time.monotonic()

    def count(self, decision: Decision) -> None:
        """Add one decided frame."""
        (self.kept_by_reason if decision.keep else self.dropped_by_reason)[decision.reason] += 1
        self.seconds = time.monotonic() - self._started_at

    @property
    def frames_kept(self) -> int:
        """Frames passed on."""
        return self.kept_by_reason.total()

    @property
    def frames_read(self) -> int:
        """Frames that came out of the sources, unreadable ones included."""
        return self.frames_kept + self.dropped_by_reason.total()

    @property
    def fps(self) -> float:
        """Frames read a second of wall-clock time; 0 before the first."""
        return self.frames_read / self.seconds if self.seconds > 0 else 0.0

    def as_dict(self) -> dict[str, Any]:
        """The counts as plain JSON values."""
        return {
            "frames_read": self.frames_read,
            "frames_kept": self.frames_kept,
            "kept_by_reason": _plain(self.kept_by_reason),
            "dropped_by_reason": _plain(self.dropped_by_reason),
            "seconds": round(self.seconds, 3),
            "fps": round(self.fps, 1),
            "failures": list(self.failures),
            "interrupted": self.interrupted,
        }

    def __str__(self) -> str:
        text = f"{self.frames_read} frames read, {self.frames_kept} kept{_causes(self.kept_by_reason)}"
        text += f", {self.dropped_by_reason.total()} dropped{_causes(self.dropped_by_reason)}"
        return f"{text}; {self.seconds:.1f} s, {self.fps:.0f} fps"


def _plain(counts: Counter[Reason]) -> dict[str, int]:
    return {reason.value: number for reason, number in sorted(counts.items())}


def _causes(counts: Counter[Reason]) -> str:
    named = [f"{reason.value} {number}" for reason, number in counts.most_common()]
    return f" ({', '.join(named)})" if named else ""
