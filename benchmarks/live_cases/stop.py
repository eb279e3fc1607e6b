"""7. SIGTERM: how long a running stream takes to be over, its outputs whole."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av

from benchmarks.live_cases.common import wait_for
from benchmarks.outcome import Outcome
from streamfilter import StreamFilter
from tests.live_servers import RtspServer

LEAST_RECORDS = 50


def measure(stream_filter: StreamFilter, times: int = 5) -> Outcome:
    """Stop the command line so often, while it writes a video and records."""
    with RtspServer("--gop", "25") as server:
        seconds = [_one(server.url, str(stream_filter.scorer.path)) for _ in range(times)]
    return Outcome("over within 2 s, outputs whole", {"stops": times, "seconds_max": max(seconds)})


def _one(address: str, model: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        video, records = Path(folder) / "kept.mp4", Path(folder) / "records.jsonl"
        command = [sys.executable, "-m", "streamfilter", "run", address, "--model", model, "--threshold", "0"]
        process = subprocess.Popen([*command, "--out", str(video), "--records", str(records)])
        try:
            wait_for(lambda: records.exists() and records.read_bytes().count(b"\n") > LEAST_RECORDS, 60)
            started = time.monotonic()
            process.send_signal(signal.SIGTERM)
            process.wait(30)
            seconds = time.monotonic() - started
        finally:
            process.kill()
        with av.open(str(video)) as container:
            assert sum(1 for _ in container.decode(video=0)) >= LEAST_RECORDS
    return seconds
