"""A reader thread behind a bounded queue: decoding goes on while frames are scored."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from streamfilter.frame import Frame
from streamfilter.sources import Source

log = logging.getLogger(__name__)

MAX_BYTES = 256 * 2**20
POLL_SECONDS = 0.1
JOIN_TIMEOUT_SECONDS = 5.0


class Buffer:
    """The frames of one source, read ahead by a thread of its own.

    The reader waits while the buffer is full, so no frame of a file is lost. The buffer owns thread and source:
    `close`, or leaving the `with` block, ends both.

    Args:
        source: read from now on by the buffer alone.
        capacity: most frames held at a time.
        max_bytes: most bytes of frames held at a time; one frame is held however large it is.

    Raises:
        ValueError: `capacity` is under 1.
    """

    def __init__(self, source: Source, capacity: int = 16, max_bytes: int = MAX_BYTES) -> None:
        if capacity < 1:
            raise ValueError(f"capacity {capacity}, expected at least 1")
        self._source = source
        self._capacity = capacity
        self._max_bytes = max_bytes
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
            self._wait_for(1, None, stop)
            self._wait_for(wanted, time.monotonic() + timeout_seconds, stop)
            if self._closed or (stop is not None and stop.is_set()):
                return []
            batch = [self._frames.popleft() for _ in range(min(max_frames, len(self._frames)))]
            self._bytes_held -= sum(frame.nbytes for frame in batch)
            self._is_full = False
            self._changed.notify_all()
            if not batch and self._error is not None:
                error, self._error = self._error, None
                raise error
            return batch

    def close(self) -> None:
        """Stop the reader, close the source and drop what was read ahead; harmless when repeated."""
        with self._changed:
            self._closed = True
            self._frames.clear()
            self._changed.notify_all()
        self._source.close()
        self._thread.join(JOIN_TIMEOUT_SECONDS)
        if self._thread.is_alive():
            log.warning("the reader of %s did not stop within %g s", self._source.name, JOIN_TIMEOUT_SECONDS)

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
                if not self._add(frame):
                    return
        except BaseException as error:
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _add(self, frame: Frame) -> bool:
        """Wait for room and queue a frame; whether the reader goes on."""
        with self._changed:
            while not self._has_room(frame) and not self._closed:
                self._is_full = True
                self._changed.notify_all()
                self._changed.wait(POLL_SECONDS)
            if self._closed:
                return False
            self._frames.append(frame)
            self._bytes_held += frame.nbytes
            self._changed.notify_all()
            return True

    def _has_room(self, frame: Frame) -> bool:
        if not self._frames:
            return True
        return len(self._frames) < self._capacity and self._bytes_held + frame.nbytes <= self._max_bytes
