"""What is left of streams that have ended by themselves: how they stood, for whoever looks after them."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace

from streamfilter.metrics import StreamStatus

MOST_REMEMBERED = 1000


@dataclass(frozen=True, eq=False)
class _Last:
    status: StreamStatus
    at: float
    """When, on the monotonic clock."""


class Ended:
    """The last status of each stream that ended or failed and was not removed; may be asked from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: dict[str, _Last] = {}

    def note(self, status: StreamStatus, failure: str | None) -> None:
        """Remember how a stream stands at its end; the newest `MOST_REMEMBERED` are kept.

        Args:
            status: its status.
            failure: why it could not go on; None where it came to its end.
        """
        state, detail = ("closed", status.detail) if failure is None else ("failed", failure)
        with self._lock:
            self._last.pop(status.name, None)
            self._last[status.name] = _Last(replace(status, state=state, detail=detail), time.monotonic())
            while len(self._last) > MOST_REMEMBERED:
                del self._last[next(iter(self._last))]

    def update(self, status: StreamStatus, failure: str | None) -> None:
        """The same later, unless it was forgotten meanwhile."""
        if status.name in self.names():
            self.note(status, failure)

    def forget(self, name: str) -> bool:
        """It was removed, or runs again; whether it was remembered."""
        with self._lock:
            return self._last.pop(name, None) is not None

    def names(self) -> list[str]:
        """Of those remembered."""
        with self._lock:
            return list(self._last)

    def statuses(self) -> list[StreamStatus]:
        """How they stood, and how long ago their last frame is by now."""
        with self._lock:
            last = list(self._last.values())
        now = time.monotonic()
        return [replace(one.status, last_frame_seconds=_later(one, now)) for one in last]


def _later(one: _Last, now: float) -> float | None:
    seconds = one.status.last_frame_seconds
    return None if seconds is None else seconds + now - one.at
