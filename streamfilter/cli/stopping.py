"""How a command ends: by a signal, or with a status that fits."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import click

from streamfilter.errors import StreamFilterError

SIGNAL_EXIT = 128
HANGUP: signal.Signals | None = getattr(signal, "SIGHUP", None)
"""The terminal is gone; None on Windows."""


class StopOnSignal:
    """Sets an event at the first SIGINT, SIGTERM or SIGHUP; a second SIGINT or SIGTERM has its usual effect.

    A program started with SIGHUP ignored, as `nohup` does, goes on ignoring it.

    Args:
        at_hangup: whether SIGHUP is one of them; not where it has another meaning, see `hangups`.
    """

    def __init__(self, at_hangup: bool = True) -> None:
        self._at_hangup = at_hangup
        self.event = threading.Event()
        self.signal_number = 0
        self._before: dict[int, Any] = {}
        self._terminals = [descriptor for descriptor in (1, 2) if os.isatty(descriptor)]

    def __enter__(self) -> StopOnSignal:
        numbers = [signal.SIGINT, signal.SIGTERM]
        if self._at_hangup and HANGUP is not None and signal.getsignal(HANGUP) != signal.SIG_IGN:
            numbers.append(HANGUP)
        self._before = {number: signal.signal(number, self._stop) for number in numbers}
        return self

    def __exit__(self, *_: object) -> None:
        self._restore(self._before)

    def _stop(self, number: int, _: object) -> None:
        self.signal_number = self.signal_number or number
        self.event.set()
        if number == HANGUP:
            self._leave_terminal()
        # The shell and the kernel both tell of a closed terminal: a second SIGHUP means nothing.
        self._restore(self._before.keys() - {HANGUP})

    def _leave_terminal(self) -> None:
        """Let nothing fail that is still said to a terminal that is gone."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for descriptor in self._terminals:
            os.dup2(nowhere, descriptor)
        os.close(nowhere)

    def _restore(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            signal.signal(number, self._before[number])


@contextmanager
def hangups() -> Iterator[threading.Event]:
    """An event that SIGHUP sets, where there is such a signal."""
    asked = threading.Event()
    if HANGUP is None:
        yield asked
        return
    before: Callable[..., Any] | int | None = signal.signal(HANGUP, lambda number, frame: asked.set())
    try:
        yield asked
    finally:
        signal.signal(HANGUP, before)


@contextmanager
def interruptible() -> Iterator[None]:
    """End with the status of SIGINT where Ctrl-C comes while there is nothing to close yet.

    An import that it falls into may make an ImportError of KeyboardInterrupt.
    """
    asked = threading.Event()

    def interrupt(number: int, frame: Any) -> None:
        asked.set()
        signal.default_int_handler(number, frame)

    is_ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_ours and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    except (KeyboardInterrupt, ImportError, StreamFilterError):
        if not asked.is_set():
            raise
        click.echo("Interrupted", err=True)
        sys.exit(SIGNAL_EXIT + signal.SIGINT)
    finally:
        if signal.getsignal(signal.SIGINT) is interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def end(summary: Any, signal_number: int, more: str = "") -> NoReturn:
    """Say what became of the frames and whatever else there is to say, and end with the status that fits."""
    for failure in summary.failures:
        click.echo(f"Error: {failure}", err=True)
    click.echo(f"{summary}{' (interrupted)' if summary.interrupted else ''}", err=True)
    for line in filter(None, (more, summary.hint)):
        click.echo(line, err=True)
    sys.exit(SIGNAL_EXIT + signal_number if summary.interrupted else int(bool(summary.failures)))
