"""StreamFilter: where a frame's fate is decided, for the CLI and the Python API alike."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from streamfilter.batch import Batch, Rules, StreamState
from streamfilter.buffer import Buffer
from streamfilter.canary import Sparing
from streamfilter.causes import shipped_model
from streamfilter.config import Settings
from streamfilter.diagnosis import Diagnosis
from streamfilter.errors import ConfigError, InputError, PictureError
from streamfilter.frame import RGB, Decision, Frame, StreamEvent
from streamfilter.health import HealthRules, changes
from streamfilter.metrics import Summary
from streamfilter.policy import Policy, is_useful
from streamfilter.preprocess import model_input, shrink
from streamfilter.profile import Profile
from streamfilter.scorer import Scorer
from streamfilter.sources import PictureSource, Source, open_source
from streamfilter.spec import ModelSpec
from streamfilter.stages import Stages
from streamfilter.stream_config import LiveSettings

BATCH_WAIT_SECONDS = 0.05
"""For the rest of a file's batch; a live frame waits for none."""
WAITING_SHARE = 0.5
"""Part of the staleness bound that a live frame may wait to be scored; the rest is for scoring and delivery."""
TAINT_STRICTNESS = 6.0
"""A tainted frame has to be this many times nearer to 1 than the threshold is, unless its stream says otherwise."""


class StreamFilter:
    """Scores every frame for its utility to machines and decides whether it goes on.

        for frame, decision in StreamFilter().filter("clip.mp4"):
            if decision.keep:
                detect(frame.rgb)

    Args:
        settings: all settings at once; None = the defaults.
        overrides: single settings by name (see `Settings`), over those.

    Raises:
        ConfigError: a setting is out of range, the model has no such task, or the profile is another model's.
        ModelError: the model is missing, corrupt or not a utility model.
        DeviceError: the device asked for is not there.
    """

    def __init__(self, settings: Settings | None = None, **overrides: Any) -> None:
        self.settings = (settings or Settings()).replace(**overrides)
        chosen = self.settings
        self.scorer = Scorer(chosen.model, chosen.device, chosen.threads, chosen.precision, chosen.batch_size)
        self._rules = self.rules()
        self.policy = self._rules.policy
        self.stages = Stages()

    def rules(self, live: LiveSettings | None = None, **overrides: Any) -> Rules:
        """What decides on the frames of one stream: these settings, but for what is the stream's own.

        Args:
            live: how the stream is read and passed on; None = the defaults.
            overrides: settings by name: of the policy (`threshold`, `profile`, `task`, `hysteresis`, `max_gap_seconds`,
                `reuse`, `shadow`, `canary`), and of what is told about causes and cameras (`causes`,
                `camera_seconds` ...).

        Raises:
            ConfigError: a setting is out of range, the model has no such task, or the profile is another model's.
        """
        settings, live = self.settings.replace(**overrides), live or LiveSettings()
        profile = None if settings.profile is None else Profile.read(settings.profile)
        thresholds, task = self._thresholds(settings, profile)
        stricter = live.taint_threshold
        policy = Policy(
            thresholds=thresholds,
            task=task,
            hysteresis=settings.hysteresis,
            max_gap_seconds=settings.max_gap_seconds,
            taint_thresholds={
                task: 1 - (1 - threshold) / TAINT_STRICTNESS if stricter is None else stricter
                for task, threshold in thresholds.items()
            },
            max_damage=live.max_damage,
        )
        sparing = Sparing(settings.shadow, settings.canary, settings.canary_seed)
        return Rules(policy, live, settings.reuse, settings.error_budget, sparing, profile, _diagnosis(settings))

    def _thresholds(self, settings: Settings, profile: Profile | None) -> tuple[dict[str, float], str]:
        """The threshold of each task, and the rule of which tasks count."""
        spec, own = self.scorer.spec, settings.threshold
        if profile is None:
            return {task: spec.thresholds[task] if own is None else own for task in spec.tasks}, settings.task
        profile.check(self.scorer.sha256)
        if settings.task not in (Settings.task, profile.task):
            raise ConfigError(
                f"task {settings.task}: the profile {settings.profile} is for {profile.task}; leave the task out"
            )
        return {**spec.thresholds, **profile.thresholds}, profile.task

    def filter(
        self,
        source: str | Path | Source,
        stop: threading.Event | None = None,
        live: LiveSettings | None = None,
        on_event: Callable[[StreamEvent], object] = lambda event: None,
    ) -> Iterator[tuple[Frame, Decision]]:
        """Every frame of a source with its decision, in order.

        A live source is never kept waiting: frames that overflow or go stale while the caller is busy come as well,
        dropped and without pixels.

        Args:
            source: a path or URI as for the command line, or an open source (which is closed at the end).
            stop: when set, the iteration ends early.
            live: how a live source is passed on; None = the defaults.
            on_event: called with what happens to the camera, before the frames it was seen in are given.

        Raises:
            ConfigError: it is neither of the two.
            InputError: the source cannot be opened or read; or it ended too early, which is raised after all that could
                be read was given.
        """
        opened = _opened(source)
        yield from self._decided(opened, stop, live, on_event)
        if opened.failure is not None and not (stop is not None and stop.is_set()):
            raise InputError(opened.failure)

    def _decided(
        self,
        opened: Source,
        stop: threading.Event | None = None,
        live: LiveSettings | None = None,
        on_event: Callable[[StreamEvent], object] = lambda event: None,
    ) -> Iterator[tuple[Frame, Decision]]:
        if isinstance(opened, PictureSource):
            opened.model_side = self.scorer.spec.input_size
        state, rules = StreamState(), self.rules(live)
        wait = 0.0 if opened.is_live else BATCH_WAIT_SECONDS
        with open_buffer(opened, rules.live, 2 * self.settings.batch_size) as buffer:
            while True:
                batch = buffer.get_batch(self.settings.batch_size, wait, stop)
                dropped = buffer.take_dropped()
                if not batch and not dropped:
                    return
                yield from ((frame, Decision(keep=False, reason=reason)) for frame, reason in dropped)
                before = state.diagnosis.health
                (decisions, state), *_ = self.decide_together([(rules, batch, state)])
                for kind, detail in changes(before, state.diagnosis.health):
                    on_event(StreamEvent(opened.name, kind, f"{detail}; {_moment(batch[-1])}"))
                yield from zip(batch, decisions, strict=True)

    def pass_to(self, source: str | Path | Source, consumer: Callable[[Frame], object]) -> Summary:
        """Give the kept frames of a source to a consumer, one by one.

        Args:
            source: as for `filter`.
            consumer: called with each kept frame; what it raises comes through.

        Returns:
            The counts of the run; `failures` has a line when the source ended too early, as a file that is cut short
            or a camera that refuses the password.

        Raises:
            ConfigError: it is neither a path, an address nor a source.
            InputError: the source cannot be opened or read.
        """
        summary, opened = Summary(), _opened(source)
        for frame, decision in self._decided(opened):
            summary.count(decision)
            if decision.keep:
                consumer(frame)
        if opened.failure is not None:
            summary.failures.append(opened.failure)
        return summary

    def new_state(self) -> StreamState:
        """What there is to remember of a stream before its first frame."""
        return StreamState()

    def decide(self, frames: Sequence[Frame], state: StreamState) -> tuple[list[Decision], StreamState]:
        """Decide on consecutive frames of one stream, scored as one batch.

        Args:
            frames: readable and unreadable ones, in order.
            state: what the frames before left behind; `StreamState()` at the start.

        Returns:
            One decision a frame, and the state for the frames that follow.
        """
        return self.decide_together([(self._rules, frames, state)])[0]

    def decide_together(
        self, groups: Sequence[tuple[Rules, Sequence[Frame], StreamState]]
    ) -> list[tuple[list[Decision], StreamState]]:
        """Decide on consecutive frames of several streams, scored as one batch.

        Args:
            groups: for each stream its rules, its frames in order, and what the frames before left behind.

        Returns:
            For each stream one decision a frame, and the state for the frames that follow.
        """
        with self.stages.timed("compare", sum(len(frames) for rules, frames, _ in groups if rules.reuse)):
            batches = [Batch(*group) for group in groups]
        for _ in range(2):
            self._score_missing(batches)
        return [batch.judge() for batch in batches]

    def _score_missing(self, batches: Sequence[Batch]) -> None:
        places = [(batch, index) for batch in batches for index in batch.missing()]
        with self.stages.timed("score", len(places)):
            inputs = [_small(batch.frames[index], self.scorer.spec) for batch, index in places]
            scores = iter(self.scorer.score([picture for picture in inputs if picture is not None]))
        for (batch, index), picture in zip(places, inputs, strict=True):
            batch.settle(index, None if picture is None else self._by_task(next(scores)))

    def score(self, rgb: RGB) -> dict[str, float]:
        """Utility of one picture.

        Args:
            rgb: (H, W, 3) uint8, RGB, HWC, 0-255.

        Returns:
            Utility in [0, 1] for each task.

        Raises:
            ShapeError: `rgb` is not (H, W, 3) uint8, or has no pixels.
        """
        return self._by_task(self.scorer.score([shrink(rgb, self.scorer.spec.input_size, self.scorer.spec.fit)])[0])

    def is_useful(self, utility: dict[str, float]) -> bool:
        """Whether a picture with this utility reaches the thresholds under the task rule, without any memory."""
        return is_useful(self.policy, utility)

    def _by_task(self, scores: np.ndarray[Any, np.dtype[np.float32]]) -> dict[str, float]:
        return {task: float(score) for task, score in zip(self.scorer.spec.tasks, scores, strict=True)}


