"""Live streams at once, as fast as they can be read: decoded in software, and by a GPU."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av

from streamfilter import LiveSettings, Reason, StreamConfig, StreamFilter, Streams, Summary

START_SECONDS = 30.0
"""Longest wait for the first frame of every stream."""


@contextmanager
def served(clip: Path) -> Iterator[str]:
    """The address of an HTTP server that sends a clip over and over, to each that asks."""

    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = START_SECONDS

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "video/mp2t")
            self.end_headers()
            try:
                while True:
                    self.wfile.write(content)
            except OSError:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    content = clip.read_bytes()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/clip.ts"
        finally:
            server.shutdown()


def as_transport_stream(clip: Path) -> Path:
    """The clip's packets as MPEG-TS, beside it."""
    target = clip.with_suffix(".ts")
    if target.is_file():
        return target
    part = target.with_name(f".{target.name}")
    with av.open(str(clip)) as source, av.open(str(part), "w", format="mpegts") as container:
        inner = source.streams.video[0]
        stream = container.add_stream_from_template(inner)
        for packet in source.demux(inner):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    part.rename(target)
    return target


def frames_a_second(
    stream_filter: StreamFilter, uri: str, decoder: str, count: int, seconds: float
) -> dict[str, object]:
    """Frames decided on a second by so many streams of one address, from when all of them run.

    Returns:
        `frames_per_second` of all together, None when not measured, and `failure`: why not, or nothing.
    """
    streams, stop, asked = Streams(stream_filter), threading.Event(), time.monotonic()
    live = LiveSettings(decoder=decoder or None, backpressure="wait", max_reconnects=1, backoff_seconds=0.1)
    for number in range(count):
        streams.add(StreamConfig(f"stream{number}", uri, live=live))
    started: list[tuple[float, int]] = []
    ended: list[tuple[float, int]] = []

    def look() -> None:
        now, read = time.monotonic(), _decoded(streams.summary)
        if not started and all(_decoded(status.counts) for status in streams.statuses()):
            started.append((now, read))
        if streams.summary.failures or now - (started[0][0] + seconds if started else asked + START_SECONDS) > 0:
            ended.append((now, read))
            stop.set()

    summary = streams.run(stop, look)
    failure = (summary.failures or [""])[0]
    if not started or not ended or failure:
        return {"frames_per_second": None, "failure": failure or f"not all streams ran within {START_SECONDS:.0f} s"}
    (first, before), (last, after) = started[0], ended[0]
    return {"frames_per_second": (after - before) / (last - first), "failure": ""}


def _decoded(counts: Summary) -> int:
    """Frames that were decoded: one that could not be takes no time."""
    return counts.frames_read - counts.dropped_by_reason[Reason.UNREADABLE]
