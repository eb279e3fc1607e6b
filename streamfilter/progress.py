"""Progress of a long run on standard error: a line that renews itself on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from streamfilter.metrics import Summary
    from streamfilter.sources import Source

TERMINAL_SECONDS = 0.2
LOG_SECONDS = 15.0


class ProgressLine:
    """Shows frames read, kept, speed and, where the header tells the length, the time left."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._every_seconds = TERMINAL_SECONDS if self._is_terminal else LOG_SECONDS
        self._next_at = time.monotonic() + self._every_seconds

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_terminal:
            click.echo("\r\x1b[K", nl=False, err=True)

    def show(self, summary: Summary, source: Source) -> None:
        """Renew the line when it is due."""
        if time.monotonic() < self._next_at:
            return
        self._next_at = time.monotonic() + self._every_seconds
        text = f"{source.name}: {summary.frames_read} frames, {summary.frames_kept} kept, {summary.fps:.0f} fps"
        total = source.info.frames_from_header
        if total and summary.fps > 0 and total > summary.frames_read:
            text += f", {(total - summary.frames_read) / summary.fps:.0f} s left"
        click.echo(f"\r\x1b[K{text}" if self._is_terminal else text, nl=not self._is_terminal, err=True)


class CountLine:
    """Shows how many of something are done, and speed."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._is_terminal = sys.stderr.isatty()
        self._every_seconds = TERMINAL_SECONDS if self._is_terminal else LOG_SECONDS
        self._started_at = time.monotonic()
        self._next_at = self._started_at + self._every_seconds

    def __enter__(self) -> CountLine:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_terminal:
            click.echo("\r\x1b[K", nl=False, err=True)

    def show(self, done: int, failed: int, name: str) -> None:
        """Renew the line when it is due."""
        now = time.monotonic()
        if now < self._next_at:
            return
        self._next_at = now + self._every_seconds
        speed = done / (now - self._started_at)
        line = f"{name}: {done} {self._what}, {failed} failed, {speed:.1f} a second"
        click.echo(f"\r\x1b[K{line}" if self._is_terminal else line, nl=not self._is_terminal, err=True)
