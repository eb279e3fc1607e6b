"""3. A consumer ten times too slow: how old its frames are, and whether memory and counters hold."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.live_cases.common import Running
from benchmarks.outcome import Outcome, rss_mb
from streamfilter import StreamFilter
from tests.live_servers import RtspServer

STALENESS_SECONDS = 0.5
FPS = 25


def measure(stream_filter: StreamFilter, seconds: float = 120.0) -> Outcome:
    """Sleep ten frame times at each frame, for so long."""
    ages: list[float] = []
    memory: list[float] = []

    def consumer(frame: Any) -> None:
        ages.append(time.monotonic() - frame.arrived_seconds)
        time.sleep(10 / FPS)

    with RtspServer("--size", "1280x720", "--kbps", "4000") as server, Running(stream_filter) as running:
        running.add("cam", server.url, consumer, staleness_seconds=STALENESS_SECONDS)
        for _ in range(int(seconds)):
            time.sleep(1)
            memory.append(rss_mb())
        (status,) = running.streams.statuses()
    summary, settled = running.summary, memory[len(memory) // 4 :]
    return Outcome(
        "frames never older than the bound, flat memory, read = passed + dropped by reason",
        {
            "frames_read": summary.frames_read,
            "frames_passed": len(ages),
            "counted_as_passed": summary.frames_kept,
            "dropped_by_reason": {reason.value: number for reason, number in summary.dropped_by_reason.items()},
            "adds_up": summary.frames_read == len(ages) + summary.dropped_by_reason.total(),
            "oldest_frame_seconds": max(ages),
            "bound_seconds": STALENESS_SECONDS,
            "rss_mb_first_last": [settled[0], settled[-1]],
            "reconnects": status.reconnects,
        },
    )
