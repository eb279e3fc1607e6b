"""4. Many streams at once: the latency that filtering adds, and what one bad stream does to the others."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.live_cases.camera import FPS, as_camera
from benchmarks.live_cases.common import Outcome, Running, percentile
from streamfilter import StreamFilter
from tests.live_servers import RtspServer

CLIP = "highway_overpass_static.mp4"
WIDTH, GOP = 1280, 50
WARM_UP_SECONDS = 5.0
SPARE_SECONDS = 10.0
BAD_SECONDS = 2.0
"""How long the bad stream's server lives."""


def measure(
    stream_filter: StreamFilter, kit: Path, counts: tuple[int, ...] = (1, 2, 4, 6, 8), seconds: float = 30.0
) -> Outcome:
    """Run so many 720p25 streams side by side, alone and beside one whose server is killed over and over."""
    with tempfile.TemporaryDirectory() as scratch:
        length = round(FPS * (WARM_UP_SECONDS + seconds + SPARE_SECONDS))
        clip = as_camera(kit / "clips" / CLIP, Path(scratch) / CLIP, WIDTH, GOP, length)
        return _measure(stream_filter, clip, counts, seconds)


def _measure(stream_filter: StreamFilter, clip: Path, counts: tuple[int, ...], seconds: float) -> Outcome:
    rows = []
    for count in counts:
        good = _latencies(stream_filter, clip, count, seconds, with_bad=False)
        bad = _latencies(stream_filter, clip, count, seconds, with_bad=True)
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


def _latencies(stream_filter: StreamFilter, clip: Path, count: int, seconds: float, with_bad: bool) -> list[float]:
    """From packet to delivery, decoding included, seconds, of all frames of the good streams; servers run here too."""
    found: list[float] = []
    started = time.monotonic() + WARM_UP_SECONDS

    def consumer(frame: Any) -> None:
        now = time.monotonic()
        if started <= now < started + seconds:
            found.append(now - frame.arrived_seconds)

    options = ("--file", str(clip), "--streams", str(count))
    with RtspServer(*options) as server, RtspServer(*options) as bad, Running(stream_filter) as running:
        for number in range(count):
            running.add(f"cam{number + 1}", server.url + (str(number + 1) if number else ""), consumer)
        if with_bad:
            running.add("bad", bad.url, backoff_seconds=0.1, max_backoff_seconds=0.5)
        while time.monotonic() < started + seconds:
            time.sleep(BAD_SECONDS)
            if with_bad:
                bad.kill()
                bad.start()
    return found
