"""Running streams as a service: from the command line or a TOML file, with metrics, reloaded on SIGHUP."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

from streamfilter import __version__
from streamfilter.address import mask
from streamfilter.config import Settings
from streamfilter.errors import ConfigError, StreamFilterError
from streamfilter.filter import StreamFilter
from streamfilter.frame import StreamEvent
from streamfilter.metrics import Summary
from streamfilter.monitor import Board, Monitor, new_token
from streamfilter.profile import Profile
from streamfilter.serving import Server
from streamfilter.sinks import Outputs, SinkOptions, check_target, clashes
from streamfilter.sources import overwriting
from streamfilter.stream_config import LiveSettings, StreamConfig, has_streams, names_for, read_streams
from streamfilter.streams import JOIN_SECONDS, Streams
from streamfilter.web import is_loopback, parse_listen

log = logging.getLogger(__name__)

REPORT_SECONDS = 10.0
"""Time between the lines that tell how it goes, on a terminal and in the log alike."""


@dataclass(frozen=True)
class StreamsJob:
    """One run of live streams, as the command line asks for it."""

    inputs: Sequence[str]
    """Addresses and files; none when the configuration names the streams."""
    outs: Sequence[str]
    """Targets of every input, `{name}` standing for its name."""
    records: str | None
    """File of the records, `{name}` standing for the input's name."""
    config_path: str | None
    """TOML of settings, or of streams."""
    live: Mapping[str, Any]
    """Settings of all streams that were given as flags."""
    flags: Mapping[str, Any]
    """Settings of the filter that were given as flags; None where not given."""
    metrics: str | None
    """Where to serve metrics, `[HOST:]PORT`; None = nowhere."""
    options: SinkOptions
    monitor: str | None = None
    """Where to serve the monitor page, `[HOST:]PORT`; None = nowhere."""
    monitor_token: str | None = None
    """What the page asks for; None = nothing on this machine, and elsewhere a token made up at the start."""
    only_watches: bool = False
    """Whether kept frames go nowhere, and the page stays when every stream has ended."""

    PLACE: ClassVar[str] = "{name}"

    def run(self, stop: threading.Event, hung_up: threading.Event) -> Summary:
        """Run until `stop` is set or every stream has ended.

        Args:
            stop: ends the run within two seconds.
            hung_up: when set, the streams' file is read again.

        Returns:
            The counts of all streams, and a line for each that failed.

        Raises:
            ConfigError: settings are wrong, all of them told at once, or a port cannot be had.
            StreamFilterError: no stream at all could be started.
        """
        settings, configs = self._read()
        stream_filter = StreamFilter(settings)
        _check_rules(stream_filter, configs)
        with ExitStack() as stack:
            board = None
            if self.monitor is not None:
                board = stack.enter_context(Board({"model": str(settings.model), "version": __version__}))
            streams = Streams(stream_filter, self.options, board.heard if board else _ignore, board)
            if board is not None:
                stack.enter_context(self._open_monitor(board, streams))
            server = None if self.metrics is None else stack.enter_context(self._open_server(streams))
            problems = streams.replace(configs)
            streams.summary.failures += problems.values()
            if len(problems) == len(configs):
                raise StreamFilterError("; ".join(problems.values()))
            ticker = stack.enter_context(_Ticker(self, streams, server, hung_up))
            return streams.run(stop, ticker, waits_for_more=self.only_watches or not self.inputs)

    def reload(self, streams: Streams) -> None:
        """Read the streams' file again; one with mistakes changes nothing."""
        try:
            settings, configs = self._read()
            _check_rules(streams.stream_filter, configs)
        except ConfigError as error:
            log.error("not reloaded: %s", error)
            return
        if settings != streams.stream_filter.settings:
            log.warning(
                "%s: settings of the filter change with a restart only; the streams are reloaded", self.config_path
            )
        problems = streams.replace(configs)
        log.warning("reloaded %s: %d streams, %d problems", self.config_path, len(configs), len(problems))

    def _read(self) -> tuple[Settings, list[StreamConfig]]:
        given = {name: value for name, value in self.flags.items() if value is not None}
        # Without inputs there were streams in it at the start: a file that has none any more is one with a mistake.
        if not self.inputs or has_streams(self.config_path):
            if self.inputs or self.outs or self.records:
                raise ConfigError(
                    f"{self.config_path} names the streams and where they go; leave out inputs and targets"
                )
            if self.live:
                raise ConfigError(f"{', '.join(self.live)}: write it under [live] in {self.config_path}")
            settings, configs = read_streams(Path(str(self.config_path)), given, self._mistakes)
            if self.only_watches:
                configs = [replace(config, out=(), records=None) for config in configs]
            return settings, configs
        if len(self.inputs) > 1:
            same = [
                target for target in [*self.outs, self.records or "-"] if self.PLACE not in target and target != "-"
            ]
            if same:
                raise ConfigError(f"{', '.join(map(mask, same))}: with several inputs targets hold {self.PLACE}")
        live, settings = LiveSettings(**self.live), Settings.load(self.config_path, **self.flags)
        named = zip(names_for(self.inputs), self.inputs, strict=True)
        configs = [self._config(name, uri, live) for name, uri in named]
        if mistakes := list(self._mistakes(settings, configs)):
            raise ConfigError("; ".join(mistakes))
        return settings, configs

    def _mistakes(self, settings: Settings, configs: Sequence[StreamConfig]) -> Iterator[str]:
        """What is wrong with targets and profiles, as far as can be seen without a model and without opening any."""
        checks: list[tuple[str, Callable[[], object]]] = []
        profiles = [str(config.policy["profile"]) for config in configs if "profile" in config.policy]
        if settings.profile is not None:
            checks.append(("settings", partial(Profile.read, settings.profile)))
        for config in configs:
            if "profile" in config.policy:
                checks.append((f"stream {config.name}", partial(Profile.read, config.policy["profile"])))
            checks += [(f"stream {config.name}", partial(check_target, target)) for target in config.out]
        yield from _told(checks)
        outputs = [Outputs(config.out, config.records) for config in configs]
        yield from clashes(outputs)
        read = [*(config.uri for config in configs), *settings.files(), *profiles, self.config_path or ""]
        yield from overwriting(read, [name for one in outputs for name in one.targets])

    def _config(self, name: str, uri: str, live: LiveSettings) -> StreamConfig:
        outs = tuple(target.replace(self.PLACE, name) for target in self.outs)
        records = None if self.records is None else self.records.replace(self.PLACE, name)
        return StreamConfig(name, uri, outs, records, live)

    def _open_server(self, streams: Streams) -> Server:
        host, port = parse_listen(str(self.metrics), "metrics")
        return Server(streams.known, port, host)

    def _open_monitor(self, board: Board, streams: Streams) -> Monitor:
        host, port = parse_listen(str(self.monitor), "monitor")
        is_made_up = self.monitor_token is None and not is_loopback(host)
        token = new_token() if is_made_up else self.monitor_token
        monitor = Monitor(board, streams.statuses, port, host, token)
        # Not logged: logs are kept and passed on, and a token is for whoever started this.
        print(f"monitor: {monitor.address}{f'?token={token}' if is_made_up else ''}", file=sys.stderr, flush=True)
        return monitor


