"""What a detector says about the kit's clips, as they are and degraded: judged once, then kept.

The mix was decided before any of it was looked at: four frames a second of every clip, each as it is and once degraded
by one of the sixteen distortions, drawn in turn, at a level drawn uniformly from 1 (hardly visible) to 5 (hopeless). So
half of what the filter sees is a camera at its best, and half a camera in trouble of one kind or another.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.trust_cases.detectors import KIT
from streamfilter import Calibration, Goal, Judged, Sampling, StreamFilter, judge_frames

EVERY_SECONDS = 0.25
NOT_YET = Goal("keep_rate", 0.5)
"""Nothing is chosen while frames are judged, so no number of blocks is too small."""


def clips(kit: Path = KIT) -> list[str]:
    """The kit's clips, by name."""
    return [str(path) for path in sorted((kit / "clips").iterdir()) if path.suffix in (".mp4", ".avi")]


def judged(detector: str, model: str, folder: Path, every_seconds: float = EVERY_SECONDS) -> Sequence[Judged]:
    """Every sampled frame of every clip, as it is and degraded, with the model's utility and the detector's verdict.

    Args:
        detector: a name in `detectors`.
        model: a shipped model.
        folder: what is judged is kept there.
        every_seconds: time between two frames.
    """
    job = Calibration(
        inputs=clips(),
        goal=NOT_YET,
        consumer=f"benchmarks.trust_cases.detectors:{detector}",
        sampling=Sampling(every_seconds=every_seconds),
    )
    notes = folder / f"{detector}-{model}-{every_seconds:g}.jsonl"
    return judge_frames(job, StreamFilter(model=model, device="cpu", threads=1), notes).judged
