"""How a command ends: by a signal, or with a status that fits."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import click

SIGNAL_EXIT = 128


class StopOnSignal:
    """Sets an event at the first SIGINT or SIGTERM; the second one has its usual effect."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.signal_number = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopOnSignal:
        self._before = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _stop(self, number: int, _: object) -> None:
        self.signal_number = number
        self.event.set()
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


@contextmanager
def hangups() -> Iterator[threading.Event]:
    """An event that SIGHUP sets, where there is such a signal."""
    asked = threading.Event()
    if not hasattr(signal, "SIGHUP"):
        yield asked
        return
    before: Callable[..., Any] | int | None = signal.signal(signal.SIGHUP, lambda number, frame: asked.set())
    try:
        yield asked
    finally:
        signal.signal(signal.SIGHUP, before)


def end(summary: Any, signal_number: int, more: str = "") -> NoReturn:
    """Say what became of the frames and whatever else there is to say, and end with the status that fits."""
    for failure in summary.failures:
        click.echo(f"Error: {failure}", err=True)
    click.echo(f"{summary}{' (interrupted)' if summary.interrupted else ''}", err=True)
    for line in filter(None, (more, summary.hint)):
        click.echo(line, err=True)
    sys.exit(SIGNAL_EXIT + signal_number if summary.interrupted else int(bool(summary.failures)))
