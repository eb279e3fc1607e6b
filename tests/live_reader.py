"""A thread that reads a live source, for the tests."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Self

from streamfilter.frame import Frame, StreamEvent
from streamfilter.sources import LiveSource
from streamfilter.stream_config import LiveSettings
from tests.live_servers import wait_until

QUICK = LiveSettings(open_timeout_seconds=10, stall_seconds=1.5, backoff_seconds=0.1, max_backoff_seconds=0.5)
HASTY = LiveSettings(
    open_timeout_seconds=1, stall_seconds=1, backoff_seconds=0.05, max_backoff_seconds=0.1, max_reconnects=2
)
PATIENCE_SECONDS = 40.0


class Reader:
    """Reads a live source in a thread, as the buffer does, and keeps what came."""

    def __init__(self, uri: str, settings: LiveSettings = QUICK) -> None:
        self.frames: list[Frame] = []
        self.events: list[StreamEvent] = []
        self.source = LiveSource(uri, settings, on_event=self.events.append)
        self.thread = threading.Thread(target=self._read)

    def _read(self) -> None:
        for frame in self.source:
            self.frames.append(frame)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.source.close()
        self.thread.join(PATIENCE_SECONDS)
        assert not self.thread.is_alive()

    def until(self, condition: Callable[[], object], what: str) -> None:
        wait_until(condition, PATIENCE_SECONDS, f"{what}; events: {self.events[-5:]}")

    def until_frames(self, count: int) -> None:
        self.until(lambda: len(self.frames) >= count, f"{count} frames")

    @property
    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    def detail(self, kind: str) -> str:
        return next(event.detail for event in self.events if event.kind == kind)


def open_handles() -> int:
    return len(os.listdir("/proc/self/fd"))
