"""StreamFilter: where a frame's fate is decided, for the CLI and the Python API alike."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from streamfilter.buffer import Buffer
from streamfilter.config import Settings
from streamfilter.errors import PictureError
from streamfilter.frame import RGB, Decision, Frame, Reason
from streamfilter.integrity import IntegrityState, Soundness, inspect
from streamfilter.metrics import Summary
from streamfilter.policy import Policy, PolicyState, decide, is_useful, release
from streamfilter.preprocess import model_input, shrink
from streamfilter.scorer import Scorer
from streamfilter.sources import Source, open_source
from streamfilter.stream_config import LiveSettings

BATCH_WAIT_SECONDS = 0.05
WAITING_SHARE = 0.5
"""Part of the staleness bound that a live frame may wait to be scored; the rest is for scoring and delivery."""
TAINT_STRICTNESS = 6.0
"""A tainted frame has to be this many times nearer to 1 than the threshold is, unless its stream says otherwise."""


@dataclass(frozen=True)
class Rules:
    """What decides on the frames of one stream."""

    policy: Policy
    live: LiveSettings = field(default_factory=LiveSettings)


@dataclass(frozen=True)
class StreamState:
    """What the frames of one stream leave behind for the next."""

    policy: PolicyState = field(default_factory=PolicyState)
    integrity: IntegrityState = field(default_factory=IntegrityState)


@dataclass(frozen=True, eq=False)
class _Seen:
    """A frame before it is scored."""

    frame: Frame
    soundness: Soundness
    damage: float
    state: IntegrityState


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
        self.policy = self.rules().policy

    def rules(self, live: LiveSettings | None = None, **overrides: Any) -> Rules:
        """What decides on the frames of one stream: these settings, but for what is the stream's own.

        Args:
            live: how the stream is read and passed on; None = the defaults.
            overrides: settings of the policy by name (`threshold`, `task`, `hysteresis`, `max_gap_seconds`).

        Raises:
            ConfigError: a setting is out of range, or the model has no such task.
        """
        settings, live, spec = self.settings.replace(**overrides), live or LiveSettings(), self.scorer.spec
        own = settings.threshold
        thresholds = {task: spec.thresholds[task] if own is None else own for task in spec.tasks}
        stricter = live.taint_threshold
        policy = Policy(
            thresholds=thresholds,
            task=settings.task,
            hysteresis=settings.hysteresis,
            max_gap_seconds=settings.max_gap_seconds,
            taint_thresholds={
                task: 1 - (1 - threshold) / TAINT_STRICTNESS if stricter is None else stricter
                for task, threshold in thresholds.items()
            },
            max_damage=live.max_damage,
        )
        return Rules(policy, live)

    def filter(
        self, source: str | Path | Source, stop: threading.Event | None = None, live: LiveSettings | None = None
    ) -> Iterator[tuple[Frame, Decision]]:
        """Every frame of a source with its decision, in order.

        A live source is never kept waiting: frames that overflow or go stale while the caller is busy come as well,
        dropped and without pixels.

        Args:
            source: a path or URI as for the command line, or an open source (which is closed at the end).
            stop: when set, the iteration ends early.
            live: how a live source is passed on; None = the defaults.

        Raises:
            InputError: the source cannot be opened or read.
        """
        opened = open_source(str(source)) if isinstance(source, str | Path) else source
        state, rules = StreamState(), self.rules(live)
        with open_buffer(opened, rules.live, 2 * self.settings.batch_size) as buffer:
            while True:
                batch = buffer.get_batch(self.settings.batch_size, BATCH_WAIT_SECONDS, stop)
                dropped = buffer.take_dropped()
                if not batch and not dropped:
                    return
                yield from ((frame, Decision(keep=False, reason=reason)) for frame, reason in dropped)
                (decisions, state), *_ = self.decide_together([(rules, batch, state)])
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
        return self.decide_together([(Rules(self.policy), frames, state)])[0]

    def decide_together(
        self, groups: Sequence[tuple[Rules, Sequence[Frame], StreamState]]
    ) -> list[tuple[list[Decision], StreamState]]:
        """Decide on consecutive frames of several streams, scored as one batch.

        Args:
            groups: for each stream its rules, its frames in order, and what the frames before left behind.

        Returns:
            For each stream one decision a frame, and the state for the frames that follow.
        """
        seen = [_look(rules, frames, state.integrity) for rules, frames, state in groups]
        inputs = [
            _small(one.frame, self.scorer.spec.input_size) if _is_worth_scoring(one, rules) else None
            for (rules, _, _), group in zip(groups, seen, strict=True)
            for one in group
        ]
        scores = iter(self.scorer.score([picture for picture in inputs if picture is not None]))
        utilities = iter([None if picture is None else self._by_task(next(scores)) for picture in inputs])
        return [
            _judge(rules, group, state, [next(utilities) for _ in group])
            for (rules, _, state), group in zip(groups, seen, strict=True)
        ]

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

    def _by_task(self, scores: np.ndarray[Any, np.dtype[np.float32]]) -> dict[str, float]:
        return {task: float(score) for task, score in zip(self.scorer.spec.tasks, scores, strict=True)}


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


def _look(rules: Rules, frames: Sequence[Frame], state: IntegrityState) -> list[_Seen]:
    seen = []
    for frame in frames:
        if frame.signs is not None:
            state = inspect(state, frame.signs, frame.arrived_seconds or 0.0, rules.live.grace_seconds)
            seen.append(_Seen(frame, state.soundness, state.damage, state))
        else:
            seen.append(_Seen(frame, Soundness.SOUND, 0.0, state))
    return seen


def _is_worth_scoring(seen: _Seen, rules: Rules) -> bool:
    """Whether the score can change what becomes of the frame."""
    if seen.soundness is Soundness.TAINTED:
        return seen.damage <= rules.policy.max_damage
    return seen.soundness is Soundness.SOUND


def _judge(
    rules: Rules, seen: Sequence[_Seen], state: StreamState, utilities: Sequence[Mapping[str, float] | None]
) -> tuple[list[Decision], StreamState]:
    decisions, memory = [], state.policy
    for one, utility in zip(seen, utilities, strict=True):
        if one.frame.problem is not None or (utility is None and one.soundness is Soundness.SOUND):
            keep, reason = False, Reason.UNREADABLE
        elif one.soundness is Soundness.AWAITING_KEYFRAME:
            keep, reason = False, Reason.AWAITING_KEYFRAME
        elif one.soundness is Soundness.TAINTED:
            keep, reason = (False, Reason.TAINTED) if utility is None else release(rules.policy, utility, one.damage)
        else:
            keep, reason, memory = decide(rules.policy, memory, utility or {}, _clock(one.frame))
        decisions.append(Decision(keep, reason, utility, None if one.soundness is Soundness.SOUND else one.damage))
    return decisions, StreamState(memory, seen[-1].state if seen else state.integrity)


def _clock(frame: Frame) -> float | None:
    """What the gap floor counts by: a file's own time; of a live frame, when it came."""
    return frame.pts_seconds if frame.arrived_seconds is None else frame.arrived_seconds


def _small(frame: Frame, size: int) -> RGB | None:
    if not frame.is_readable:
        return None
    try:
        return model_input(frame, size)
    except PictureError:
        return None
