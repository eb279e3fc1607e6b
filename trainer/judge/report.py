"""A table with its caption as Markdown, JSON and PNG."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.runs import git_commit, make_folder, replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Section:
    """One table under its own title."""

    title: str
    """Over the table."""
    head: Sequence[str]
    """The columns' names."""
    body: Sequence[Sequence[str]]
    """The cells, as many a line as `head`."""
    note: str = ""
    """Under the title: how to read the table."""

    def markdown(self) -> str:
        """Title, note and table."""
        lines = [self.head, ["---"] * len(self.head), *self.body]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return "\n\n".join(part for part in (f"## {self.title}", self.note, table) if part)


@dataclass(frozen=True)
class Report:
    """Everything one command found."""

    title: str
    """Of the whole."""
    note: str
    """What was measured, and how."""
    sections: Sequence[Section]
    """The tables."""
    figures: Mapping[str, Any]
    """All figures, as JSON values."""
    draw: Callable[[Figure], None] | None = None
    """Draws the picture; None for none."""
    size: tuple[float, float] = (10.0, 5.0)
    """The picture's width and height, inches."""


@dataclass(frozen=True)
class Source:
    """One label table, for the caption."""

    path: str
    """As the caller named it."""
    sha256: str
    """Hex digest of the file."""
    task: str
    """The task it labels."""
    networks: tuple[str, ...]
    """Who labelled it."""


def write(
    report: Report,
    out: Path,
    name: str,
    command: str,
    data: Sequence[Source],
    rows: str,
    scores: Mapping[str, str],
) -> str:
    """Write `<name>.md`, `<name>.json` and, where there is a picture, `<name>.png` into `out`.

    Args:
        report: what to write.
        out: the folder, made when missing.
        name: of the files.
        command: the command line, for the caption.
        data: the label tables.
        rows: what was judged of them, in words.
        scores: path -> hex digest of the score table.

    Returns:
        The Markdown.

    Raises:
        OutputError: a file cannot be written.
    """
    make_folder(out)
    record = {
        "command": command,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "commit": git_commit(),
        "rows": rows,
        "labels": [vars(one) for one in data],
        "scores": dict(scores),
    }
    text = markdown(report, record, data, f"{name}.png")
    if report.draw is not None:
        _draw(report, out / f"{name}.png")
    with replacing(out / f"{name}.json") as part:
        part.write_text(json.dumps({**record, "figures": report.figures}, indent=1) + "\n", encoding="utf-8")
    with replacing(out / f"{name}.md") as part:
        part.write_text(text, encoding="utf-8")
    return text


def markdown(report: Report, record: Mapping[str, Any], data: Sequence[Source], picture: str) -> str:
    """Title, caption and tables."""
    tables = "; ".join(f"`{one.path}` ({', '.join(one.networks)}; {one.sha256[:12]})" for one in data)
    scores = ", ".join(f"`{path}` ({digest[:12]})" for path, digest in record["scores"].items())
    caption = [
        f"Labels: {tables}.",
        f"Rows: {record['rows']}.",
        *([f"Scores: {scores}."] if scores else []),
        f"Machine: {record['machine']}. Commit: {record['commit']}. Date: {record['date']}.",
        f"Command: `{record['command']}`.",
    ]
    parts = [f"# {report.title}", report.note, "\n".join(f"- {line}" for line in caption)]
    if report.draw is not None:
        parts.append(f"![{report.title}]({picture})")
    parts += [section.markdown() for section in report.sections]
    return "\n\n".join(parts) + "\n"


def machine() -> str:
    """Processor, number of cores and system of this machine."""
    name = platform.processor() or platform.machine()
    if CPU_INFO.is_file():
        lines = CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} cores, {platform.system()} {platform.machine()}"


def _draw(report: Report, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    assert report.draw is not None
    figure = Figure(figsize=report.size, layout="constrained")
    FigureCanvasAgg(figure)
    report.draw(figure)
    with replacing(path) as part:
        figure.savefig(part, format="png", dpi=150)


def percent(value: float | None) -> str:
    """A share as percent with one decimal, or a dash."""
    return "-" if value is None else decimals(100 * value, 1)


def decimals(value: float | None, places: int = 3) -> str:
    """A figure with that many decimals, or a dash."""
    return "-" if value is None else f"{round(value, places) + 0.0:.{places}f}"
