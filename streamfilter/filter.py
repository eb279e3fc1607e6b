"""StreamFilter: where a frame's fate is decided, for the CLI and the Python API alike."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from streamfilter.buffer import Buffer
from streamfilter.config import Settings
from streamfilter.errors import PictureError
from streamfilter.frame import RGB, Decision, Frame, Reason
from streamfilter.metrics import Summary
from streamfilter.policy import Policy, PolicyState, decide, is_useful
from streamfilter.preprocess import model_input, shrink
from streamfilter.scorer import Scorer
from streamfilter.sources import Source, open_source

BATCH_WAIT_SECONDS = 0.05


class StreamFilter:
    """Scores every frame for its utility to machines and decides whether it goes on.

        for frame, decision in StreamFilter().filter("clip.mp4"):
            if decision.keep:
                detect(frame.rgb)

    Args:
        settings: all settings at once; None = the defaults.
        overrides: single settings by name (see `Settings`), over those.

    Raises:
        ConfigError: a setting is out of range, or the model has no such task.
        ModelError: the model is missing, corrupt or not a utility model.
        DeviceError: the device asked for is not there.
    """

    def __init__(self, settings: Settings | None = None, **overrides: Any) -> None:
        self.settings = (settings or Settings()).replace(**overrides)
        self.scorer = Scorer(self.settings.model, self.settings.device, self.settings.threads)
        spec, threshold = self.scorer.spec, self.settings.threshold
        self.policy = Policy(
            thresholds={task: spec.thresholds[task] if threshold is None else threshold for task in spec.tasks},
            task=self.settings.task,
            hysteresis=self.settings.hysteresis,
            max_gap_seconds=self.settings.max_gap_seconds,
        )

    def filter(
        self, source: str | Path | Source, stop: threading.Event | None = None
    ) -> Iterator[tuple[Frame, Decision]]:
        """Every frame of a source with its decision, in order.

        Args:
            source: a path or URI as for the command line, or an open source (which is closed at the end).
            stop: when set, the iteration ends early.

        Raises:
            InputError: the source cannot be opened or read.
        """
        opened = open_source(str(source)) if isinstance(source, str | Path) else source
        state = PolicyState()
        with Buffer(opened, capacity=2 * self.settings.batch_size) as buffer:
            while batch := buffer.get_batch(self.settings.batch_size, BATCH_WAIT_SECONDS, stop):
                decisions, state = self.decide(batch, state)
                yield from zip(batch, decisions, strict=True)

    def pass_to(self, source: str | Path | Source, consumer: Callable[[Frame], object]) -> Summary:
        """Give the kept frames of a source to a consumer, one by one.

        Args:
            source: as for `filter`.
            consumer: called with each kept frame; what it raises comes through.

        Returns:
            The counts of the run.

        Raises:
            InputError: the source cannot be opened or read.
        """
        summary = Summary()
        for frame, decision in self.filter(source):
            summary.count(decision)
            if decision.keep:
                consumer(frame)
        return summary

    def decide(self, frames: Sequence[Frame], state: PolicyState) -> tuple[list[Decision], PolicyState]:
        """Decide on consecutive frames of one stream, scored as one batch.

        Args:
            frames: readable and unreadable ones, in order.
            state: what the frames before left behind; `PolicyState()` at the start.

        Returns:
            One decision a frame, and the state for the frames that follow.
        """
        decisions = []
        for frame, utility in zip(frames, self._utilities(frames), strict=True):
            if utility is None:
                decisions.append(Decision(keep=False, reason=Reason.UNREADABLE))
                continue
            keep, reason, state = decide(self.policy, state, utility, frame.pts_seconds)
            decisions.append(Decision(keep, reason, utility))
        return decisions, state

    def score(self, rgb: RGB) -> dict[str, float]:
        """Utility of one picture.

        Args:
            rgb: (H, W, 3) uint8, RGB, HWC, 0-255.

        Returns:
            Utility in [0, 1] for each task.

        Raises:
            ShapeError: `rgb` is not (H, W, 3) uint8.
        """
        return self._by_task(self.scorer.score([shrink(rgb, self.scorer.spec.input_size)])[0])

    def is_useful(self, utility: dict[str, float]) -> bool:
        """Whether a picture with this utility reaches the thresholds under the task rule, without any memory."""
        return is_useful(self.policy, utility)

    def _utilities(self, frames: Sequence[Frame]) -> list[dict[str, float] | None]:
        inputs = [_small(frame, self.scorer.spec.input_size) for frame in frames]
        scores = iter(self.scorer.score([picture for picture in inputs if picture is not None]))
        return [None if picture is None else self._by_task(next(scores)) for picture in inputs]

    def _by_task(self, scores: np.ndarray[Any, np.dtype[np.float32]]) -> dict[str, float]:
        return {task: float(score) for task, score in zip(self.scorer.spec.tasks, scores, strict=True)}


def _small(frame: Frame, size: int) -> RGB | None:
    if not frame.is_readable:
        return None
    try:
        return model_input(frame, size)
    except PictureError:
        return None
