"""From the command line's words to a written page."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streamfilter.config import Settings
from streamfilter.errors import ConfigError, InputError
from streamfilter.pipeline import Progress
from streamfilter.pipeline import run as run_pipeline
from streamfilter.report import page
from streamfilter.report.clips import split
from streamfilter.report.columns import ColumnsBuilder, shown
from streamfilter.report.consumer import read_verdicts
from streamfilter.report.content import Evidence, gather
from streamfilter.report.records import Problem, looks_like_records, read_records
from streamfilter.report.rule import Rule
from streamfilter.report.scoring import ColumnsSink, rule_for, rule_of
from streamfilter.sources import is_live_address, plan_inputs


@dataclass(frozen=True)
class Order:
    """What is wanted."""

    inputs: Sequence[str]
    """Records, clips, or both."""
    settings: Settings
    """How clips are scored, and what is known of the records' run."""
    given: Sequence[str] = ()
    """Names of the settings that the user gave."""
    pictures: int = 48
    """Most pictures in the page."""
    moved_to: Path | None = None
    """Folder to look for recorded files in first."""
    consumer_outputs: str | None = None
    """JSON lines of the user's consumer."""


@dataclass(frozen=True)
class Made:
    """What became of it."""

    frames: int
    pictures: int
    """Pictures that are in the page."""
    size_bytes: int
    problems: Sequence[Problem]
    """What could not be read; the page tells of it as well."""


def make(order: Order, target: Path, stop: threading.Event, progress: Progress) -> Made:
    """Read or score the inputs and write the page.

    Args:
        order: what is wanted.
        target: the HTML file; it appears whole or not at all.
        stop: when set, scoring ends early, and the page tells of what was scored until then.
        progress: called after every frame that is scored.

    Raises:
        InputError: nothing at all could be read.
        ConfigError: an input is a live stream.
        ModelError: the model cannot be loaded.
        MissingExtraError: Jinja2 or uPlot is not installed.
        OutputError: the page cannot be written.
    """
    page.check_extra()
    records = [text for text in order.inputs if looks_like_records(text)]
    clips = [text for text in order.inputs if text not in records]
    if live := [text for text in clips if is_live_address(text)]:
        raise ConfigError(f"{shown(live[0])} is a live stream: `streamfilter run` it with --records, then report those")
    builder = ColumnsBuilder()
    problems = [problem for text in records for problem in _read(text, builder)]
    scored = _score(order, clips, builder, stop, progress, problems) if clips else None
    if not len(builder):
        raise InputError("; ".join(problem.text for problem in problems) or "there is no frame to report")
    evidence = _evidence(order, builder, scored, problems)
    content = gather(evidence, order.pictures, order.moved_to)
    size = page.write(content, target)
    pictures = sum(shown.picture is not None for part in content.parts for shown in part.shown)
    return Made(len(evidence.columns), pictures, size, problems)


def _read(text: str, builder: ColumnsBuilder) -> list[Problem]:
    try:
        return read_records(text, builder)
    except InputError as error:
        return [Problem(str(error))]


def _score(
    order: Order,
    clips: Sequence[str],
    builder: ColumnsBuilder,
    stop: threading.Event,
    progress: Progress,
    problems: list[Problem],
) -> Rule:
    from streamfilter.filter import StreamFilter

    stream_filter = StreamFilter(order.settings)
    summary = run_pipeline(plan_inputs(clips), stream_filter, [ColumnsSink(builder)], stop, progress)
    problems += [Problem(shown(failure)) for failure in summary.failures]
    if summary.interrupted:
        problems.append(Problem(f"scoring was interrupted after {summary.frames_read:,} frames"))
    return rule_of(stream_filter)


def _evidence(order: Order, builder: ColumnsBuilder, scored: Rule | None, problems: list[Problem]) -> Evidence:
    columns = builder.build()
    rule = scored or rule_for(columns, order.settings, order.given)
    verdicts = None
    if order.consumer_outputs is not None:
        verdicts, told = read_verdicts(order.consumer_outputs)
        problems += told
    return Evidence(columns, split(columns), rule, problems, verdicts, order.consumer_outputs or "")