class _Ticker:
    """What is done now and then between batches: reload, tell the health check, report.

    A reload has a thread of its own: what it takes off may take seconds to finish, and the others go on meanwhile.
    """

    def __init__(self, job: StreamsJob, streams: Streams, server: Server | None, hung_up: threading.Event) -> None:
        self._job, self._streams, self._server, self._hung_up = job, streams, server, hung_up
        self._reported = time.monotonic()
        self._reloading: threading.Thread | None = None

    def __call__(self) -> None:
        if self._server is not None:
            self._server.tick()
        if self._hung_up.is_set() and (self._reloading is None or not self._reloading.is_alive()):
            self._hung_up.clear()
            self._reloading = threading.Thread(target=self._reload, name="reload", daemon=True)
            self._reloading.start()
        if time.monotonic() - self._reported >= REPORT_SECONDS:
            self._reported = time.monotonic()
            self._report()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._reloading is not None:
            self._reloading.join(JOIN_SECONDS)
            # It may have started streams after all others were stopped.
            self._streams.close()

    def _reload(self) -> None:
        try:
            self._job.reload(self._streams)
        except Exception:
            log.exception("the reload failed")

    def _report(self) -> None:
        for status in self._streams.statuses():
            line = f"{status.name}: {status.state}, {status.counts}"
            if status.trust is not None and status.trust.has_answers:
                line += f"; {status.trust}"
            log.info("%s", line)
            if sys.stderr.isatty() and not log.isEnabledFor(logging.INFO):
                print(line, file=sys.stderr)


def _check_rules(stream_filter: StreamFilter, configs: Sequence[StreamConfig]) -> None:
    """See that what streams have of their own fits the model.

    Raises:
        ConfigError: it does not; all mistakes are told.
    """
    mistakes = _told(
        (f"stream {config.name}", partial(stream_filter.rules, config.live, **config.policy)) for config in configs
    )
    if lines := list(mistakes):
        raise ConfigError("; ".join(lines))


def _told(checks: Iterable[tuple[str, Callable[[], object]]]) -> Iterator[str]:
    """A line for each check that fails, beginning with whose it is."""
    for whose, check in checks:
        try:
            check()
        except StreamFilterError as error:
            yield f"{whose}: {error}"


def _ignore(event: StreamEvent) -> None:
    """Nobody looks on."""
