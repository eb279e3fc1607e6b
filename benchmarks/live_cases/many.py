"""4. Many streams at once: the latency that filtering adds, and what one bad stream does to the others."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.live_cases.camera import FPS, as_camera
from benchmarks.live_cases.common import Outcome, Running, percentile
from benchmarks.live_cases.gate import Gate
from streamfilter import StreamFilter
from tests.live_servers import RtspServer

CLIP = "highway_overpass_static.mp4"
WIDTH, GOP = 1280, 50
WARM_UP_SECONDS = 5.0
SPARE_SECONDS = 15.0
LAST = "last"
"""The stream that goes bad."""
BAD_SECONDS = 5.0
"""How long it is cut off, and how long it is there again."""


def measure(
    stream_filter: StreamFilter, kit: Path, counts: tuple[int, ...] = (2, 4, 6, 8), seconds: float = 30.0
) -> Outcome:
    """Run so many 720p25 streams side by side; then the way to the last one is cut over and over."""
    with tempfile.TemporaryDirectory() as scratch:
        length = round(FPS * (WARM_UP_SECONDS + seconds + SPARE_SECONDS))
        clip = as_camera(kit / "clips" / CLIP, Path(scratch) / CLIP, WIDTH, GOP, length)
        return _measure(stream_filter, clip, counts, seconds)


def _measure(stream_filter: StreamFilter, clip: Path, counts: tuple[int, ...], seconds: float) -> Outcome:
    rows = []
    for count in counts:
        well, worse = (_latencies(stream_filter, clip, count, seconds, goes_bad) for goes_bad in (False, True))
        before, after = (
            percentile([one for name, own in found.items() if name != LAST for one in own], 0.95)
            for found in (well, worse)
        )
        latencies = [one for found in well.values() for one in found]
        rows.append({
            "streams": count,
            "frames_per_second": len(latencies) / seconds,
            "p50_ms": 1000 * percentile(latencies, 0.5),
            "p95_ms": 1000 * percentile(latencies, 0.95),
            "others_p95_ms": 1000 * before,
            "others_p95_ms_while_one_is_bad": 1000 * after,
            "change_percent": 100 * (after / before - 1),
        })  # fmt: skip
    fitting = [row["streams"] for row in rows if row["p95_ms"] < 40 and row["frames_per_second"] > 24 * row["streams"]]
    return Outcome(
        "eight 720p25 streams on 2 cores, p95 added latency under 40 ms; one bad stream changes it by under 20 %",
        {"streams_that_fit": max(fitting, default=0)},
        rows,
    )


def _latencies(
    stream_filter: StreamFilter, clip: Path, count: int, seconds: float, goes_bad: bool
) -> dict[str, list[float]]:
    """From packet to delivery, decoding included, seconds, of all frames of each stream; the servers run here too."""
    found: dict[str, list[float]] = {}
    started = time.monotonic() + WARM_UP_SECONDS

    def consumer(frame: Any) -> None:
        now = time.monotonic()
        if started <= now < started + seconds:
            found[frame.input].append(now - frame.arrived_seconds)

    options = ("--file", str(clip), "--streams", str(count))
    with RtspServer(*options) as server, Gate(server.port) as gate, Running(stream_filter) as running:
        for number in range(1, count + 1):
            name, port = (LAST, gate.port) if number == count else (f"cam{number}", server.port)
            found[name] = []
            path = f"rtsp://127.0.0.1:{port}/cam{number if number > 1 else ''}"
            running.add(name, path, consumer, backoff_seconds=0.1, max_backoff_seconds=0.5)
        time.sleep(max(0.0, started - time.monotonic()))
        while time.monotonic() < started + seconds:
            if goes_bad:
                gate.cut()
            time.sleep(BAD_SECONDS)
            if goes_bad:
                gate.mend()
                time.sleep(BAD_SECONDS)
    return found
