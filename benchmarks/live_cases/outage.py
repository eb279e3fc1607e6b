"""1. The server is killed and comes back: how soon frames flow, and what is left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from benchmarks.live_cases.common import Running, handles, wait_for
from benchmarks.outcome import Outcome, percentile
from streamfilter import StreamFilter
from tests.broadcast_servers import HlsServer, RtmpServer
from tests.live_servers import RtspServer

GOP = "25"
BroadcastServer = RtspServer | RtmpServer | HlsServer
SERVERS: dict[str, Callable[[], BroadcastServer]] = {
    "rtsp": lambda: RtspServer("--gop", GOP, "--pattern", "smpte"),
    "rtmp": lambda: RtmpServer("--gop", GOP, "--pattern", "smpte"),
    "hls": lambda: HlsServer("--pattern", "smpte"),
}
WAIT_SECONDS = 60.0


def measure(
    stream_filter: StreamFilter,
    kind: str = "rtsp",
    outages: tuple[float, ...] = (1, 5, 30),
    times: int = 10,
    backpressure: str = "bounded",
) -> Outcome:
    """Kill the server so often for so long each, while a stream runs."""
    rows: list[dict[str, Any]] = []
    first_kept: list[bool] = []
    seen: set[int] = set()

    def consumer(frame: Any) -> None:
        if frame.signs.connection not in seen:
            seen.add(frame.signs.connection)
            first_kept.append(_after_clean_keyframe(frame))

    with SERVERS[kind]() as server, Running(stream_filter) as running:
        running.add("cam", server.url, consumer, max_backoff_seconds=5.0, taint_threshold=0.0,
                    backpressure=backpressure)  # fmt: skip
        wait_for(lambda: seen, WAIT_SECONDS)
        before = (threading.active_count(), handles())
        for seconds in outages:
            for _ in range(times):
                rows.append(_one(server, running, seen, seconds))
        after = (threading.active_count(), handles())
    late = [row["late_seconds"] for row in rows]
    return Outcome(
        "frames flow again within the back-off + 1 s, nothing left behind, no frame from before a clean keyframe",
        {
            "outages": len(rows),
            "late_seconds_median": percentile(late, 0.5),
            "late_seconds_max": max(late),
            "threads_before_after": [before[0], after[0]],
            "descriptors_before_after": [before[1], after[1]],
            "connections_with_frames": len(seen),
            "first_kept_is_keyframe": all(first_kept),
        },
        rows,
    )


def _one(server: BroadcastServer, running: Running, seen: set[int], seconds: float) -> dict[str, Any]:
    connections = len(seen)
    server.kill()
    time.sleep(seconds)
    server.start()
    back = time.monotonic()
    if not wait_for(lambda: len(seen) > connections, WAIT_SECONDS):
        return {"outage_seconds": seconds, "late_seconds": float("inf")}
    flows = time.monotonic()
    # The pause that was running when the server came back is the back-off.
    tries = [moment for moment, event in running.events if event.kind == "connecting" and moment > back]
    waited = max(0.0, tries[0] - back) if tries else 0.0
    return {"outage_seconds": seconds, "back_off_seconds": waited, "late_seconds": flows - back - waited}


def _after_clean_keyframe(frame: Any) -> bool:
    return bool(frame.signs.is_keyframe and not frame.signs.errors)
