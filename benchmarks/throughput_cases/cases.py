"""What the throughput benchmark measures, a case each."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.outcome import Outcome, percentile
from benchmarks.throughput_cases import sides
from benchmarks.throughput_cases.clips import FPS, PLANS, make_clip, partly_useless, photographs, repeated
from benchmarks.throughput_cases.decoders import as_transport_stream, frames_a_second, served
from streamfilter import Frame, SourceInfo, StreamFilter, open_source, shipped_models

REUSE = 1.5
"""Grey levels: the setting that `docs/performance.md` recommends."""
FLOOR = "decode only"
FAST = "utility-nano"
CAREFUL = "utility-lite0"
TROUBLES = Path(__file__).parents[2] / "samples" / "tour_of_troubles.mp4"
"""A clip whose quality changes every one or two seconds."""
BUDGET = 0.005
"""Share of reused utilities that may mislead: the default of the settings."""
DETECTOR = "picodet_s_416"


@dataclass(frozen=True)
class Bench:
    """What all cases share."""

    folder: Path
    """Where clips are kept."""
    kit: Path
    seconds: float
    """Most time a turn."""
    rounds: int
    device: str
    clips: tuple[Path, ...]
    """Clips of the user; else the case's own."""
    clip_seconds: float
    """Length of the clips made here."""
    precision: str = "fp32"
    decoder: str = ""
    """Measured beside software decoding; empty = none."""
    counts: tuple[int, ...] = (1, 2, 4, 8, 16)
    """Of streams at once."""

    def filter(self, model: str, **settings: Any) -> StreamFilter:
        """A filter for files: the decoder has the other cores."""
        return StreamFilter(
            **{"model": model, "device": self.device, "precision": self.precision, "max_gap_seconds": 0, **settings}
        )

    def clip(self, name: str) -> Path:
        """A clip of `PLANS`, made if need be."""
        return make_clip(PLANS[name], self.clip_seconds, self.folder)


def clips(bench: Bench) -> Outcome:
    """Every way to go through a clip, as a share of decoding alone."""
    models = {f"{name}": bench.filter(name) for name in sorted(shipped_models())}
    ways: dict[str, sides.Side] = {
        FLOOR: sides.decode_only,
        "our source alone": sides.our_source,
        "decode + swscale to 224": sides.decode_and_scale,
        "decode + full-size RGB": sides.decode_to_rgb,
        **{f"run {name}": sides.ours(one) for name, one in models.items()},
        **{f"run {name}, reuse": sides.ours(bench.filter(name, reuse=REUSE)) for name in models},
        "cv2 + torch ResNet-18": sides.user_loop,
        "BRISQUE": sides.brisque_each,
        "blockdetect + blurdetect": sides.block_and_blur,
    }
    rows: list[dict[str, Any]] = []
    for path in bench.clips or [bench.clip(name) for name in PLANS]:
        rates = sides.turns(ways, path, bench.seconds, bench.rounds)
        for name, rate in rates.items():
            share = {"of_decoding": rate / rates[FLOOR], "times_the_loop": rate / rates["cv2 + torch ResNet-18"]}
            rows.append({"clip": path.stem, "side": name, "frames_per_second": rate, **share})
    return Outcome(
        "0.80 of decoding with every frame scored, 0.90 with reuse, 10 times the loop, 5 times BRISQUE (1080p H.264)",
        {"rounds": bench.rounds, "seconds_a_turn": bench.seconds, "reuse": REUSE, **_versions()},
        rows,
    )


