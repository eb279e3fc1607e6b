"""5. Hundreds of thousands of frames with a reconnect every two thousand: what memory, threads and handles do."""

from __future__ import annotations

import http.server
import io
import threading
from contextlib import suppress
from typing import Any

import av
import numpy as np

from benchmarks.live_cases.common import Running, handles, wait_for
from benchmarks.outcome import Outcome, rss_mb
from streamfilter import StreamFilter

FRAMES_A_CONNECTION = 2000
SETTLED_AT = 5000
SAMPLE_EVERY = 1000
TOLD_EVERY = 10
"""Samples for each one in the table: a leak climbs on, memory that is only in use stops."""


def measure(stream_filter: StreamFilter, frames: int = 200_000) -> Outcome:
    """Read an HTTP stream of H.264 as fast as it goes; the server hangs up after each two thousand frames."""
    samples: list[tuple[int, float, int, int]] = []

    def consumer(frame: Any) -> None:
        if frame.index // SAMPLE_EVERY > len(samples) - 1:
            samples.append((frame.index, rss_mb(), threading.active_count(), handles()))

    with _Server(_clip()) as address, Running(stream_filter) as running:
        running.add(
            "cam", address, consumer, backpressure="wait", backoff_seconds=0.01, max_backoff_seconds=0.02,
            taint_threshold=0.0,
        )  # fmt: skip
        wait_for(lambda: samples and samples[-1][0] >= frames - SAMPLE_EVERY, 4 * 3600)
        (status,) = running.streams.statuses()
    settled = [one for one in samples if one[0] >= SETTLED_AT]
    return Outcome(
        "memory grows under 2 % after the first 5,000 frames, threads and descriptors stay",
        {
            "frames": samples[-1][0],
            "reconnects": status.reconnects,
            "rss_mb_first_last": [settled[0][1], settled[-1][1]],
            "rss_growth_percent": 100 * (settled[-1][1] / settled[0][1] - 1),
            "threads_first_last": [settled[0][2], settled[-1][2]],
            "descriptors_first_last": [settled[0][3], settled[-1][3]],
        },
        [dict(zip(("frame", "rss_mb", "threads", "descriptors"), one, strict=True)) for one in samples[::TOLD_EVERY]],
    )


def _clip() -> bytes:
    """Two thousand small frames as MPEG-TS."""
    memory = io.BytesIO()
    with av.open(memory, "w", format="mpegts") as container:
        stream = container.add_stream(
            "libx264", rate=25, options={"preset": "ultrafast", "tune": "zerolatency", "g": "25"}
        )
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        noise = np.random.default_rng(0).integers(90, 230, (240, 320 + FRAMES_A_CONNECTION, 3), dtype=np.uint8)
        for index in range(FRAMES_A_CONNECTION):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(noise[:, index : index + 320]), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return memory.getvalue()


class _Server:
    """Sends the same bytes to everyone who asks, then hangs up."""

    def __init__(self, data: bytes) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "video/mp2t")
                self.end_headers()
                with suppress(OSError):
                    self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_address[1]}/stream.ts"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
