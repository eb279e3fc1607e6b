"""6. Camera, filter, server, player: what is published plays, and its clock only goes forward."""

from __future__ import annotations

import time
from itertools import pairwise

import av

from benchmarks.live_cases.common import Running, wait_for
from benchmarks.outcome import Outcome
from streamfilter import LiveSettings, StreamConfig, StreamFilter
from tests.live_servers import RtspServer


def measure(stream_filter: StreamFilter, seconds: float = 20.0) -> Outcome:
    """Publish the kept frames of an RTSP camera to an RTSP server, and play them from there."""
    stamps: list[float] = []
    with RtspServer("--size", "640x360") as camera, RtspServer("--relay") as server, Running(stream_filter) as running:
        target = f"rtsp://127.0.0.1:{server.port}/in"
        config = StreamConfig("cam", camera.url, (target,), live=LiveSettings(), policy={"threshold": 0.0})
        running.streams.add(config)
        wait_for(lambda: running.streams.statuses()[0].counts.frames_kept > 25, 60)
        with av.open(f"rtsp://127.0.0.1:{server.port}/out", options={"rtsp_transport": "tcp"}, timeout=20) as player:
            until = time.monotonic() + seconds
            for frame in player.decode(video=0):
                if frame.pts is not None and frame.time_base is not None:
                    stamps.append(float(frame.pts * frame.time_base))
                if time.monotonic() > until:
                    break
    steps = [after - before for before, after in pairwise(stamps)]
    return Outcome(
        "what is published plays, with time stamps that only grow",
        {
            "frames_played": len(stamps),
            "seconds_of_stream": stamps[-1] - stamps[0],
            "least_step_seconds": min(steps),
            "largest_step_seconds": max(steps),
            "only_grows": min(steps) > 0,
        },
    )
