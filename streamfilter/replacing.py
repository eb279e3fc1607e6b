"""The running streams become those of a new configuration, one mistake never stopping another stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Protocol

from streamfilter.errors import StreamFilterError
from streamfilter.sources import Source
from streamfilter.stream_config import StreamConfig


class Replaceable(Protocol):
    """What streams come and go in."""

    def add(self, config: StreamConfig, *, source: Source | None = None) -> None:
        """Start a stream."""

    def remove(self, name: str) -> None:
        """Stop one."""


def replace(
    streams: Replaceable,
    running: Mapping[str, StreamConfig],
    configs: Sequence[StreamConfig],
    prepare: Callable[[StreamConfig], Source],
) -> dict[str, str]:
    """Stop what is gone, start what is new, and change what has changed.

    Args:
        streams: those that run.
        running: their configurations by name.
        configs: what shall run.
        prepare: opens what a changed stream is read from, once its settings are known to fit.

    Returns:
        A line for each stream that could not be started, changed or finished, by its name.
    """
    wanted = {config.name: config for config in configs}
    problems: dict[str, str] = {}
    sources: dict[str, Source] = {}

    def open_changed(config: StreamConfig) -> None:
        sources[config.name] = prepare(config)

    for name, config in wanted.items():
        if name in running and running[name] != config:
            problems.update(_trying(name, partial(open_changed, config)))
    # All of them before any starts: an output may pass from one to another.
    ended = [name for name in running if name not in wanted or name in sources]
    with ThreadPoolExecutor(max(1, len(ended)), "end of a stream") as ending:
        for told in ending.map(lambda name: _trying(name, partial(streams.remove, name)), ended):
            problems.update(told)
    for name, config in wanted.items():
        if name in sources:
            problems.update(_trying(name, partial(_follow, streams, running[name], config, sources[name])))
        elif name not in running:
            problems.update(_trying(name, partial(streams.add, config)))
    return problems


def _follow(streams: Replaceable, before: StreamConfig, config: StreamConfig, source: Source) -> None:
    """Start a changed stream; where that fails the one before it goes on.

    Raises:
        StreamFilterError: an output cannot be opened.
    """
    try:
        streams.add(config, source=source)
    except StreamFilterError:
        with suppress(StreamFilterError):
            streams.add(before)
        raise


def _trying(name: str, action: Callable[[], object]) -> dict[str, str]:
    try:
        action()
    except StreamFilterError as error:
        return {name: str(error)}
    return {}
