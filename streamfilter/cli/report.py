"""`streamfilter report`: what a run did, as one page to look at."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from streamfilter.cli.options import model_options
from streamfilter.cli.stopping import SIGNAL_EXIT, StopOnSignal
from streamfilter.config import Settings
from streamfilter.errors import ConfigError
from streamfilter.progress import ProgressLine

MAX_PICTURES = 500
TELLS_NO_MODEL = {"threshold", "task", "device", "threads", "precision"}
"""Options that say nothing of the model that made some records."""


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="RECORDS|CLIP...")
@click.option("--out", required=True, type=click.Path(), metavar="FILE.html", help="The page; one file, nothing else.")
@click.option("--inputs", "moved_to", type=click.Path(), metavar="DIR", help="Where the clips lie now, if they moved.")
@click.option("--pictures", type=click.IntRange(0, MAX_PICTURES), default=48, show_default=True, help="Most pictures.")
@click.option("--consumer-outputs", type=click.Path(), metavar="FILE", help="JSON lines: what your consumer decided.")
@model_options
def report(
    inputs: tuple[str, ...],
    out: str,
    moved_to: str | None,
    pictures: int,
    consumer_outputs: str | None,
    config_path: str | None,
    **flags: Any,
) -> None:
    """Write one HTML page about what a run did: its timeline, what was dropped and why, pictures, counts.

    RECORDS is what `run --records` wrote (- for standard input). A CLIP is scored first, as `run` would.
    """
    from streamfilter.report.make import Order, make

    _check(inputs, out, moved_to, consumer_outputs)
    settings = Settings.load(config_path, **flags)
    told = {name for name, value in flags.items() if value is not None} - TELLS_NO_MODEL
    is_run_told = bool(told) or config_path is not None
    with StopOnSignal() as stop, ProgressLine() as progress:
        order = Order(inputs, settings, is_run_told, pictures, Path(moved_to) if moved_to else None, consumer_outputs)
        made = make(order, Path(out), stop.event, progress.show)
    for problem in made.problems:
        click.echo(f"{'Error' if problem.is_failure else 'Warning'}: {problem.text}", err=True)
    click.echo(f"{out}: {made.frames:,} frames, {made.pictures} pictures, {made.size_bytes / 1e6:.1f} MB", err=True)
    failed = any(problem.is_failure for problem in made.problems)
    sys.exit(SIGNAL_EXIT + stop.signal_number if stop.event.is_set() else int(failed))


def _check(inputs: tuple[str, ...], out: str, moved_to: str | None, consumer_outputs: str | None) -> None:
    """Raises ConfigError for an output that is an input, or a folder that is none."""
    from streamfilter.sources import plan_inputs, refuse_overwriting

    if Path(out).suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"--out {out}: a report ends in .html")
    files = [file for plan in plan_inputs(inputs) for file in plan.files]
    refuse_overwriting([*files, consumer_outputs or ""], [out])
    if moved_to is not None and not os.path.isdir(moved_to):
        raise ConfigError(f"--inputs {moved_to}: there is no such folder")
