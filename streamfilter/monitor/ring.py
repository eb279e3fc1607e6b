"""What is remembered of one stream for its page: a few minutes, in bounded memory. Pure: the clock is the caller's."""

from __future__ import annotations

import math
import threading
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from streamfilter.frame import Decision, Frame, Reason

HISTORY_SECONDS = 300
"""How far the timeline reaches back."""
RATE_SECONDS = 60
"""What rates and latencies are of."""
MOST_EVENTS = 20
MOST_SHOTS = 12
MOST_LATENCIES = 4096
IN_TAINT = (Reason.TAINTED, Reason.RELEASED, Reason.AWAITING_KEYFRAME)


@dataclass(frozen=True, eq=False)
class Shot:
    """A small picture of a frame that was dropped, or would have been."""

    id: str
    """Part of its address."""
    time: float
    """When it was decided on, seconds since 1970."""
    index: int
    """The frame's place in its stream."""
    pts_seconds: float | None
    reason: str
    """Why it was dropped."""
    is_kept: bool
    """Whether it was passed on all the same, as a canary or in shadow mode."""
    cause: str | None
    """What makes it useless; None when nothing was found."""
    utility: Mapping[str, float] | None
    jpeg: bytes

    def as_dict(self) -> dict[str, Any]:
        """All but the picture, as plain JSON values."""
        utility = _rounded(self.utility) if _is_finite(self.utility) else None
        return {
            "id": self.id, "time": round(self.time, 3), "index": self.index, "pts_seconds": self.pts_seconds,
            "reason": self.reason, "is_kept": self.is_kept, "cause": self.cause, "utility": utility,
        }  # fmt: skip


@dataclass
class _Second:
    at: int
    """Whole seconds of the clock."""
    counts: dict[tuple[bool, Reason], int] = field(default_factory=dict)
    """Final decisions by keep and reason."""
    sums: dict[str, float] = field(default_factory=dict)
    """Utilities added up, for each task."""
    scored: int = 0
    is_tainted: bool = False

    def as_point(self) -> list[Any]:
        """`[second, {task: mean utility}, kept, dropped, tainted]`."""
        means = _rounded({task: total / self.scored for task, total in self.sums.items()}) if self.scored else {}
        kept = sum(number for (keep, _), number in self.counts.items() if keep)
        return [self.at, means, kept, sum(self.counts.values()) - kept, self.is_tainted]


class Ring:
    """The last minutes of one stream. Written and read by any thread; `now` is always seconds of the same clock."""

    def __init__(self) -> None:
        self.version = 0
        """Counts up with each event and each small picture."""
        self._lock = threading.Lock()
        self._seconds: deque[_Second] = deque()
        self._latencies: deque[tuple[float, float]] = deque(maxlen=MOST_LATENCIES)
        self._events: deque[dict[str, Any]] = deque(maxlen=MOST_EVENTS)
        self._shots: deque[Shot] = deque(maxlen=MOST_SHOTS)
        self._began: float | None = None
        self._read = self._kept = 0

    def looked(self, decisions: Sequence[Decision], now: float) -> None:
        """Note the scores of frames that were decided on."""
        with self._lock:
            second = self._second(now)
            for decision in decisions:
                second.is_tainted |= decision.reason in IN_TAINT
                if _is_finite(decision.utility):
                    second.scored += 1
                    for task, utility in decision.utility.items():
                        second.sums[task] = second.sums.get(task, 0.0) + utility

    def counted(self, frame: Frame, decision: Decision, now: float) -> None:
        """Note what became of a frame in the end, and how long a kept one took from its packet to its delivery."""
        with self._lock:
            counts, fate = self._second(now).counts, (decision.keep, decision.reason)
            counts[fate] = counts.get(fate, 0) + 1
            self._read += 1
            self._kept += decision.keep
            if decision.keep and frame.arrived_seconds is not None:
                self._latencies.append((now, now - frame.arrived_seconds))

    def heard(self, kind: str, detail: str, time: float) -> None:
        """Note an event of the stream, at seconds since 1970."""
        with self._lock:
            self.version += 1
            self._events.append({"time": round(time, 3), "kind": kind, "detail": detail})

    def pictured(self, shot: Shot) -> None:
        """Note a small picture; the oldest one goes."""
        with self._lock:
            self.version += 1
            self._shots.append(shot)

    @property
    def totals(self) -> dict[str, int]:
        """All frames ever counted, and those that were kept: `frames_read`, `frames_kept`."""
        with self._lock:
            return {"frames_read": self._read, "frames_kept": self._kept}

    @property
    def shots(self) -> list[Shot]:
        """The small pictures, oldest first."""
        with self._lock:
            return list(self._shots)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The last events, oldest first: `time`, `kind`, `detail`."""
        with self._lock:
            return list(self._events)

    def points(self, since: float) -> list[list[Any]]:
        """The timeline from a second on, oldest first: `[second, {task: mean utility}, kept, dropped, tainted]`.

        Seconds in which nothing happened are left out.
        """
        with self._lock:
            return [second.as_point() for second in self._seconds if second.at >= since]

    def rates(self, now: float) -> dict[str, Any]:
        """Frames of the last minute, or of the time since the first one where that is less.

        Returns:
            `seconds`: what it is of; `kept` and `dropped`: frames by reason.
        """
        with self._lock:
            total: Counter[tuple[bool, Reason]] = Counter()
            for second in self._seconds:
                if second.at > now - RATE_SECONDS:
                    total.update(second.counts)
            lived = 0.0 if self._began is None else now - self._began
        return {
            "seconds": round(max(1.0, min(RATE_SECONDS, lived)), 1),
            "kept": {reason.value: number for (keep, reason), number in total.most_common() if keep},
            "dropped": {reason.value: number for (keep, reason), number in total.most_common() if not keep},
        }

    def latency(self, now: float) -> dict[str, float] | None:
        """Median and 95th percentile of the last minute's kept frames, milliseconds; None where there are none."""
        with self._lock:
            recent = sorted(latency for at, latency in self._latencies if at > now - RATE_SECONDS)
        if not recent:
            return None
        return {f"p{share}": round(1000 * recent[_rank(share, len(recent))], 1) for share in (50, 95)}

    def _second(self, now: float) -> _Second:
        """Where to note what happens now; threads may come a little late."""
        if self._began is None:
            self._began = now
        at = math.floor(now)
        if not self._seconds or self._seconds[-1].at < at:
            self._seconds.append(_Second(at))
        while self._seconds[0].at <= self._seconds[-1].at - HISTORY_SECONDS:
            self._seconds.popleft()
        return self._seconds[-1]


def _is_finite(utility: Mapping[str, float] | None) -> TypeGuard[Mapping[str, float]]:
    """Whether there is a utility that can be told: a model may answer nonsense, which JSON has no words for."""
    return utility is not None and all(map(math.isfinite, utility.values()))


def _rank(share: int, count: int) -> int:
    """Place of a percentile among so many sorted values, by nearest rank."""
    return max(0, math.ceil(count * share / 100) - 1)


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}
