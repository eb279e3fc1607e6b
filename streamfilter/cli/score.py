"""`streamfilter score`: the utility of pictures."""

from __future__ import annotations

import json
import sys
import threading
from typing import TYPE_CHECKING, Any

import click

from streamfilter.cli.options import model_options
from streamfilter.cli.output import say
from streamfilter.cli.stopping import SIGNAL_EXIT, StopOnSignal
from streamfilter.config import Settings
from streamfilter.errors import InputError

if TYPE_CHECKING:
    from streamfilter.filter import StreamFilter
    from streamfilter.sources import InputPlan


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="PICTURE_OR_FOLDER...")
@model_options
def score(inputs: tuple[str, ...], config_path: str | None, **flags: Any) -> None:
    """Print one JSON line a picture: its utility for each task, and whether it is useful."""
    from streamfilter.filter import StreamFilter
    from streamfilter.sources import plan_inputs

    stream_filter = StreamFilter(Settings.load(config_path, **flags))
    with StopOnSignal() as stop:
        failures = sum(_score(stream_filter, plan, stop.event) for plan in plan_inputs(inputs))
    sys.exit(SIGNAL_EXIT + stop.signal_number if stop.event.is_set() else int(failures > 0))


def _score(stream_filter: StreamFilter, plan: InputPlan, stop: threading.Event) -> int:
    """Print the scores of one input; how many of its pictures failed."""
    failures = 0
    if stop.is_set():
        return failures
    try:
        source = plan.open()
        if source.is_live or source.info.duration_seconds is not None:
            raise InputError(f"{plan.name} is a video; use: streamfilter run {plan.name} --records -")
        for frame, decision in stream_filter.filter(source, stop):
            failures += decision.utility is None
            _print_score(stream_filter, frame.input, decision.utility, frame.problem)
        if source.failure is not None and not stop.is_set():
            raise InputError(source.failure)
    except InputError as error:
        failures += 1
        click.echo(f"Error: {error}", err=True)
    return failures


def _print_score(stream_filter: StreamFilter, name: str, utility: Any, problem: str | None) -> None:
    if problem is not None:
        click.echo(f"Error: {name}: {problem}", err=True)
    useful = utility is not None and stream_filter.is_useful(utility)
    rounded = None if utility is None else {task: round(value, 6) for task, value in utility.items()}
    say(json.dumps({"input": name, "utility": rounded, "useful": useful}))
