"""`streamfilter score`: the utility of pictures."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from streamfilter.cli.options import model_options
from streamfilter.cli.output import say
from streamfilter.config import Settings
from streamfilter.errors import InputError


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="PICTURE_OR_FOLDER...")
@model_options
def score(inputs: tuple[str, ...], config_path: str | None, **flags: Any) -> None:
    """Print one JSON line a picture: its utility for each task, and whether it is useful."""
    from streamfilter.filter import StreamFilter
    from streamfilter.sources import plan_inputs

    stream_filter = StreamFilter(Settings.load(config_path, **flags))
    failures = 0
    for plan in plan_inputs(inputs):
        try:
            source = plan.open()
            if source.is_live or source.info.duration_seconds is not None:
                raise InputError(f"{plan.name} is a video; use: streamfilter run {plan.name} --records -")
            for frame, decision in stream_filter.filter(source):
                failures += decision.utility is None
                _print_score(stream_filter, frame.input, decision.utility, frame.problem)
        except InputError as error:
            failures += 1
            click.echo(f"Error: {error}", err=True)
    sys.exit(int(failures > 0))


def _print_score(stream_filter: Any, name: str, utility: Any, problem: str | None) -> None:
    if problem is not None:
        click.echo(f"Error: {name}: {problem}", err=True)
    useful = utility is not None and stream_filter.is_useful(utility)
    rounded = None if utility is None else {task: round(value, 6) for task, value in utility.items()}
    say(json.dumps({"input": name, "utility": rounded, "useful": useful}))
