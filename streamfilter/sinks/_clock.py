"""Source time stamps -> the ticks of one output file."""

from __future__ import annotations

import logging
from collections import deque
from fractions import Fraction

from streamfilter.frame import Frame

TICKS_PER_SECOND = 60_000
"""Whole ticks for 24, 25, 30, 60 and 60000/1001 frames a second; MPEG-4 allows no finer base than 1/65535."""
TIME_BASE = Fraction(1, TICKS_PER_SECOND)
SPACING = TICKS_PER_SECOND // 25
"""Between frames that have no clock, and where one input follows another: 1/25 s."""
RESTART = TICKS_PER_SECOND
"""A stamp this far behind the last one (1 s) is a clock that started anew, not disorder."""
REORDERED = 6
"""Frames that an encoder may hold back to reorder them."""
ALWAYS_HELD = 60 * TICKS_PER_SECOND
"""A gap of a minute is never shortened."""
FARTHEST = 2**31 - REORDERED * ALWAYS_HELD
"""How far apart reordered frames may lie where times are told in 32 bits."""

_log = logging.getLogger(__name__)


class OutputClock:
    """Gives each frame the source's own time, in ticks that strictly increase.

    An input after the first, or a clock that starts anew, follows 1/25 s behind what was written; a stamp that does not
    increase is moved up by the least step; a first stamp before zero, which MP4 would cut off, is moved to zero; and a
    gap that the container cannot hold is shortened.

    Args:
        where: the output, for the log.
        least_step: the fewest ticks that the container can tell apart.
        holds_any_gap: whether its times are told in more than 32 bits.
    """

    def __init__(self, where: str, least_step: int = 1, *, holds_any_gap: bool = False) -> None:
        self._where = where
        self._least_step = least_step
        self._holds_any_gap = holds_any_gap
        self._offset = 0
        self._last: int | None = None
        self._latest: deque[int] = deque(maxlen=REORDERED)
        self._has_told_gap = False
        self._input: str | None = None
        self._has_told_no_clock = False
        self.nudged = 0
        """Frames whose stamp was moved because it did not increase."""

    def tick(self, frame: Frame) -> int:
        """The next frame's time, in ticks of 1/60000 s."""
        self._last = self._follow(frame) if frame.pts_seconds is None else self._own(frame, frame.pts_seconds)
        self._latest.append(self._last)
        self._input = frame.input
        return self._last

    def _follow(self, frame: Frame) -> int:
        if not self._has_told_no_clock:
            self._has_told_no_clock = True
            _log.info("%s: frames of %s have no clock, they are spaced 1/25 s", self._where, frame.input)
        return self._next()

    def _own(self, frame: Frame, seconds: float) -> int:
        stamp = round(seconds * TICKS_PER_SECOND)
        if self._starts_anew(frame, stamp):
            self._offset = self._next() - stamp
            shift = self._offset / TICKS_PER_SECOND
            _log.info("%s: %s is shifted by %.3f s from frame %d on", self._where, frame.input, shift, frame.index)
        stamp += self._offset
        if self._last is not None and stamp < self._last + self._least_step:
            self._count_nudge(frame)
            return self._last + self._least_step
        if self._last is not None and not self._holds_any_gap:
            # The first frames are decoded as long before zero as the reordered ones are apart: that counts twice.
            far = FARTHEST if len(self._latest) == REORDERED else FARTHEST // 2
            return self._shortened(frame, stamp, max(self._last + ALWAYS_HELD, self._latest[0] + far))
        return stamp

    def _shortened(self, frame: Frame, stamp: int, most: int) -> int:
        if stamp <= most:
            return stamp
        excess = stamp - most
        self._offset -= excess
        if not self._has_told_gap:
            self._has_told_gap = True
            _log.warning(
                "%s: the gap before frame %d of %s is too long for this kind of file and is shortened by %.0f s; .mkv "
                "would hold it",
                self._where,
                frame.index,
                frame.input,
                excess / TICKS_PER_SECOND,
            )
        return most

    def _starts_anew(self, frame: Frame, stamp: int) -> bool:
        if self._last is None:
            return stamp < 0
        return frame.input != self._input or stamp + self._offset <= self._last - RESTART

    def _next(self) -> int:
        return 0 if self._last is None else self._last + SPACING

    def _count_nudge(self, frame: Frame) -> None:
        self.nudged += 1
        if self.nudged == 1:
            _log.warning(
                "%s: the time stamp of frame %d of %s does not increase; it and others like it are moved up",
                self._where,
                frame.index,
                frame.input,
            )
