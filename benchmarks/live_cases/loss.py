"""2. Packet loss: which damaged frames are rejected, and at what price, by flags, taint window and score."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import av
import numpy as np

from benchmarks.live_cases.camera import as_camera
from benchmarks.outcome import Outcome
from streamfilter import LiveSettings, StreamFilter
from trainer.networks import load_network
from trainer.utility import Objects, detection_utility

CLIPS = {"pedestrians_street": 25, "cctv_street_topdown": 50, "traffic_buses_street": 100, "person_forest_path": 250}
"""Clip of the kit and the distance of its keyframes in frames."""
DETECTORS = ("picodet_s_416", "yolox_nano_416", "nanodet_m_416")
SIDE_BY_SIDE = 4
JUDGES = 2
"""Processes that ask the detectors, one thread each."""
WIDTH = 640
SURE = 0.5
ASKED_SHARE = 0.95
"""Of the damaged frames."""
ORACLE = "oracle: PSNR to the clean decode"
HEADROOM = 1.1
"""More is sent than is asked for: some frames are lost whole."""

Frames = list[dict[str, Any]]


def measure(stream_filter: StreamFilter, kit: Path, frames: int = 20_000, losses: Sequence[float] = (1, 3)) -> Outcome:
    """Send clips over UDP through real loss and compare every received frame with its clean decode, by detectors."""
    rules = stream_filter.rules(LiveSettings())
    each = int(HEADROOM * frames / len(losses) / len(CLIPS))
    with tempfile.TemporaryDirectory() as scratch:
        clips = {
            name: as_camera(kit / "clips" / f"{name}.mp4", Path(scratch) / f"{name}.mp4", WIDTH, gop, each)
            for name, gop in CLIPS.items()
        }
        model = str(stream_filter.scorer.path)
        jobs = [(name, loss) for loss in losses for name in clips]
        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            folders = list(pool.map(lambda job: _receive(clips[job[0]], job[1], model, Path(scratch)), jobs))
        with ProcessPoolExecutor(JUDGES, get_context("spawn")) as judges:
            parts = judges.map(_judged, [clips[name] for name, _ in jobs], folders, [kit] * len(jobs))
            found = dict(zip(jobs, parts, strict=True))
    policy = rules.policy
    methods: dict[str, Callable[[dict[str, Any]], bool]] = {
        "flags only": lambda one: one["flag"],
        "taint only": lambda one: one["awaiting"] or one["tainted"],
        "taint + score": lambda one: one["awaiting"] or (one["tainted"] and (
            one["damage"] > policy.max_damage or not _reaches(one["utility"], policy.taint_thresholds)
        )),
        ORACLE: lambda one: (one["awaiting"] or one["tainted"]) and one["psnr"] <= one["oracle"],
        "score only": lambda one: not _reaches(one["utility"], policy.thresholds),
    }  # fmt: skip
    for loss in losses:
        _know_clean(_all(found, loss))
    rows = [
        {"loss_percent": loss, "clips": "all", **_rates(_all(found, loss), name, rejects)}
        for loss in losses
        for name, rejects in methods.items()
    ]
    rows += [
        {"loss_percent": loss, "clips": f"{clip}, keyframe every {CLIPS[clip]}", **_rates(part, name, rejects)}
        for (clip, loss), part in found.items()
        for name, rejects in methods.items()
    ]
    total = [one for part in found.values() for one in part]
    return Outcome(
        "at least 95 % of the damaged frames rejected at no more than 5 % of the undamaged ones (taint + score)",
        {
            "frames_sent": each * len(jobs),
            "frames_judged": len(total),
            "damaged": sum(one["damaged"] for one in total),
            **{f"taint_threshold_{task}": value for task, value in policy.taint_thresholds.items()},
            "max_damage": policy.max_damage,
            "detectors": ", ".join(DETECTORS),
        },
        rows,
    )


def _reaches(utility: Mapping[str, float] | None, thresholds: Mapping[str, float]) -> bool:
    return utility is not None and any(utility[task] >= least for task, least in thresholds.items())


def _know_clean(frames: Frames) -> None:
    """Give each frame the PSNR under which an oracle that knows the clean decode rejects just enough damaged frames."""
    damaged = sorted(one["psnr"] for one in frames if one["damaged"])
    bound = damaged[int(ASKED_SHARE * (len(damaged) - 1))] if damaged else 0.0
    for one in frames:
        one["oracle"] = bound


def _all(found: dict[tuple[str, float], Frames], loss: float) -> Frames:
    return [one for (_, own), part in found.items() if own == loss for one in part]


def _rates(frames: Frames, name: str, rejects: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    damaged = [rejects(one) for one in frames if one["damaged"]]
    sound = [rejects(one) for one in frames if not one["damaged"]]
    return {
        "method": name,
        "frames": len(frames),
        "damaged_percent": 100 * len(damaged) / max(1, len(frames)),
        "damaged_rejected_percent": 100 * sum(damaged) / max(1, len(damaged)),
        "undamaged_rejected_percent": 100 * sum(sound) / max(1, len(sound)),
    }


def _receive(clip: Path, loss: float, model: str, scratch: Path) -> Path:
    folder = scratch / f"{clip.stem}-{loss}"
    command = [sys.executable, "-m", "benchmarks.live_cases.loss_reader", str(clip), str(loss), model, str(folder)]
    subprocess.run(["unshare", "-n", *command], check=True, timeout=3600)
    return folder


def _judged(clip: Path, folder: Path, kit: Path) -> Frames:
    """The received frames, each with whether the detectors no longer agree with themselves on the clean decode."""
    received = json.loads((folder / "frames.json").read_text())
    frames: Frames = [one for one in received if "psnr" in one]
    networks = [load_network(str(kit / "networks" / f"{name}.onnx"), "detection", threads=1) for name in DETECTORS]
    differing = {one["index"] for one in frames if "file" in one}
    clean: dict[int, list[Any]] = {}
    with av.open(str(clip)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index in differing:
                rgb = frame.to_ndarray(format="rgb24")
                clean[index] = [network.predict([rgb])[0] for network in networks]
    for one in frames:
        if "file" not in one:
            one["damaged"] = one["psnr"] == 0.0
            continue
        rgb = av.VideoFrame.from_ndarray(np.load(folder / one["file"]), format="yuv420p").to_ndarray(format="rgb24")
        disagreeing = [
            _disagrees(before, network.predict([rgb])[0])
            for network, before in zip(networks, clean[one["index"]], strict=True)
        ]
        one["damaged"] = sum(disagreeing) * 2 > len(networks)
    return frames


def _disagrees(clean: Any, received: Any) -> bool:
    """Eq. (6) with the clean frame as the reference; where nothing was to be seen, whatever is seen now is wrong."""
    sure = clean.scores >= SURE
    truth = Objects(clean.boxes[sure], clean.category_ids[sure])
    if not sure.any():
        return bool((received.scores >= SURE).any())
    return bool(detection_utility([truth], [clean], [received], SURE, SURE)[0] != 1)
