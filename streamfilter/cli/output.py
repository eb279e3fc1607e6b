"""Standard output: data goes there, and that it cannot is told in one line."""

from __future__ import annotations

import os
import sys
import traceback

import click

NAME = "standard output"


def say(text: str) -> None:
    """Print a line on standard output.

    Raises:
        OutputError: it is closed or full, or its reader has gone.
    """
    from streamfilter.sinks._whole import standard_output, writing

    standard_output()
    with writing(NAME):
        click.echo(text)


def occupy_closed() -> None:
    """Open the null device where a standard stream is closed: the next file would take its number, and logs."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)


def was_printing(error: OSError) -> bool:
    """Whether it was raised by a print, as that of a help text by click itself."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_code is click.echo.__code__


def refused(error: OSError) -> str:
    """One line about a print that failed."""
    from streamfilter.sinks._whole import describe

    return describe(error.errno, error.strerror or str(error), NAME)


def drop_rest() -> None:
    """Throw away what standard output has refused, or Python would fail on it once more when it exits."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