def _opened(source: str | Path | Source) -> Source:
    if isinstance(source, str | Path):
        return open_source(source)
    if not all(hasattr(source, name) for name in ("__iter__", "close", "name", "is_live", "failure")):
        kind = type(source).__name__
        raise ConfigError(f"a source is a path, an address or what open_source gave; this is of type {kind}")
    return source


def _diagnosis(settings: Settings) -> Diagnosis:
    health = HealthRules(settings.camera_seconds, settings.camera_clear_seconds, settings.camera_frozen_seconds)
    return Diagnosis(shipped_model() if settings.causes else None, health)


def _moment(frame: Frame) -> str:
    return f"frame {frame.index}" + ("" if frame.pts_seconds is None else f", {frame.pts_seconds:.1f} s")


def open_buffer(
    source: Source, live: LiveSettings, file_capacity: int, on_change: Callable[[], object] = lambda: None
) -> Buffer:
    """The buffer that reads a source ahead as its kind and its settings want it."""
    if not source.is_live or live.backpressure == "wait":
        return Buffer(source, file_capacity, on_change=on_change)
    capacity = 1 if live.backpressure == "latest" else live.queue_frames
    # A frame taken late would be stale when it is delivered: under overload every one would.
    patience = WAITING_SHARE * live.staleness_seconds
    return Buffer(source, capacity, waits=False, staleness_seconds=patience, on_change=on_change)


def _small(frame: Frame, spec: ModelSpec) -> RGB | None:
    if not frame.is_readable:
        return None
    try:
        return model_input(frame, spec.input_size, spec.fit)
    except PictureError:
        return None
