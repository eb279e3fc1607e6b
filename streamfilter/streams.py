"""Many streams, one scorer: each stream has its own reader and its own delivery, and all share the batches."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from streamfilter.address import mask
from streamfilter.canary_monitor import CanaryMonitor
from streamfilter.ended import Ended
from streamfilter.errors import ConfigError, StreamFilterError
from streamfilter.filter import StreamFilter
from streamfilter.frame import Decision, Frame, StreamEvent
from streamfilter.metrics import StreamMeter, StreamStatus, Summary, Watcher
from streamfilter.replacing import replace
from streamfilter.sinks import Sink, SinkOptions
from streamfilter.sources import Source
from streamfilter.stream import Leaving, Stream, log_event, open_ends, open_stream_source
from streamfilter.stream_config import StreamConfig

log = logging.getLogger(__name__)

IDLE_SECONDS = 0.1
BATCH_WAIT_SECONDS = 0.004
"""How long a frame may wait for others of other streams."""
DRAIN_SECONDS = 1.2
JOIN_SECONDS = 10.0
"""How long the last stream's outputs may take to become whole, such as the index of a long video."""

Listener = Callable[[StreamEvent], object]


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
        on_event: called with what happens to a stream, from any thread; what it raises first is logged, no more.
        watcher: looks on while frames are decided; None = nobody does.
    """

    def __init__(
        self,
        stream_filter: StreamFilter,
        options: SinkOptions | None = None,
        on_event: Listener = lambda event: None,
        watcher: Watcher | None = None,
    ) -> None:
        self.stream_filter = stream_filter
        self.summary = Summary()
        """The counts of all streams together, those removed included."""
        self._options = options or SinkOptions()
        self._on_event, self._watcher = on_event, watcher
        self._has_listener_raised = False
        self._streams: dict[str, Stream] = {}
        self._canaries: dict[str, CanaryMonitor] = {}
        self._lock = threading.Lock()
        self._scoring = threading.Lock()
        """Held while frames are taken, scored and put, so that no stream is taken apart meanwhile."""
        self._noticed: deque[StreamEvent] = deque()
        """What came to light while frames were scored, told once that is over: whoever hears it may remove a stream."""
        self._leaving = Leaving()
        self._ended = Ended()
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
            consumer: called with each kept frame, in the stream's delivery thread; one that raises ends the stream.
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
            opened, own = open_ends(config, self._options, self._hear, source, sinks, consumer)
            ahead = 2 * self.stream_filter.settings.batch_size
            canary = CanaryMonitor(config.name, rules.profile, rules.policy.task, self._noticed.append)
            self._canaries[config.name] = canary
            self._streams[config.name] = Stream(
                config, rules, opened, own, canary, ahead, self._count, self._work.set, self._watcher
            )
            self._ended.forget(config.name)
        self._tell(StreamEvent(config.name, "added", mask(config.uri)))
        self._work.set()

    def remove(self, name: str, drain_seconds: float = DRAIN_SECONDS) -> None:
        """Stop one stream, let its sinks finish, and forget it; the others go on.

        A thread of the stream itself, as that of its consumer, does not wait for the end, may say so again until then,
        and what goes wrong is in the summary. One that has ended by itself is forgotten, see `known`.

        Raises:
            ConfigError: there is no such stream.
            OutputError: a sink could not be finished.
        """
        deadline = time.monotonic() + drain_seconds
        with self._scoring, self._lock:
            if name not in self._streams and (self._ended.forget(name) or self._leaving.in_own_thread(name)):
                return
            stream = self._named(name)
            del self._streams[name]
            if stream.in_own_thread:
                self._end_beside(stream, deadline)
                return
        self._end(stream, deadline)

    def replace(self, configs: Sequence[StreamConfig]) -> dict[str, str]:
        """Make the running streams those of a new configuration: gone ones stop, new ones start, changed ones anew.

        One that cannot be changed goes on as it was: it is left alone where its new settings do not fit the model or
        its new input cannot be opened, and started again where its new outputs cannot.

        Returns:
            A line for each stream that could not be started, changed or finished.
        """
        running = {stream.config.name: stream.config for stream in self._snapshot()}
        problems = replace(self, running, configs, self._prepare)
        for name in set(self._ended.names()) - {config.name for config in configs}:
            self._ended.forget(name)
        for name, line in problems.items():
            self._tell(StreamEvent(name, "failed", line))
        return problems

    def _prepare(self, config: StreamConfig) -> Source:
        """What a changed stream is read from, opened once its settings are known to fit the model.

        Raises:
            ConfigError: they do not.
            InputError: a file cannot be opened.
        """
        self.stream_filter.rules(config.live, **config.policy)
        return open_stream_source(config, self._hear)

    def run(
        self, stop: threading.Event, tick: Callable[[], object] = lambda: None, *, waits_for_more: bool = False
    ) -> Summary:
        """Score and deliver until `stop` is set or the last stream has ended; then drain and close the sinks.

        Args:
            stop: ends the run within two seconds, also while consumers still take what the last stream left.
            tick: called ten times a second or so, in this thread.
            waits_for_more: whether to go on without any stream: more may be added.

        Returns:
            The counts of all streams, and a line for each that failed.

        Raises:
            BaseException: what `tick` or the scorer raised, or Ctrl-C; the sinks are closed whole before.
        """
        ticked = 0.0
        try:
            while not stop.is_set() and (self._streams or self._leaving.is_busy or waits_for_more):
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
        finally:
            self.close()
        return self.summary

    def step(self) -> bool:
        """Score one batch of what waits, streams taking turns; whether there was anything."""
        groups: list[tuple[Stream, list[Frame]]] = []
        left, did = self.stream_filter.settings.batch_size, False
        failed: list[tuple[Stream, str]] = []
        with self._scoring:
            streams = sorted(self._snapshot(), key=lambda stream: stream.taken_at)
            for place, stream in enumerate(streams):
                share = max(1, left // (len(streams) - place))
                try:
                    frames, dropped = stream.take(min(share, left))
                except StreamFilterError as error:
                    failed.append((stream, str(error)))
                    continue
                except Exception as error:
                    failed.append((stream, f"reading {stream.config.name} raised {type(error).__name__}: {error}"))
                    continue
                did |= bool(frames or dropped)
                left -= len(frames)
                if frames:
                    groups.append((stream, frames))
                if left <= 0:
                    break
            self._decide(groups)
        while self._noticed:
            self._hear(self._noticed.popleft())
        for stream, line in failed:
            self._give_up(stream, line)
        return did or bool(failed)

    def statuses(self) -> list[StreamStatus]:
        """How every stream is doing now."""
        return [stream.status() for stream in self._snapshot()]

    def known(self) -> list[StreamStatus]:
        """How every stream is doing, or stood when it ended by itself, until it is removed or added again.

        One that has ended is `failed`, with the reason, or `closed`.
        """
        return [*self.statuses(), *self._ended.statuses()]

    def feedback(self, name: str, frame: Frame, useful: bool) -> None:
        """Note, from any thread, whether a frame that was passed, canary or not, was of use to its consumer.

        A stream may have ended meanwhile: consumers are slow.

        Raises:
            ConfigError: there never was such a stream.
        """
        with self._lock:
            if (canary := self._canaries.get(name)) is None:
                raise ConfigError(f"there was no stream {name}; there were {', '.join(self._canaries) or 'none'}")
        canary.report(frame, useful)

    def close(self) -> None:
        """Stop all streams, within two seconds, and close their sinks."""
        for stream in self._snapshot():
            self._leave(stream, DRAIN_SECONDS)
        self._leaving.hurry(DRAIN_SECONDS, JOIN_SECONDS)

    def _decide(self, groups: Sequence[tuple[Stream, list[Frame]]]) -> None:
        if not groups:
            return
        results = self.stream_filter.decide_together([(one.rules, frames, one.state) for one, frames in groups])
        now = time.monotonic()
        for (stream, frames), result in zip(groups, results, strict=True):
            stream.deliver(frames, *result, now)

    def _count(self, meter: StreamMeter, frame: Frame, decision: Decision) -> None:
        meter.count(frame, decision, time.monotonic())
        with self._lock:
            self.summary.count(decision)
        # A stream that waits for its consumer may have room now.
        self._work.set()

    def _retire(self) -> None:
        """Forget the streams that have ended by themselves."""
        for stream in self._snapshot():
            if stream.buffer.has_ended:
                if stream.source.failure is not None:
                    self.summary.failures.append(stream.source.failure)
                self._leave(stream, stream.finish_seconds)

    def _watch(self, now: float) -> None:
        """Say what happened to cameras, when a stream has had no sound frame for long, and when it has again."""
        for stream in self._snapshot():
            for change in [*stream.camera_events(), *stream.check_health(now)]:
                self._hear(change)
            if stream.delivery.failure is not None:
                self._give_up(stream, stream.delivery.failure)

    def _give_up(self, stream: Stream, line: str) -> None:
        """End one stream that cannot go on; the others do."""
        self._tell_failure(stream, line)
        self._leave(stream, DRAIN_SECONDS)

    def _tell_failure(self, stream: Stream, line: str | None) -> None:
        if line is not None and line != stream.told_failure:
            stream.told_failure = line
            self.summary.failures.append(line)
            self._hear(StreamEvent(stream.config.name, "failed", line))

    def _leave(self, stream: Stream, drain_seconds: float) -> None:
        """Take a stream out and finish it in the background, so that the others go on meanwhile."""
        last = stream.status()
        with self._scoring, self._lock:
            if self._streams.pop(stream.config.name, None) is not None:
                self._ended.note(last, stream.failure)
                self._end_beside(stream, time.monotonic() + drain_seconds)

    def _end_beside(self, stream: Stream, deadline: float) -> None:
        """Finish a stream in the background; `_lock` is held, so that `run` sees it either here or there."""

        def finish() -> None:
            try:
                self._end(stream, deadline)
            except StreamFilterError as error:
                self.summary.failures.append(str(error))
            except Exception as error:
                self.summary.failures.append(f"ending {stream.config.name} raised {type(error).__name__}: {error}")
            self._ended.update(stream.status(), stream.failure)

        self._leaving.start(stream, finish)

    def _end(self, stream: Stream, deadline: float) -> None:
        try:
            stream.finish(deadline)
        finally:
            self._tell_failure(stream, stream.delivery.failure)
            for event in stream.camera_events():
                self._hear(event)
            self._tell(StreamEvent(stream.config.name, "removed", ""))

    def _hear(self, event: StreamEvent) -> None:
        with self._lock:
            self.summary.hear(event)
            stream = self._streams.get(event.stream)
        if stream is not None:
            stream.meter.heard(event)
        self._tell(event)

    def _tell(self, event: StreamEvent) -> None:
        log_event(event)
        try:
            self._on_event(event)
        except Exception:
            # It may raise at every event of a stream that goes on for months.
            with self._lock:
                is_first, self._has_listener_raised = not self._has_listener_raised, True
            if is_first:
                log.exception("on_event raised at %r of %s; it is not told again", event.kind, event.stream)

    def _named(self, name: str) -> Stream:
        if (stream := self._streams.get(name)) is None:
            raise ConfigError(f"there is no stream {name}; there are {', '.join(self._streams) or 'none'}")
        return stream

    def _snapshot(self) -> list[Stream]:
        with self._lock:
            return list(self._streams.values())
