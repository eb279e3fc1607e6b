"""A live stream's time stamps made one clock that runs on: through reconnects, jumps, wraps and steps back."""

from __future__ import annotations

JUMP_SECONDS = 5.0
"""A stamp this far from where the arrival times expect it has nothing to do with the one before."""
LEAST_STEP_SECONDS = 0.001
"""Between two frames: records and files have to tell them apart, also where stamps are the times of arrival."""
LATE_SECONDS = 0.25
"""A frame from a playlist that is later than this shifts the pace: what follows it is not hurried after it."""


class Timeline:
    """Places stamps on a clock that starts at 0 and never goes back."""

    def __init__(self) -> None:
        self._offset: float | None = None
        self._last = 0.0
        self._last_arrival: float | None = None
        self._lag = 0.0

    def interrupt(self) -> None:
        """The next stamp belongs to a new connection: only its arrival says where it stands."""
        self._offset = None

    def place(self, pts_seconds: float | None, arrived_seconds: float) -> tuple[float, bool]:
        """A frame's time on the clock.

        Args:
            pts_seconds: its own stamp; None when it has none.
            arrived_seconds: `time.monotonic()` when it was there.

        Returns:
            Seconds from the first frame on, and whether the stamp jumped within a connection.
        """
        if self._last_arrival is None:
            expected = 0.0
        else:
            expected = self._last + max(LEAST_STEP_SECONDS, arrived_seconds - self._last_arrival)
        jumped = False
        if pts_seconds is None:
            placed = expected
        elif self._offset is None:
            placed, self._offset = expected, expected - pts_seconds
            self._lag = arrived_seconds - placed
        else:
            placed = pts_seconds + self._offset
            jumped = not -JUMP_SECONDS < placed - expected < JUMP_SECONDS
            if jumped:
                placed, self._offset = expected, expected - pts_seconds
            elif placed < self._last + LEAST_STEP_SECONDS:
                placed = self._last + LEAST_STEP_SECONDS
        self._last, self._last_arrival = placed, arrived_seconds
        return placed, jumped

    def early_seconds(self, pts_seconds: float, arrived_seconds: float) -> float:
        """How long before its time a frame has come, as from a playlist that hands out whole segments; at least 0.

        Its time goes by the first frame of the connection, so that waits which last a little too long do not add up.
        """
        if self._offset is None:
            return 0.0
        early = pts_seconds + self._offset + self._lag - arrived_seconds
        if early < -LATE_SECONDS:
            self._lag -= early
        return min(max(0.0, early), JUMP_SECONDS)
