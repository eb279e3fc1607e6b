"""A reader thread behind a bounded queue: decoding goes on while frames are scored."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from streamfilter.frame import Frame, Reason
from streamfilter.sources import Source

log = logging.getLogger(__name__)

MAX_BYTES = 256 * 2**20
POLL_SECONDS = 0.1
JOIN_TIMEOUT_SECONDS = 5.0
LIVE_JOIN_TIMEOUT_SECONDS = 1.0
"""A live reader may sit in a connect; it ends by that one's own time-out."""


class Buffer:
    """The frames of one source, read ahead by a thread of its own.

    While the buffer is full the reader of a file waits, so that no frame is lost; that of a live stream never waits:
    the oldest frames make room, and `take_dropped` tells which. The buffer owns thread and source: `close`, or leaving
    the `with` block, ends both.

    Args:
        source: read from now on by the buffer alone.
        capacity: most frames held at a time.
        max_bytes: most bytes of frames held at a time; one frame is held however large it is.
        waits: whether the reader waits for room.
        staleness_seconds: live frames that were decoded longer ago are dropped rather than returned; None = no bound.
        on_change: called, in the reading thread, when a frame was added or the source has ended.

    Raises:
        ValueError: `capacity` is under 1.
    """

    def __init__(
        self,
        source: Source,
        capacity: int = 16,
        max_bytes: int = MAX_BYTES,
        waits: bool = True,
        staleness_seconds: float | None = None,
        on_change: Callable[[], object] = lambda: None,
    ) -> None:
        if capacity < 1:
            raise ValueError(f"capacity {capacity}, expected at least 1")
        self._source = source
        self._capacity = capacity
        self._max_bytes = max_bytes
        self._waits = waits
        self._staleness_seconds = staleness_seconds
        self._on_change = on_change
        self._dropped: list[tuple[Frame, Reason]] = []
        self._frames: deque[Frame] = deque()
        self._bytes_held = 0
        self._is_full = False
        self._changed = threading.Condition()
        self._closed = False
        self._ended = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._read, name=f"reader of {source.name}", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames in order; an error of the source is raised after the frames read before it."""
        while frames := self.get_batch(1, 0.0):
            yield from frames

    def get_batch(self, max_frames: int, timeout_seconds: float, stop: threading.Event | None = None) -> list[Frame]:
        """The next frames, in order: as many as are there, without waiting long for a full batch.

        Args:
            max_frames: most frames returned.
            timeout_seconds: how long to wait, once the first frame is there, for the others.
            stop: when set, waiting ends and nothing more is returned.

        Returns:
            1 to `max_frames` frames; none when the source has ended, the buffer is closed or `stop` is set.

        Raises:
            BaseException: what the source raised, once, after the frames read before it.
        """
        wanted = min(max_frames, self._capacity)
        with self._changed:
            while True:
                self._wait_for(1, None, stop)
                self._wait_for(wanted, time.monotonic() + timeout_seconds, stop)
                if self._closed or (stop is not None and stop.is_set()):
                    return []
                self._drop_stale()
                if self._frames or self._ended or self._dropped:
                    break
            batch = [self._frames.popleft() for _ in range(min(max_frames, len(self._frames)))]
            self._bytes_held -= sum(frame.nbytes for frame in batch)
            self._is_full = False
            self._changed.notify_all()
            if not batch and self._error is not None:
                error, self._error = self._error, None
                raise error
            return batch

    def poll(self, max_frames: int) -> list[Frame]:
        """The next frames that are there already, none when there are none; never waits.

        Raises:
            BaseException: what the source raised, once, after the frames read before it.
        """
        with self._changed:
            if not self._frames and not (self._ended and self._error):
                return []
        return self.get_batch(min(max_frames, max(1, len(self._frames))), 0.0)

    def take_dropped(self) -> list[tuple[Frame, Reason]]:
        """The frames that made room or went stale since the last call, emptied and in order."""
        with self._changed:
            dropped, self._dropped = self._dropped, []
        return dropped

    @property
    def has_ended(self) -> bool:
        """Whether the source has ended and all its frames were handed out."""
        with self._changed:
            return self._ended and not self._frames and self._error is None

    def __len__(self) -> int:
        """Frames waiting."""
        return len(self._frames)

    @property
    def in_own_thread(self) -> bool:
        """Whether the caller runs in the reading thread."""
        return threading.current_thread() is self._thread

    def stop_reading(self) -> None:
        """End the source; the frames read ahead stay."""
        self._source.close()

    def close(self) -> None:
        """Stop the reader, close the source and drop what was read ahead; harmless when repeated."""
        with self._changed:
            self._closed = True
            self._frames.clear()
            self._changed.notify_all()
        self._source.close()
        patience = LIVE_JOIN_TIMEOUT_SECONDS if self._source.is_live else JOIN_TIMEOUT_SECONDS
        self._thread.join(patience)
        if self._thread.is_alive():
            level = logging.INFO if self._source.is_live else logging.WARNING
            log.log(level, "the reader of %s did not stop within %g s", self._source.name, patience)

    def _wait_for(self, count: int, deadline: float | None, stop: threading.Event | None) -> None:
        """Wait until `count` frames are held, the source has ended, or the wait is over; `_changed` is held."""
        while len(self._frames) < count and not (self._is_full or self._ended or self._closed):
            left = POLL_SECONDS if deadline is None else min(POLL_SECONDS, deadline - time.monotonic())
            if left <= 0 or (stop is not None and stop.is_set()):
                return
            self._changed.wait(left)

    def _read(self) -> None:
        try:
            for frame in self._source:
                if not isinstance(frame, Frame):
                    raise TypeError(f"{self._source.name} gave a {type(frame).__name__}, expected a Frame")
                if not self._add(frame):
                    return
        except BaseException as error:
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()
            self._on_change()

    def _add(self, frame: Frame) -> bool:
        """Wait for room, or make some, and queue a frame; whether the reader goes on."""
        with self._changed:
            while self._waits and not self._has_room(frame) and not self._closed:
                self._is_full = True
                self._changed.notify_all()
                self._changed.wait(POLL_SECONDS)
            while not self._waits and not self._has_room(frame):
                self._drop_oldest(Reason.OVERFLOW)
            if self._closed:
                return False
            self._frames.append(frame)
            self._bytes_held += frame.nbytes
            self._changed.notify_all()
        self._on_change()
        return True

    def _drop_stale(self) -> None:
        if self._staleness_seconds is None:
            return
        oldest = time.monotonic() - self._staleness_seconds
        while self._frames and (self._frames[0].arrived_seconds or oldest) < oldest:
            self._drop_oldest(Reason.STALE)

    def _drop_oldest(self, reason: Reason) -> None:
        frame = self._frames.popleft()
        self._bytes_held -= frame.nbytes
        self._dropped.append((frame.emptied(), reason))

    def _has_room(self, frame: Frame) -> bool:
        if not self._frames:
            return True
        return len(self._frames) < self._capacity and self._bytes_held + frame.nbytes <= self._max_bytes
