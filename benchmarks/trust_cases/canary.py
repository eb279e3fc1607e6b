"""Whether the canaries' interval holds the true share of wrongful drops, on a clip where that is known."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.outcome import Outcome
from streamfilter import CanaryEstimate, CanaryMonitor, Decision, Frame, LiveSettings, StreamFilter

log = logging.getLogger(__name__)

CLIP = Path("samples/tour_of_troubles.mp4")
SHARES = (0.01, 0.05, 0.2)
INJECTED = (0.02, 0.1, 0.4)
"""Shares of the clean frames that a threshold set too high drops, about."""
ASKED, ASKED_RUNS = 0.93, 100
SIZE = 32
BATCH = 512


@dataclass(frozen=True)
class Clip:
    """A clip that was scored once, with the truth of each frame."""

    stream_filter: StreamFilter
    frames: Sequence[Frame]
    """Without their pictures: a small black one stands for each."""
    utilities: Sequence[Mapping[str, float]]
    useful: Sequence[bool]
    """Whether nothing was done to the frame."""


class Remembered:
    """In place of the scorer: the scores of frames in order, so that each replay takes the real way of decisions."""

    def __init__(self, scorer: Any, utilities: Sequence[Mapping[str, float]]) -> None:
        self.spec = replace(scorer.spec, input_size=SIZE)
        self._rows = np.array([[one[task] for task in self.spec.tasks] for one in utilities], dtype=np.float32)
        self._next = 0

    def score(self, pictures: Sequence[object]) -> npt.NDArray[np.float32]:
        """(N, T) float32: what the next N frames scored; after the last comes the first."""
        rows = (self._next + np.arange(len(pictures))) % len(self._rows)
        self._next += len(pictures)
        return self._rows[rows]


def remember(clip: Path, loops: int) -> Clip:
    """Score a clip with the default model, and lay it end to end `loops` times.

    Beside the clip lies a JSON of its segments, each with what was done to it.
    """
    stream_filter = StreamFilter(device="cpu", shadow=True)
    seen = [(frame.pts_seconds or 0.0, decision.utility or {}) for frame, decision in stream_filter.filter(clip)]
    segments = json.loads(clip.with_suffix(".json").read_text())["segments"]
    clean = {
        index
        for segment in segments
        if segment["trouble"] == "none"
        for index in range(segment["first_frame"], segment["end_frame"])
    }
    length, black = seen[-1][0] + seen[1][0] - seen[0][0], np.zeros((SIZE, SIZE, 3), np.uint8)
    frames = [
        Frame(clip.name, loop * len(seen) + index, loop * length + seconds, array=black)
        for loop in range(loops)
        for index, (seconds, _) in enumerate(seen)
    ]
    utilities = [utility for _, utility in seen] * loops
    stream_filter.scorer = Remembered(stream_filter.scorer, [utility for _, utility in seen])
    return Clip(stream_filter, frames, utilities, [index in clean for index in range(len(seen))] * loops)


def thresholds(clip: Clip) -> list[float]:
    """Thresholds so high that they drop about the shares of `INJECTED` of the clean frames."""
    best = [max(one.values()) for one, useful in zip(clip.utilities, clip.useful, strict=True) if useful]
    return [float(np.quantile(best, share)) for share in INJECTED]


def decisions(clip: Clip, **settings: Any) -> Iterator[tuple[Frame, Decision, bool]]:
    """The clip through the filter once more, with other settings and without a gap floor."""
    rules = clip.stream_filter.rules(LiveSettings(), shadow=False, max_gap_seconds=0, **settings)
    state = clip.stream_filter.new_state()
    for start in range(0, len(clip.frames), BATCH):
        frames = clip.frames[start : start + BATCH]
        ((decided, state),) = clip.stream_filter.decide_together([(rules, frames, state)])
        yield from zip(frames, decided, clip.useful[start : start + BATCH], strict=True)


def dropped_part(clip: Clip, threshold: float) -> Clip:
    """The frames that are dropped without canaries; of all others nothing is drawn, so replays leave them out."""
    fates = [decision.keep for _, decision, _ in decisions(clip, threshold=threshold)]
    places = [place for place, keep in enumerate(fates) if not keep]
    frames, utilities = [clip.frames[place] for place in places], [clip.utilities[place] for place in places]
    clip.stream_filter.scorer = Remembered(clip.stream_filter.scorer, utilities)
    return Clip(clip.stream_filter, frames, utilities, [clip.useful[place] for place in places])


def canary_run(clip: Clip, **settings: Any) -> CanaryEstimate:
    """What the canaries of one run say when a consumer answers for each."""
    monitor = CanaryMonitor("clip")
    for frame, decision, useful in decisions(clip, **settings):
        monitor.saw(frame, decision)
        if decision.spared is not None:
            monitor.report(frame, useful)
    return monitor.trust().canary


def coverage(clip: Clip, threshold: float, share: float, seeds: int) -> dict[str, Any]:
    """How often the interval holds the true rate, for one threshold and one share of canaries."""
    rate = sum(clip.useful) / len(clip.useful)
    found = [canary_run(clip, threshold=threshold, canary=share, canary_seed=seed) for seed in range(seeds)]
    if any(one.dropped != len(clip.frames) for one in found):
        raise AssertionError("canaries changed which frames would be dropped")
    holds = [one.interval[0] <= rate <= one.interval[1] for one in found]
    return {
        "threshold": threshold,
        "dropped": len(clip.frames),
        "true rate": rate,
        "canary share": share,
        "canaries (mean)": float(np.mean([one.canaries for one in found])),
        "estimate (mean)": float(np.mean([one.wrongful_rate for one in found if one.wrongful_rate is not None])),
        f"first {len(holds[:ASKED_RUNS])} runs": sum(holds[:ASKED_RUNS]),
        "holds the true rate": sum(holds) / seeds,
        "width (mean)": float(np.mean([one.interval[1] - one.interval[0] for one in found])),
    }


def measure_canary(seeds: int = 250, loops: int = 2, clip_path: Path = CLIP) -> Outcome:
    """Coverage and width of the interval, for rates of wrongful drops and shares of canaries."""
    clip, rows = remember(clip_path, loops), []
    scorer = clip.stream_filter.scorer
    for threshold in thresholds(clip):
        clip.stream_filter.scorer = scorer
        part = dropped_part(clip, threshold)
        for share in SHARES:
            rows.append(coverage(part, threshold, share, seeds))
            log.info("%s", rows[-1])
    return Outcome(
        f"the true rate of wrongful drops lies in the 95 % interval in at least {ASKED:.0%} of {ASKED_RUNS} runs",
        {
            "frames": len(clip.frames),
            "runs a row": seeds,
            "holds the true rate, fewest of a row": min(row["holds the true rate"] for row in rows),
            "holds the true rate, all rows": float(np.mean([row["holds the true rate"] for row in rows])),
            "asked": ASKED,
        },
        rows,
    )
