"""Many streams, one scorer: each stream has its own reader and its own delivery, and all share the batches."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from streamfilter.buffer import Buffer
from streamfilter.delivery import Delivery
from streamfilter.errors import ConfigError, StreamFilterError
from streamfilter.filter import Rules, StreamFilter, StreamState, open_buffer
from streamfilter.frame import Decision, Frame, Reason, StreamEvent
from streamfilter.integrity import Soundness
from streamfilter.metrics import StreamMeter, StreamStatus, Summary
from streamfilter.sinks import CallbackSink, RecordsLog, RecordsSink, Sink, SinkOptions, open_sink
from streamfilter.sources import LiveSource, Source, is_live_address, mask, open_source
from streamfilter.stream_config import StreamConfig

log = logging.getLogger(__name__)

IDLE_SECONDS = 0.1
BATCH_WAIT_SECONDS = 0.004
"""How long a frame may wait for others of other streams."""
DRAIN_SECONDS = 1.5
FINISH_SECONDS = 60.0
"""How long the consumer of a stream that has ended by itself may take for what still waits."""
UNSOUND = (Reason.TAINTED, Reason.AWAITING_KEYFRAME, Reason.UNREADABLE)
ERROR_KINDS = ("waiting", "failed", "unhealthy")

Listener = Callable[[StreamEvent], object]


@dataclass(eq=False)
class _Stream:
    """One running stream."""

    config: StreamConfig
    rules: Rules
    source: Source
    buffer: Buffer
    delivery: Delivery
    meter: StreamMeter
    state: StreamState = field(default_factory=StreamState)
    sound_at: float = 0.0
    """When the last sound frame was decided on, or when the stream began to play."""
    is_unhealthy: bool = False


class Streams:
    """Filters streams side by side, for as long as it is wanted; streams come and go while it runs.

        streams = Streams(StreamFilter())
        streams.add(StreamConfig("gate", "rtsp://camera/stream"), consumer=detect)
        streams.run(stop)

    One thread scores; each stream has one that reads and one that delivers. A stream that cannot be opened, breaks, or
    has a slow consumer never makes the others wait.

    Args:
        stream_filter: the model and the settings that the streams share.
        options: how kept frames are compressed.
        on_event: called with what happens to a stream, from any thread.
    """

    def __init__(
        self,
        stream_filter: StreamFilter,
        options: SinkOptions | None = None,
        on_event: Listener = lambda event: None,
    ) -> None:
        self.stream_filter = stream_filter
        self.summary = Summary()
        """The counts of all streams together, those removed included."""
        self._options = options or SinkOptions()
        self._on_event = on_event
        self._streams: dict[str, _Stream] = {}
        self._lock = threading.Lock()
        self._scoring = threading.Lock()
        """Held while frames are taken, scored and put, so that no stream is taken apart meanwhile."""
        self._leaving: list[threading.Thread] = []
        self._work = threading.Event()

    def add(
        self,
        config: StreamConfig,
        sinks: Sequence[Sink] = (),
        consumer: Callable[[Frame], object] | None = None,
        source: Source | None = None,
    ) -> None:
        """Start a stream; frames flow once `run` runs.

        Args:
            config: what it is and where it goes.
            sinks: further sinks; they belong to the stream from now on.
            consumer: called with each kept frame, in the stream's delivery thread.
            source: read this one rather than opening the config's address.

        Raises:
            ConfigError: there is a stream of that name, or its settings do not fit the model.
            InputError: a file cannot be opened; a live address is never refused here.
            OutputError: an output cannot be opened; nothing is left behind.
        """
        with self._lock:
            if config.name in self._streams:
                raise ConfigError(f"there is a stream {config.name} already; remove it first")
            rules = self.stream_filter.rules(config.live, **config.policy)
            opened = source or self._open(config)
            try:
                own = [*self._sinks(config), *sinks, *([CallbackSink(consumer)] if consumer else [])]
            except BaseException:
                opened.close()
                raise
            meter = StreamMeter(config.name, mask(config.uri))
            rank = _ranked_by(rules)
            live = config.live if opened.is_live else replace(config.live, backpressure="wait")
            delivery = Delivery(config.name, own, live, rank, lambda *final: self._count(meter, *final))
            buffer = open_buffer(opened, config.live, 2 * self.stream_filter.settings.batch_size, self._work.set)
            self._streams[config.name] = _Stream(
                config, rules, opened, buffer, delivery, meter, sound_at=time.monotonic()
            )
        self._tell(StreamEvent(config.name, "added", mask(config.uri)))
        self._work.set()

    def remove(self, name: str, drain_seconds: float = DRAIN_SECONDS) -> None:
        """Stop one stream, let its sinks finish, and forget it; the others go on.

        Raises:
            ConfigError: there is no such stream.
            OutputError: a sink could not be finished.
        """
        with self._scoring, self._lock:
            if name not in self._streams:
                raise ConfigError(f"there is no stream {name}; there are {', '.join(self._streams) or 'none'}")
            stream = self._streams.pop(name)
        self._finish(stream, time.monotonic() + drain_seconds)

    def replace(self, configs: Sequence[StreamConfig]) -> dict[str, str]:
        """Make the running streams those of a new configuration: gone ones stop, new ones start, changed ones anew.

        Returns:
            A line for each stream that could not be started or finished.
        """
        wanted = {config.name: config for config in configs}
        problems: dict[str, str] = {}
        running = {stream.config.name: stream.config for stream in self._snapshot()}
        for name, config in running.items():
            if wanted.get(name) != config:
                problems.update(self._trying(name, partial(self.remove, name)))
        for name, config in wanted.items():
            if running.get(name) != config:
                problems.update(self._trying(name, partial(self.add, config)))
        return problems

    def run(
        self, stop: threading.Event, tick: Callable[[], object] = lambda: None, *, waits_for_more: bool = False
    ) -> Summary:
        """Score and deliver until `stop` is set or the last stream has ended; then drain and close the sinks.

        Args:
            stop: ends the run within two seconds.
            tick: called ten times a second or so, in this thread.
            waits_for_more: whether to go on without any stream: more may be added.

        Returns:
            The counts of all streams, and a line for each that failed.
        """
        ticked = 0.0
        while not stop.is_set() and (self._streams or waits_for_more):
            self._work.clear()
            if not self.step():
                self._retire()
                self._work.wait(IDLE_SECONDS)
                if self._work.is_set() and len(self._streams) > 1:
                    stop.wait(BATCH_WAIT_SECONDS)
            if time.monotonic() - ticked > IDLE_SECONDS:
                ticked = time.monotonic()
                self._watch(ticked)
                tick()
        self.summary.interrupted = stop.is_set()
        self.close()
        return self.summary

    def step(self) -> bool:
        """Score one batch of what waits, streams taking turns; whether there was anything."""
        groups: list[tuple[_Stream, list[Frame]]] = []
        left, did = self.stream_filter.settings.batch_size, False
        failed: list[tuple[_Stream, str]] = []
        with self._scoring:
            streams = sorted(self._snapshot(), key=lambda stream: stream.meter.decided)
            for place, stream in enumerate(streams):
                share = max(1, left // (len(streams) - place))
                try:
                    frames, dropped = _take(stream, min(share, left))
                except Exception as error:
                    failed.append((stream, _told(error, stream.config.name)))
                    continue
                did |= bool(frames or dropped)
                left -= len(frames)
                if frames:
                    groups.append((stream, frames))
                if left <= 0:
                    break
            self._decide(groups)
        for stream, line in failed:
            self._give_up(stream, line)
        return did or bool(failed)

    def statuses(self) -> list[StreamStatus]:
        """How every stream is doing now."""
        return [
            stream.meter.status(
                queue_depth=len(stream.buffer) + stream.delivery.depth,
                reconnects=getattr(stream.source, "reconnects", 0),
            )
            for stream in self._snapshot()
        ]

    def close(self) -> None:
        """Stop all streams, within two seconds, and close their sinks."""
        for stream in self._snapshot():
            stream.source.close()
            self._leave(stream, DRAIN_SECONDS)
        for thread in self._leaving:
            thread.join()

    def _open(self, config: StreamConfig) -> Source:
        if is_live_address(config.uri):
            return LiveSource(config.uri, config.live, config.name, lambda event: self._hear(event))
        return open_source(config.uri)

    def _sinks(self, config: StreamConfig) -> list[Sink]:
        sinks: list[Sink] = []
        try:
            if config.records is not None:
                sinks.append(RecordsSink(sys.stdout) if config.records == "-" else RecordsLog(config.records))
            for target in config.out:
                sinks.append(open_sink(target, self._options))
        except BaseException:
            for sink in sinks:
                sink.abort()
            raise
        return sinks

    def _decide(self, groups: Sequence[tuple[_Stream, list[Frame]]]) -> None:
        if not groups:
            return
        results = self.stream_filter.decide_together(
            [(stream.rules, frames, stream.state) for stream, frames in groups]
        )
        now = time.monotonic()
        for (stream, frames), (decisions, state) in zip(groups, results, strict=True):
            stream.state = state
            stream.meter.looked(frames, state.integrity.soundness is Soundness.TAINTED, now)
            if any(
                one.reason not in (Reason.TAINTED, Reason.AWAITING_KEYFRAME, Reason.UNREADABLE) for one in decisions
            ):
                stream.sound_at = now
            for frame, decision in zip(frames, decisions, strict=True):
                stream.delivery.put(frame, decision)

    def _count(self, meter: StreamMeter, frame: Frame, decision: Decision) -> None:
        meter.count(frame, decision, time.monotonic())
        with self._lock:
            self.summary.count(decision)

    def _retire(self) -> None:
        """Forget the streams that have ended by themselves."""
        for stream in self._snapshot():
            if stream.buffer.has_ended:
                if stream.source.failure is not None:
                    self.summary.failures.append(stream.source.failure)
                self._leave(stream, FINISH_SECONDS)

    def _watch(self, now: float) -> None:
        """Say when a stream has had no sound frame for long, and when it has again."""
        for stream in self._snapshot():
            name = stream.config.name
            is_playing = stream.meter.state in ("playing", "unhealthy")
            if not is_playing:
                stream.sound_at = now
            silent = now - stream.sound_at
            limit = stream.config.live.unhealthy_seconds
            if stream.source.is_live and silent > limit and not stream.is_unhealthy:
                stream.is_unhealthy = True
                self._hear(StreamEvent(name, "unhealthy", f"no sound frame for {limit:g} s: everything comes damaged"))
            elif stream.is_unhealthy and silent <= limit and is_playing:
                stream.is_unhealthy = False
                self._hear(StreamEvent(name, "healthy", "sound frames again"))
            if stream.delivery.failure is not None:
                self._give_up(stream, stream.delivery.failure)

    def _give_up(self, stream: _Stream, line: str) -> None:
        """End one stream that cannot go on; the others do."""
        self.summary.failures.append(line)
        self._hear(StreamEvent(stream.config.name, "failed", line))
        self._leave(stream, DRAIN_SECONDS)

    def _leave(self, stream: _Stream, drain_seconds: float) -> None:
        """Take a stream out and finish it in the background, so that the others go on meanwhile."""
        with self._scoring, self._lock:
            if self._streams.pop(stream.config.name, None) is None:
                return
        deadline = time.monotonic() + drain_seconds

        def finish() -> None:
            try:
                self._finish(stream, deadline)
            except StreamFilterError as error:
                self.summary.failures.append(str(error))

        self._leaving = [thread for thread in self._leaving if thread.is_alive()]
        self._leaving.append(threading.Thread(target=finish, name=f"end of {stream.config.name}"))
        self._leaving[-1].start()

    def _finish(self, stream: _Stream, deadline: float) -> None:
        """End reader and delivery; what was read and not scored is dropped as stopped."""
        stream.buffer.stop_reading()
        try:
            while frames := stream.buffer.poll(self.stream_filter.settings.batch_size):
                for frame in frames:
                    stream.delivery.put(frame.emptied(), Decision(keep=False, reason=Reason.STOPPED))
        except Exception as error:
            log.warning("%s: while stopping: %s", stream.config.name, error)
        for frame, reason in stream.buffer.take_dropped():
            stream.delivery.put(frame, Decision(keep=False, reason=reason))
        stream.buffer.close()
        stream.delivery.close(max(0.1, deadline - time.monotonic()))
        self._tell(StreamEvent(stream.config.name, "removed", ""))

    def _hear(self, event: StreamEvent) -> None:
        with self._lock:
            stream = self._streams.get(event.stream)
        if stream is not None:
            stream.meter.heard(event)
        self._tell(event)

    def _tell(self, event: StreamEvent) -> None:
        level = logging.WARNING if event.kind in ERROR_KINDS else logging.INFO
        log.log(level, "%s: %s%s", event.stream, event.kind, f" ({event.detail})" if event.detail else "")
        self._on_event(event)

    def _trying(self, name: str, action: Callable[[], object]) -> Mapping[str, str]:
        try:
            action()
        except StreamFilterError as error:
            self._tell(StreamEvent(name, "failed", str(error)))
            return {name: str(error)}
        return {}

    def _snapshot(self) -> list[_Stream]:
        with self._lock:
            return list(self._streams.values())


def _take(stream: _Stream, most: int) -> tuple[list[Frame], bool]:
    """The frames of a stream that are there and wanted; those dropped on the way are delivered as such."""
    if not stream.delivery.has_room:
        return [], False
    frames = stream.buffer.poll(most)
    dropped = stream.buffer.take_dropped()
    for frame, reason in dropped:
        stream.delivery.put(frame, Decision(keep=False, reason=reason))
    return frames, bool(dropped)


def _told(error: Exception, name: str) -> str:
    if isinstance(error, StreamFilterError):
        return str(error)
    return f"reading {name} raised {type(error).__name__}: {error}"


def _ranked_by(rules: Rules) -> Callable[[Decision], float]:
    """How useful a decided frame is, as one number, under the stream's task rule."""
    tasks, together = rules.policy.tasks, min if rules.policy.task == "all" else max

    def rank(decision: Decision) -> float:
        utility: Mapping[str, Any] = decision.utility or {}
        return together((float(utility.get(task, 0.0)) for task in tasks), default=0.0)

    return rank
