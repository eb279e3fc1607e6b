"""What the stages of a decision cost: frames and time, from comparing with an earlier frame to scoring."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stages:
    """Frames and time of each stage, for one thread at a time."""

    def __init__(self) -> None:
        self.frames: dict[str, int] = {}
        """Frames that went through each stage."""
        self.seconds: dict[str, float] = {}
        """Wall-clock time spent in each."""

    @contextmanager
    def timed(self, stage: str, frames: int) -> Iterator[None]:
        """Count the block as work of a stage on so many frames; nothing when there are none."""
        started = time.perf_counter()
        yield
        if frames:
            self.frames[stage] = self.frames.get(stage, 0) + frames
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - started

    def __str__(self) -> str:
        """`compare 1180 frames at 0.11 ms, score 305 frames at 1.02 ms`."""
        return ", ".join(
            f"{stage} {frames} frames at {1000 * self.seconds[stage] / frames:.2f} ms"
            for stage, frames in self.frames.items()
        )
