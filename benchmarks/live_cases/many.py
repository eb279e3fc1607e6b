"""4. Many streams at once: the latency that filtering adds, and what one bad stream does to the others."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.live_cases.common import Outcome, Running, percentile
from streamfilter import StreamFilter
from tests.live_servers import RtspServer

SIZE = "1280x720"
WARM_UP_SECONDS = 5.0


def measure(stream_filter: StreamFilter, counts: tuple[int, ...] = (1, 2, 4, 6, 8), seconds: float = 30.0) -> Outcome:
    """Run so many 720p25 streams side by side, alone and beside one whose server is killed over and over."""
    rows = []
    for count in counts:
        good = _latencies(stream_filter, count, seconds, with_bad=False)
        bad = _latencies(stream_filter, count, seconds, with_bad=True)
        rows.append({
            "streams": count,
            "frames_per_second": len(good) / seconds,
            "p50_ms": 1000 * percentile(good, 0.5),
            "p95_ms": 1000 * percentile(good, 0.95),
            "p95_ms_beside_a_bad_one": 1000 * percentile(bad, 0.95),
        })  # fmt: skip
    fitting = [row["streams"] for row in rows if row["p95_ms"] < 40 and row["frames_per_second"] > 24 * row["streams"]]
    return Outcome(
        "eight 720p25 streams on 2 cores, p95 added latency under 40 ms; one bad stream changes it by under 20 %",
        {"streams_that_fit": max(fitting, default=0)},
        rows,
    )


def _latencies(stream_filter: StreamFilter, count: int, seconds: float, with_bad: bool) -> list[float]:
    """From decoding to delivery, seconds, of all frames of the good streams; the servers run here as well."""
    found: list[float] = []
    started = time.monotonic() + WARM_UP_SECONDS

    def consumer(frame: Any) -> None:
        now = time.monotonic()
        if started <= now < started + seconds:
            found.append(now - frame.arrived_seconds)

    options = ("--size", SIZE, "--kbps", "4000", "--streams", str(count), "--pattern", "ball")
    with RtspServer(*options) as server, RtspServer("--size", SIZE) as bad, Running(stream_filter) as running:
        for number in range(count):
            running.add(f"cam{number + 1}", server.url + (str(number + 1) if number else ""), consumer)
        if with_bad:
            running.add("bad", bad.url, backoff_seconds=0.1, max_backoff_seconds=0.5)
        while time.monotonic() < started + seconds:
            time.sleep(2)
            if with_bad:
                bad.kill()
                bad.start()
    return found
