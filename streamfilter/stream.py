"""One live stream between its reader and its sinks: what is taken, what is delivered, how it is doing."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace

from streamfilter.address import mask
from streamfilter.batch import Rules, StreamState
from streamfilter.canary_monitor import CanaryMonitor
from streamfilter.delivery import Delivery
from streamfilter.filter import open_buffer
from streamfilter.frame import Decision, Frame, Reason, StreamEvent
from streamfilter.health import Condition, changes
from streamfilter.integrity import Soundness
from streamfilter.metrics import StreamMeter, StreamStatus, Watcher
from streamfilter.policy import joint_utility
from streamfilter.sinks import CallbackSink, RecordsLog, RecordsSink, Sink, SinkOptions, open_sink, standard_output
from streamfilter.sources import LiveSource, Source, is_live_address, open_source
from streamfilter.stream_config import StreamConfig

log = logging.getLogger(__name__)

UNSOUND = (Reason.TAINTED, Reason.AWAITING_KEYFRAME, Reason.UNREADABLE)
TAKEN_AT_ONCE = 64
FINISH_SECONDS = 60.0
"""How long the consumer of a live stream that has ended by itself may take for what still waits, unless with `wait`."""
ERROR_KINDS = (
    "waiting", "failed", "unhealthy", "bound_doubtful", "drifted", *(f"camera_{condition}" for condition in Condition)
)  # fmt: skip
"""Kinds of events that somebody has to look at."""


def open_stream_source(config: StreamConfig, on_event: Callable[[StreamEvent], None]) -> Source:
    """What the stream is read from; a live address is not connected to before its first frame is asked for.

    Raises:
        InputError: a file cannot be opened.
    """
    if is_live_address(config.uri):
        return LiveSource(config.uri, config.live, config.name, on_event)
    return open_source(config.uri)


def open_stream_sinks(config: StreamConfig, options: SinkOptions) -> list[Sink]:
    """All targets of the stream, or none.

    Raises:
        ConfigError: an address is wrong.
        OutputError: one of them cannot be opened; those opened before it are removed again.
    """
    sinks: list[Sink] = []
    try:
        if config.records is not None:
            sinks.append(RecordsSink(standard_output()) if config.records == "-" else RecordsLog(config.records))
        for target in config.out:
            sinks.append(open_sink(target, options))
    except BaseException:
        for sink in sinks:
            sink.abort()
        raise
    return sinks


def open_ends(
    config: StreamConfig,
    options: SinkOptions,
    on_event: Callable[[StreamEvent], None],
    source: Source | None,
    sinks: Sequence[Sink],
    consumer: Callable[[Frame], object] | None,
) -> tuple[Source, list[Sink]]:
    """What the stream is read from, the source given or that of the address, and all its targets, the consumer last.

    Raises:
        ConfigError: an address is wrong.
        InputError: a file cannot be opened.
        OutputError: an output cannot be opened; nothing is left behind.
    """
    opened = source or open_stream_source(config, on_event)
    try:
        last = [CallbackSink(consumer)] if consumer else []
        return opened, [*open_stream_sinks(config, options), *sinks, *last]
    except BaseException:
        opened.close()
        raise


class Stream:
    """A running stream: its reader, its delivery, its state and its counts.

    Args:
        config: what it is.
        rules: what decides on its frames.
        source: read from now on by the stream alone.
        sinks: written to from now on by the stream alone.
        canary: told of every frame that is decided on.
        ahead: frames of a file that are read ahead.
        count: called with the meter, each frame and its final decision.
        on_change: called when there is something to take.
        watcher: looks on; None = nobody does.
    """

    def __init__(
        self,
        config: StreamConfig,
        rules: Rules,
        source: Source,
        sinks: Sequence[Sink],
        canary: CanaryMonitor,
        ahead: int,
        count: Callable[[StreamMeter, Frame, Decision], object],
        on_change: Callable[[], object],
        watcher: Watcher | None = None,
    ) -> None:
        self.config, self.rules, self.source, self.canary = config, rules, source, canary
        thresholds = {task: rules.policy.thresholds[task] for task in rules.policy.tasks}
        self.meter = meter = StreamMeter(config.name, mask(config.uri), thresholds, watcher)
        self.state = StreamState()
        self.taken_at = 0.0
        """When frames were last taken: the stream that waited longest is the next."""
        self.told_failure: str | None = None
        """Why it could not go on, once that was told."""
        live = config.live if source.is_live else replace(config.live, backpressure="wait")
        self.delivery = Delivery(config.name, sinks, live, _ranked_by(rules), lambda *final: count(meter, *final))
        self.buffer = open_buffer(source, config.live, ahead, on_change)
        self._sound_at = self._awaited_at = time.monotonic()
        self._unhealthy_at: float | None = None
        self._camera_events: deque[StreamEvent] = deque()

    def take(self, most: int) -> tuple[list[Frame], bool]:
        """The frames that are there and wanted, and whether others were dropped on the way: those are delivered so.

        Raises:
            Exception: whatever the reader raised.
        """
        if not self.delivery.has_room:
            return [], False
        frames = self.buffer.poll(most)
        if frames:
            self.taken_at = time.monotonic()
        dropped = self.buffer.take_dropped()
        for frame, reason in dropped:
            self.delivery.put(frame, Decision(keep=False, reason=reason))
        return frames, bool(dropped)

    def deliver(self, frames: Sequence[Frame], decisions: Sequence[Decision], state: StreamState, now: float) -> None:
        """Pass decided frames on, and keep what they leave behind for the next."""
        seen = changes(self.state.diagnosis.health, state.diagnosis.health)
        self._camera_events.extend(StreamEvent(self.config.name, *told) for told in seen)
        self.meter.camera = tuple(sorted(state.diagnosis.health.open))
        self.state = state
        self.meter.looked(frames, decisions, state.integrity.soundness is Soundness.TAINTED, now)
        if any((decision.spared or decision.reason) not in UNSOUND for decision in decisions):
            self._sound_at = now
        for frame, decision in zip(frames, decisions, strict=True):
            self.canary.saw(frame, decision)
            self.delivery.put(frame, decision)

    def camera_events(self) -> list[StreamEvent]:
        """What happened to the camera and was not told yet."""
        return [self._camera_events.popleft() for _ in range(len(self._camera_events))]

    def check_health(self, now: float) -> list[StreamEvent]:
        """What to tell when the stream has had no sound frame for long, or has one again; nothing when none changed."""
        if self.meter.state not in ("playing", "unhealthy"):
            self._awaited_at = now
            return []
        limit = self.config.live.unhealthy_seconds
        unhealthy = StreamEvent(
            self.config.name, "unhealthy", f"no sound frame for {limit:g} s: everything comes damaged"
        )
        if self._unhealthy_at is None:
            if not self.source.is_live or now - max(self._sound_at, self._awaited_at) <= limit:
                return []
            self._unhealthy_at = now
            return [unhealthy]
        if self._sound_at < self._unhealthy_at:
            # Told once; but a connect, which makes its state `playing`, heals nothing.
            self.meter.heard(unhealthy)
            return []
        self._unhealthy_at = None
        return [StreamEvent(self.config.name, "healthy", "sound frames again")]

    def status(self) -> StreamStatus:
        """How it is doing now."""
        waiting = len(self.buffer) + self.delivery.depth
        status = self.meter.status(queue_depth=waiting, reconnects=getattr(self.source, "reconnects", 0))
        return replace(status, trust=self.canary.trust())

    @property
    def failure(self) -> str | None:
        """Why it cannot go on, as far as anyone knows by now."""
        return self.told_failure or self.source.failure or self.delivery.failure

    @property
    def in_own_thread(self) -> bool:
        """Whether the caller runs in a thread of this stream, which cannot wait for its own end."""
        return self.buffer.in_own_thread or self.delivery.in_own_thread

    @property
    def finish_seconds(self) -> float:
        """How long the consumer may take for what still waits once the stream has ended by itself."""
        is_bounded = self.source.is_live and self.config.live.backpressure != "wait"
        return FINISH_SECONDS if is_bounded else math.inf

    def finish(self, deadline: float) -> None:
        """End reader and delivery; what was read and not scored is dropped as stopped.

        Raises:
            OutputError: a sink could not be finished.
        """
        with ExitStack() as last:
            last.callback(lambda: self.delivery.close(max(0.1, deadline - time.monotonic())))
            last.callback(self.buffer.close)
            self.buffer.stop_reading()
            try:
                while frames := self.buffer.poll(TAKEN_AT_ONCE):
                    for frame in frames:
                        self.delivery.put(frame.emptied(), Decision(keep=False, reason=Reason.STOPPED))
            except Exception as error:
                log.warning("%s: while stopping: %s", self.config.name, error)
            for frame, reason in self.buffer.take_dropped():
                self.delivery.put(frame, Decision(keep=False, reason=reason))


def _ranked_by(rules: Rules) -> Callable[[Decision], float]:
    """How useful a decided frame is, as one number, under the stream's task rule.

    Canaries come first: were they outranked whenever a useful frame is near, those that arrive would be no fair draw.
    """

    def rank(decision: Decision) -> float:
        if decision.reason is Reason.CANARY:
            return float("inf")
        return joint_utility(decision.utility or {}, rules.policy.task)

    return rank


class Leaving:
    """Streams that are finished in a thread each, so that the others go on meanwhile."""

    def __init__(self) -> None:
        self._threads: list[tuple[Stream, threading.Thread]] = []
        self._lock = threading.Lock()

    def start(self, stream: Stream, finish: Callable[[], object]) -> None:
        """Finish one, beside whatever else goes on; from any thread."""
        thread = threading.Thread(target=finish, name=f"end of {stream.config.name}")
        with self._lock:
            self._threads = self._alive()
            self._threads.append((stream, thread))
            thread.start()

    @property
    def is_busy(self) -> bool:
        """Whether one is not finished yet."""
        return bool(self._alive())

    def in_own_thread(self, name: str) -> bool:
        """Whether the caller runs in a thread of a stream of that name that is being finished."""
        return any(stream.config.name == name and stream.in_own_thread for stream, _ in self._alive())

    def hurry(self, drain_seconds: float, join_seconds: float) -> None:
        """Leave all so long to drain, and wait so long for their outputs."""
        with self._lock:
            leaving = self._alive()
        for stream, _ in leaving:
            stream.delivery.hurry(drain_seconds)
        deadline = time.monotonic() + join_seconds
        for stream, thread in leaving:
            if thread is threading.current_thread():
                continue
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                log.warning("%s: its outputs are still not finished", stream.config.name)

    def _alive(self) -> list[tuple[Stream, threading.Thread]]:
        return [(stream, thread) for stream, thread in self._threads if thread.is_alive()]


def log_event(event: StreamEvent) -> None:
    """Log what happened to a stream, as a warning where somebody has to look at it."""
    level = logging.WARNING if event.kind in ERROR_KINDS else logging.INFO
    log.log(level, "%s: %s%s", event.stream, event.kind, f" ({event.detail})" if event.detail else "")
