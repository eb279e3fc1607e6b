"""A thread that reads a live source, for the tests."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Self

from streamfilter.frame import Frame, StreamEvent
from streamfilter.sources import LiveSource
from streamfilter.stream_config import LiveSettings
from tests.live_servers import Server, wait_until

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


def check_restarts(reader: Reader, server: Server, outages: int) -> None:
    """Kill a server and start it again: frames flow anew, from a keyframe on, and nothing is left behind."""
    reader.until_frames(10)
    handles, threads = open_handles(), threading.active_count()
    for outage in range(1, outages + 1):
        tries = reader.kinds.count("waiting")
        server.kill()
        reader.until(lambda tries=tries: reader.kinds.count("waiting") > tries, "noticed")
        before = len(reader.frames)
        server.start()
        reader.until_frames(before + 10)
        first = next(frame for frame in reader.frames if frame.signs.connection == outage)
        assert first.signs.is_keyframe
    assert open_handles() <= handles
    assert threading.active_count() <= threads
    assert reader.source.reconnects == outages
    times = [frame.pts_seconds for frame in reader.frames]
    assert times == sorted(set(times))


def check_hang(reader: Reader, server: Server) -> None:
    """Let a server hold its connections without a word: that is noticed, and frames flow again after it."""
    reader.until_frames(5)
    server.freeze()
    reader.until(lambda: "waiting" in reader.kinds, "the stall")
    server.thaw()
    assert "sent nothing for 1.5 s; next try in" in reader.detail("waiting")
    before = len(reader.frames)
    reader.until_frames(before + 5)


def open_handles() -> int:
    return len(os.listdir("/proc/self/fd"))
