"""What follows from the inputs alone, before a frame is judged: how long blocks are, and whether they can do."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from streamfilter.calibration.bound import best_share, blocks_needed
from streamfilter.calibration.job import Calibration
from streamfilter.digest import file_sha256
from streamfilter.errors import CalibrationError
from streamfilter.filter import StreamFilter

LONGEST_BLOCK_SECONDS, SHORTEST_BLOCK_SECONDS = 60.0, 1.0
ROOM = 4
"""Blocks are cut so short, if need be, that there are this many times those needed at least."""


def choose_block_seconds(job: Calibration, seconds: float | None, inputs: int) -> float:
    """Whole inputs where they are enough, else stretches as long as leaves enough of them."""
    if job.block_seconds is not None:
        return job.block_seconds
    wanted = ROOM * blocks_needed(job.goal.alpha, job.goal.confidence)
    if inputs >= wanted:
        return 0.0
    length = LONGEST_BLOCK_SECONDS if seconds is None else seconds / wanted
    return float(min(LONGEST_BLOCK_SECONDS, max(SHORTEST_BLOCK_SECONDS, round(length, 1))))


def refuse_hopeless(job: Calibration, block_seconds: float, lengths: Sequence[float | None]) -> None:
    """Say before anything is judged that there cannot be enough blocks.

    Raises:
        CalibrationError: there cannot.
    """
    if job.goal.kind == "keep_rate" or (block_seconds and None in lengths):
        return
    blocks = sum(1 if not block_seconds else int((length or 0) // block_seconds) + 1 for length in lengths)
    needed = blocks_needed(job.goal.alpha, job.goal.confidence)
    if blocks < needed:
        best = best_share(blocks, job.goal.confidence)
        size = f"of {block_seconds:g} s" if block_seconds and any(lengths) else "(each input is one)"
        raise CalibrationError(
            f"{blocks} blocks {size} cannot carry a promise of {job.goal.target:g} at {job.goal.confidence:g} "
            f"confidence: at least {needed - blocks} more are needed; these can carry {best:.0%} at most"
        )


def fingerprint(job: Calibration, stream_filter: StreamFilter, every: float, names: Sequence[str]) -> dict[str, Any]:
    """What has to be the same for judged frames of two runs to belong together."""
    consumer = Path(job.consumer) if job.consumer else None
    return {
        "model_sha256": stream_filter.scorer.sha256,
        "inputs": list(names),
        "consumer": job.consumer,
        "consumer_sha256": file_sha256(consumer) if consumer is not None and os.path.isfile(consumer) else None,
        "bars": asdict(job.bars),
        "kinds": list(job.kinds),
        "draws": job.draws,
        "every_seconds": every,
        "limit": job.sampling.limit,
    }