def reuse(bench: Bench) -> Outcome:
    """How many decisions differ from those of scoring every frame, and what the checks on that say."""
    names = bench.clips or (*sorted((bench.kit / "clips").glob("*.*")), TROUBLES)
    rows: list[dict[str, Any]] = []
    for model, path in product((FAST, CAREFUL), names):
        every = [decision.keep for _, decision in bench.filter(model).filter(path)]
        for change, budget in ((1.0, 1.0), (REUSE, 1.0), (3.0, 1.0), (REUSE, BUDGET), (3.0, BUDGET)):
            taken = [decision for _, decision in bench.filter(model, reuse=change, error_budget=budget).filter(path)]
            rows.append({
                "model": model, "clip": path.stem, "grey_levels": change, "error_budget": budget, "frames": len(every),
                "reused": sum(one.is_reused for one in taken),
                "differing": sum(one != other.keep for one, other in zip(every, taken, strict=True)),
                "checked": sum(one.reuse_agrees is not None for one in taken),
                "found_differing": sum(one.reuse_agrees is False for one in taken),
            })  # fmt: skip
    return Outcome("at most 0.5 % of the decisions differ", _totals(rows), rows)


def _totals(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Shares over all clips, percent, for each way of reusing."""
    figures = {}
    for key in dict.fromkeys((row["model"], row["grey_levels"], row["error_budget"]) for row in rows):
        same = [row for row in rows if (row["model"], row["grey_levels"], row["error_budget"]) == key]
        frames, name = sum(row["frames"] for row in same), f"{key[0]}, {key[1]:g} levels, budget {key[2]:g}"
        for what in ("reused", "differing"):
            figures[f"{name}: {what} %"] = 100 * sum(row[what] for row in same) / frames
    return figures


def breakeven(bench: Bench) -> Outcome:
    """A detector on every frame, with and without our filter in front, at several shares of useless frames."""
    detect = _detector(bench.kit)
    stream_filter = bench.filter(FAST, threshold=0.5, reuse=REUSE)
    rows = []
    for share in (0.0, 0.05, 0.1, 0.2, 0.5):
        clip = partly_useless(share, bench.folder)
        behind = sides.consumer_behind(stream_filter, detect)
        ways = {"alone": sides.consumer_each(detect), "behind": behind}
        rates = sides.turns(ways, clip, max(bench.seconds, 6.0), bench.rounds)
        kept = [decision.keep for _, decision in stream_filter.filter(clip)]
        rows.append({
            "useless_percent": 100 * share, "dropped_percent": 100 * (1 - sum(kept) / len(kept)),
            "alone_fps": rates["alone"], "behind_fps": rates["behind"], "ratio": rates["behind"] / rates["alone"],
        })  # fmt: skip
    winning = [row["useless_percent"] for row in rows if row["ratio"] >= 1]
    least = min(winning, default=float("nan"))
    return Outcome(
        "the filter pays at 5 % useless frames or fewer", {"pays_from_percent": least, "detector": DETECTOR}, rows
    )


def folder(bench: Bench) -> Outcome:
    """12-megapixel JPEG pictures: ours against decoding them whole and scoring."""
    pictures = photographs(bench.folder / "12mp", 24)
    stream_filter = bench.filter(FAST)

    def whole(path: Path, seconds: float) -> float:
        decoded = (np.asarray(Image.open(one).convert("RGB")) for one in sorted(path.iterdir()))
        return sides.paced((stream_filter.score(rgb) for rgb in decoded), seconds)

    def whole_ours(path: Path, seconds: float) -> float:
        return sides.paced((stream_filter.score(frame.rgb) for frame in open_source(str(path))), seconds)

    ways = {"whole, one by one": whole, "whole, side by side": whole_ours, "run": sides.ours(stream_filter)}
    rates = sides.turns(ways, pictures, max(bench.seconds, 8.0), bench.rounds)
    rows = [
        {"side": name, "per_second": rate, "times": rate / rates["whole, one by one"]} for name, rate in rates.items()
    ]
    return Outcome("2.5 times decoding whole and scoring", {"pictures": 24, "megapixels": 12}, rows)


def streams(bench: Bench) -> Outcome:
    """So many clips at once through one scorer."""
    clip, stream_filter = bench.clip("720p-h264"), bench.filter(FAST)
    rows = []
    for count in bench.counts:
        found = [0.0] * count
        one = partial(_into, found, partial(stream_filter.filter, clip), bench.seconds)
        threads = [threading.Thread(target=one, args=(place,)) for place in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60 + bench.seconds)
        rows.append(
            {"streams": count, "frames_per_second": sum(found), "slowest": min(found), "of_25_fps": sum(found) / 25}
        )
    return Outcome("how many 720p25 streams fit", {"clip": clip.stem}, rows)


def decoders(bench: Bench) -> Outcome:
    """So many live streams at once through one scorer, in software and with the decoder that was named."""
    clip = as_transport_stream(repeated(bench.clip("720p-h264"), 8, bench.folder))
    stream_filter, rows = bench.filter(FAST), []
    with served(clip) as uri:
        for decoder in dict.fromkeys(("", bench.decoder)):
            for count in bench.counts:
                found = frames_a_second(stream_filter, uri, decoder, count, bench.seconds)
                rows.append({"decoder": decoder or "software", "streams": count, **found})
                if found["failure"]:
                    # More streams would only fail later.
                    break
    return Outcome("720p live streams, read as fast as they can be", {"clip": clip.stem, "device": bench.device}, rows)


def memory(bench: Bench) -> Outcome:
    """Peak memory of one 1080p stream, and of one ten times as long."""
    short = bench.clips[0] if bench.clips else bench.clip("1080p-h264")
    rows = []
    for times in (1, 10):
        path = repeated(short, times, bench.folder)
        found = subprocess.run(
            [sys.executable, "-m", "benchmarks.throughput_cases.peak", str(path), FAST],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        rows.append({"times": times, **json.loads(found.stdout)})
    growth = 100 * (rows[1]["peak_mb"] / rows[0]["peak_mb"] - 1)
    return Outcome("at most 450 MB, and the same within 2 % for ten times the length", {"growth_percent": growth}, rows)


def latency(bench: Bench) -> Outcome:
    """From decoded frame to decision, for a stream that comes at 25 frames a second."""
    clip = bench.clips[0] if bench.clips else bench.clip("1080p-h264")
    rows = []
    for model in sorted(shipped_models()):
        stream_filter = bench.filter(model)
        delays = []
        for frame, _ in stream_filter.filter(_AtItsPace(clip, 20.0)):
            delays.append(1000 * (time.monotonic() - (frame.arrived_seconds or 0.0)))
        row = {"model": model, "frames": len(delays)}
        rows.append(
            {**row, "p50_ms": percentile(delays, 0.5), "p95_ms": percentile(delays, 0.95), "max_ms": max(delays)}
        )
    return Outcome("p50 at most 10 ms, p95 at most 25 ms", {"clip": clip.stem}, rows)


CASES: dict[str, Callable[[Bench], Outcome]] = {
    "clips": clips,
    "reuse": reuse,
    "breakeven": breakeven,
    "folder": folder,
    "streams": streams,
    "decoders": decoders,
    "memory": memory,
    "latency": latency,
}


def _into(found: list[float], pictures: Callable[[], Iterator[Any]], seconds: float, place: int) -> None:
    found[place] = sides.paced(pictures(), seconds)


class _AtItsPace:
    """A clip's frames as a camera would give them, each when its time has come."""

    is_live = True

    def __init__(self, clip: Path, seconds: float) -> None:
        self._inner, self._seconds = open_source(str(clip)), seconds
        self.name, self.info, self.failure = str(clip), SourceInfo(), None

    def __iter__(self) -> Iterator[Frame]:
        start = time.monotonic()
        for frame in self._inner:
            due = frame.index / FPS
            if due > self._seconds:
                return
            time.sleep(max(0.0, start + due - time.monotonic()))
            yield replace(frame, arrived_seconds=time.monotonic())

    def close(self) -> None:
        self._inner.close()


def _detector(kit: Path) -> Callable[[Any], Any]:
    from trainer.networks import load_network

    network = load_network(str(kit / "networks" / f"{DETECTOR}.onnx"), "detection", threads=0)
    return lambda rgb: network.predict([rgb])


def _versions() -> dict[str, str]:
    # Not by the names of packages: ONNX Runtime has another one for a GPU.
    names = ("av", "onnxruntime", "cv2", "torch", "numpy")
    return {name: str(import_module(name).__version__) for name in names}
