"""What a measurement found, as JSON and as a Markdown table."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click

from benchmarks.models import machine
from streamfilter import __version__

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Outcome:
    """What a case measured."""

    asked: str
    """What it must show."""
    figures: dict[str, Any]
    """Measured values by name."""
    rows: list[dict[str, Any]] = field(default_factory=list)
    """A table, where there is one."""


def record(family: str, name: str, out: Path, measure: Callable[[], Outcome], **run: Any) -> Outcome:
    """Measure one case, print its table and write it under OUT.

    Args:
        family: what the files' names begin with.
        name: of the case.
        out: folder.
        measure: does it.
        run: what else is to be said of the run; `quick` and `model` at least.
    """
    started = time.monotonic()
    outcome = measure()
    here = {"processor": machine(), "cores": os.cpu_count(), "version": __version__}
    run = {"case": name, "seconds": time.monotonic() - started, **here, **run}
    text = markdown(family, name, outcome, run)
    click.echo(text)
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{family}-{name}.json").write_text(json.dumps({**run, **asdict(outcome)}, indent=1) + "\n")
    (out / f"{family}-{name}.md").write_text(text)
    return outcome


def markdown(family: str, name: str, outcome: Outcome, run: dict[str, Any]) -> str:
    """A case's figures, and its table."""
    lines = [f"# {family.capitalize()}: {name}", "", f"Asked: {outcome.asked}.", ""]
    where = f"{run['processor']}, {run['cores']} cores, {run['model']}"
    lines += [f"Measured on {where}, in {run['seconds']:.0f} s{', in small' if run['quick'] else ''}.", ""]
    lines += [
        "| figure | value |",
        "|---|---|",
        *(f"| {key} | {_cell(value)} |" for key, value in outcome.figures.items()),
    ]
    if outcome.rows:
        heads = list(outcome.rows[0])
        lines += ["", f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
        lines += [f"| {' | '.join(_cell(row.get(head)) for head in heads)} |" for row in outcome.rows]
    return "\n".join([*lines, ""])


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    if value is None:
        return "not measured"
    if isinstance(value, list):
        return " -> ".join(_cell(one) for one in value)
    return str(value)


def rss_mb() -> float:
    """Resident memory of this process now, MiB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def percentile(values: list[float], share: float) -> float:
    """The value under which this share of the values lies; NaN of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")
