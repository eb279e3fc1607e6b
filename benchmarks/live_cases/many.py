"""4. Many streams at once: the latency that filtering adds, and what one bad stream does to the others."""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks.live_cases.camera import FPS, as_camera
from benchmarks.live_cases.common import Running
from benchmarks.live_cases.gate import Gate
from benchmarks.outcome import Outcome, percentile
from streamfilter import StreamFilter
from tests.live_servers import RtspServer

CLIP = "highway_overpass_static.mp4"
WIDTH, GOP = 1280, 50
WARM_UP_SECONDS = 5.0
SPARE_SECONDS = 15.0
LAST = "last"
"""The stream that goes bad."""
WELL, CUT, BACK = "well", "cut", "back"
PHASES = ((WELL, 5.0), (CUT, 4.0), (BACK, 2.0))
"""What is done to it, and for how many seconds; being connected to again counts as bad."""


def measure(stream_filter: StreamFilter, kit: Path, counts: tuple[int, ...] = (2, 4, 6, 8), cycles: int = 3) -> Outcome:
    """Run so many 720p25 streams side by side; now and then the way to the last one is cut for a while."""
    with tempfile.TemporaryDirectory() as scratch:
        length = round(FPS * (WARM_UP_SECONDS + cycles * sum(seconds for _, seconds in PHASES) + SPARE_SECONDS))
        clip = as_camera(kit / "clips" / CLIP, Path(scratch) / CLIP, WIDTH, GOP, length)
        rows = [_row(_latencies(stream_filter, clip, count, cycles), count, cycles) for count in counts]
    fitting = [row["streams"] for row in rows if row["p95_ms"] < 40 and row["frames_per_second"] > 24 * row["streams"]]
    return Outcome(
        "eight 720p25 streams on 2 cores, p95 added latency under 40 ms; one bad stream changes it by under 20 %",
        {"streams_that_fit": max(fitting, default=0)},
        rows,
    )


def _row(found: dict[tuple[str, str], list[float]], count: int, cycles: int) -> dict[str, Any]:
    def latencies(phases: tuple[str, ...], others: bool) -> list[float]:
        return [
            one
            for (name, phase), own in found.items()
            for one in own
            if phase in phases and not (others and name == LAST)
        ]

    well = latencies((WELL,), others=False)
    before, after = (percentile(latencies(phases, others=True), 0.95) for phases in ((WELL,), (CUT, BACK)))
    return {
        "streams": count,
        "frames_per_second": len(well) / (cycles * dict(PHASES)[WELL]),
        "p50_ms": 1000 * percentile(well, 0.5),
        "p95_ms": 1000 * percentile(well, 0.95),
        "others_p95_ms": 1000 * before,
        "others_p95_ms_while_one_is_bad": 1000 * after,
        "change_percent": 100 * (after / before - 1),
    }


def _latencies(stream_filter: StreamFilter, clip: Path, count: int, cycles: int) -> dict[tuple[str, str], list[float]]:
    """From packet to delivery, decoding included, seconds, by stream and phase; the servers run here too."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    phase = ""

    def consumer(frame: Any) -> None:
        if phase:
            found[frame.input, phase].append(time.monotonic() - frame.arrived_seconds)

    options = ("--file", str(clip), "--streams", str(count))
    with RtspServer(*options) as server, Gate(server.port) as gate, Running(stream_filter) as running:
        for number in range(1, count + 1):
            name, port = (LAST, gate.port) if number == count else (f"cam{number}", server.port)
            path = f"rtsp://127.0.0.1:{port}/cam{number if number > 1 else ''}"
            running.add(name, path, consumer, backoff_seconds=0.1, max_backoff_seconds=0.5)
        time.sleep(WARM_UP_SECONDS)
        for phase, seconds in cycles * PHASES:
            if phase == CUT:
                gate.cut()
            if phase == BACK:
                gate.mend()
            time.sleep(seconds)
        phase = ""
    return found
