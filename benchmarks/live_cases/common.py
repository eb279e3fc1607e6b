"""What the cases share: a running set of streams, and what a process holds."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

from streamfilter import LiveSettings, StreamConfig, StreamEvent, StreamFilter, Streams, Summary


class Running:
    """Streams in a thread of their own, for the length of a `with` block."""

    def __init__(self, stream_filter: StreamFilter) -> None:
        self.events: list[tuple[float, StreamEvent]] = []
        self.streams = Streams(stream_filter, on_event=lambda event: self.events.append((time.monotonic(), event)))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.summary = Summary()

    def add(self, name: str, uri: str, consumer: Callable[[Any], object] | None = None, **live: Any) -> None:
        """Start a stream."""
        self.streams.add(StreamConfig(name, uri, live=LiveSettings(**live)), consumer=consumer)

    def _run(self) -> None:
        self.summary = self.streams.run(self._stop, waits_for_more=True)

    def __enter__(self) -> Running:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def wait_for(condition: Callable[[], object], seconds: float) -> bool:
    """Whether a condition came true within so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def handles() -> int:
    """Open file descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))
