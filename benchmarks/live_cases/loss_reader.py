"""One RTSP stream over UDP that loses packets, in a network namespace of its own: what came, and what is said of it.

    unshare -n python -m benchmarks.live_cases.loss_reader CLIP PERCENT MODEL OUT

Writes under OUT `frames.json`, a record a frame, and the planes of each frame that differs from the clean decode.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from streamfilter import LiveSettings, LiveSource, Reason, StreamFilter
from tests.live_servers import RtspServer

SMALL = (64, 48)
SAME_PSNR = 50.0
"""A frame this near to its clean version, dB, is the same to every network."""
EARLIEST_START, LATEST_START = -25, 100
"""Where in the clip the stream's clock may begin, frames: some of the first are lost; when the server tells its clock,
after a moment, it may also jump ahead by a few."""


def main(clip: str, percent: str, model: str, out: str) -> None:
    """Receive the clip once, to its end."""
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    stream_filter = StreamFilter(model=model, device="cpu", threads=1, max_gap_seconds=0)
    rules = stream_filter.rules(LiveSettings(max_damage=1.0))
    received: list[dict[str, Any]] = []
    state = stream_filter.new_state()
    with RtspServer("--file", clip) as server:
        rule = ["iptables", "-A", "INPUT", "-p", "udp", "-m", "length", "--length", "200:65535"]
        chance = ["-m", "statistic", "--mode", "random", "--probability", str(float(percent) / 100)]
        subprocess.run([*rule, *chance, "-j", "DROP"], check=True)
        settings = LiveSettings(transport="udp", stall_seconds=3, max_reconnects=0)
        for frame in LiveSource(server.url, settings):
            ((decision,), state), *_ = stream_filter.decide_together([(rules, [frame], state)])
            record: dict[str, Any] = {
                "pts": frame.pts_seconds,
                "flag": bool(frame.native is None or frame.native.is_corrupt),
                "awaiting": decision.reason is Reason.AWAITING_KEYFRAME,
                "tainted": decision.reason in (Reason.TAINTED, Reason.RELEASED),
                "damage": decision.damage,
                "utility": decision.utility,
            }
            if frame.native is not None:
                planes = frame.native.to_ndarray()
                record["file"] = f"{len(received):06d}.npy"
                record["small"] = _shrunk(frame.native)
                np.save(folder / str(record["file"]), planes)
            received.append(record)
    _match(clip, received, folder)
    (folder / "frames.json").write_text(json.dumps(received))


def _match(clip: str, received: list[dict[str, Any]], folder: Path) -> None:
    """Give each frame the number of its clean version, by time stamps; forget the planes of those that are equal."""
    times = np.array([one["pts"] for one in received]) * _rate(clip)
    phase = float(np.angle(np.exp(2j * np.pi * times).mean())) / (2 * np.pi)
    since = [round(time - phase) for time in times]
    small = _small_frames(clip)
    found = [_start(small, one.pop("small"), at) for one, at in zip(received, since, strict=True) if "small" in one]
    offset = Counter(start for start in found if start is not None).most_common(1)[0][0]
    by_index: dict[int, list[dict[str, Any]]] = {}
    for one, place in zip(received, since, strict=True):
        one["index"] = place + offset
        by_index.setdefault(one["index"], []).append(one)
    with av.open(clip) as container:
        for index, clean in enumerate(container.decode(video=0)):
            for one in by_index.get(index, []):
                one["psnr"] = _psnr(clean.to_ndarray(), folder / one["file"]) if "file" in one else 0.0
    for one in received:
        if "file" in one and one.get("psnr", 0.0) >= SAME_PSNR:
            (folder / one.pop("file")).unlink()


def _psnr(clean: npt.NDArray[np.uint8], path: Path) -> float:
    planes = np.load(path)
    if planes.shape != clean.shape:
        return 0.0
    error = float(((planes.astype(np.float32) - clean) ** 2).mean())
    return 100.0 if error == 0 else min(100.0, 10 * float(np.log10(255**2 / error)))


def _small_frames(clip: str) -> npt.NDArray[np.float32]:
    with av.open(clip) as container:
        return np.stack([_shrunk(frame) for frame in container.decode(video=0)])


def _shrunk(frame: av.VideoFrame) -> npt.NDArray[np.float32]:
    return frame.reformat(*SMALL, format="gray").to_ndarray().astype(np.float32)


def _rate(clip: str) -> float:
    with av.open(clip) as container:
        return float(container.streams.video[0].average_rate or 25)


def _start(small: npt.NDArray[np.float32], picture: npt.NDArray[np.float32], since: int) -> int | None:
    """Which frame of the clip the clock begins with, by a picture so many frames later; None of one past the end."""
    first = max(0, since + EARLIEST_START)
    candidates = small[first : since + LATEST_START]
    if not len(candidates):
        return None
    return first + int(((candidates - picture) ** 2).mean((1, 2)).argmin()) - since


if __name__ == "__main__":
    main(*sys.argv[1:])
