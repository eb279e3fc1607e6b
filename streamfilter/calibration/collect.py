"""Over the inputs, frame by frame: sample, degrade, ask, score. Keeps numbers, never pictures."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from streamfilter.calibration.choose import Judged
from streamfilter.calibration.journal import Journal
from streamfilter.calibration.judges import JUDGING_ERRORS, Failures, Judge, Version
from streamfilter.config import not_in
from streamfilter.errors import ConfigError, InputError
from streamfilter.filter import StreamFilter, open_buffer
from streamfilter.frame import Frame
from streamfilter.preprocess import model_input
from streamfilter.sources import ImagesSource, InputPlan, Source
from streamfilter.stream_config import LiveSettings

LEAST_EVERY_SECONDS = 0.1
ROUNDING = 1e-6
"""Time stamps that should lie on the grid may lie a little before it."""

logger = logging.getLogger(__name__)

Progress = Callable[[int, int, str], None]
"""Called after every frame with the versions judged so far, the frames that failed, and the input's name."""


@dataclass(frozen=True)
class Sampling:
    """Which frames are looked at.

    Raises:
        ConfigError: values are out of range; all of them are listed.
    """

    every_seconds: float | None = None
    """Time between two frames that are looked at; None = as `limit` asks, if the inputs say how long they are."""
    limit: int = 2000
    """About how many frames are looked at in all, spread evenly where the inputs say how long they are; at most so many
    of each."""
    live_seconds: float | None = None
    """How long a live stream is looked at; None = no input is one."""

    def __post_init__(self) -> None:
        problems = [not_in("limit", self.limit, 1, 10_000_000, whole=True)]
        for name in ("every_seconds", "live_seconds"):
            if getattr(self, name) is not None:
                problems.append(not_in(name, getattr(self, name), 0.001, 10_000_000))
        if any(problems):
            raise ConfigError("; ".join(problem for problem in problems if problem))

    def every(self, seconds: float | None) -> float:
        """Time between two frames, for inputs of this length together; None = unknown."""
        if self.every_seconds is not None:
            return self.every_seconds
        return 1.0 if not seconds else max(LEAST_EVERY_SECONDS, seconds / max(1, self.limit - 1))


def measure_length(plans: Sequence[InputPlan], live_seconds: float | None) -> tuple[float | None, list[float | None]]:
    """How long all inputs are together, by their headers, and each one; None where it cannot be told, 0 for pictures.

    Raises:
        ConfigError: an input is live, and for how long it is to be looked at was not said.
        InputError: an input cannot be opened.
    """
    lengths = []
    for plan in plans:
        source = plan.open()
        try:
            if source.is_live and live_seconds is None:
                raise ConfigError(f"{plan.name} is live: say for how long with --seconds")
            lengths.append(0.0 if isinstance(source, ImagesSource) else _length(source, live_seconds))
        finally:
            source.close()
    known = [length for length in lengths if length is not None]
    return (sum(known) if len(known) == len(lengths) else None), lengths


def _length(source: Source, live_seconds: float | None) -> float | None:
    return live_seconds if source.is_live else source.info.duration_seconds


@dataclass(frozen=True, eq=False)
class Collector:
    """Judges the sampled frames of inputs, one input after the other."""

    stream_filter: StreamFilter
    judge: Judge
    sampling: Sampling
    every_seconds: float
    journal: Journal | None
    failures: Failures
    stop: threading.Event
    progress: Progress

    def collect(self, plans: Sequence[InputPlan]) -> list[Judged]:
        """What the frames are worth.

        Raises:
            InputError: an input cannot be opened or read.
            CalibrationError: the consumer fails on too many frames.
        """
        found: list[Judged] = []
        for plan in plans:
            source = plan.open()
            found += self._earlier(source)
            for frame, pts_seconds in self._sampled(source):
                found += [replace(one, source=source.name) for one in self._judged(frame, pts_seconds)]
                self.progress(len(found), self.failures.failed, source.name)
            if source.failure is not None and not self.stop.is_set() and not source.is_live:
                raise InputError(f"{source.failure}; calibrate on whole inputs")
        self.failures.check()
        return found

    def _earlier(self, source: Source) -> list[Judged]:
        """What an interrupted run judged of a live stream: it does not come again, so it counts beside the new."""
        before = self.journal.before if self.journal is not None and source.is_live else {}
        mine = [one for versions in before.values() for one in versions if one.input == source.name]
        return [replace(one, source=source.name) for one in mine]

    def _sampled(self, source: Source) -> Iterator[tuple[Frame, float | None]]:
        seen: set[int] = set()
        taken = 0
        for frame, pts_seconds in self._frames(source):
            if not frame.is_readable or not self.judge.wants(frame):
                continue
            if self.judge.samples:
                # One frame in each cell of a grid: no block holds more than others, in whatever order frames come.
                place = taken if pts_seconds is None else math.floor(pts_seconds / self.every_seconds + ROUNDING)
                if place in seen:
                    continue
                if taken >= self.sampling.limit:
                    logger.warning(
                        "%s: the limit of %d frames is reached, the rest is not looked at", source.name, taken
                    )
                    return
                seen.add(place)
            taken += 1
            yield frame, pts_seconds

    def _frames(self, source: Source) -> Iterator[tuple[Frame, float | None]]:
        """Frames with their time: the container's, or for a live stream the clock's."""
        with open_buffer(source, LiveSettings(backpressure="latest"), 4) as buffer, self._ending(source):
            while batch := buffer.get_batch(1, 0.0, self.stop) or buffer.take_dropped():
                for frame in batch:
                    if isinstance(frame, Frame) and not _is_damaged(frame):
                        yield frame, time.time() if source.is_live else frame.pts_seconds

    @contextmanager
    def _ending(self, source: Source) -> Iterator[None]:
        """Closes a live source when its time is over, even if no frame comes any more."""
        if not source.is_live:
            yield
            return
        timer = threading.Timer(self.sampling.live_seconds or 0.0, source.close)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _judged(self, frame: Frame, pts_seconds: float | None) -> list[Judged]:
        key = (frame.input, frame.index, pts_seconds)
        if self.journal is not None and key in self.journal.before:
            return self.journal.before[key]
        try:
            versions = [self._score(frame, pts_seconds, version) for version in self.judge.judge(frame)]
        except JUDGING_ERRORS as error:
            self.failures.note(frame, error)
            return []
        self.failures.judged += 1
        if self.journal is not None:
            self.journal.add(versions)
        return versions

    def _score(self, frame: Frame, pts_seconds: float | None, version: Version) -> Judged:
        scorer = self.stream_filter.scorer
        if version.rgb is None:
            scores = scorer.score([model_input(frame, scorer.spec.input_size, scorer.spec.fit)])[0]
            utility = {task: float(score) for task, score in zip(scorer.spec.tasks, scores, strict=True)}
        else:
            utility = self.stream_filter.score(version.rgb)
        said = version.verdict
        return Judged(
            frame.input, frame.index, pts_seconds, version.distortion, utility, said.useful, said.errors, said.task
        )


def _is_damaged(frame: Frame) -> bool:
    """Whether lost data may have damaged a live frame: then a decision on it is no reference."""
    signs = frame.signs
    return signs is not None and (signs.gap or signs.errors or signs.concealed_share > 0)
