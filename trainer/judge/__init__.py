"""`python -m trainer judge`: one command for every table and figure, with the rivals and oracles in each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import click

from streamfilter.errors import ConfigError, InputError
from trainer.judge import leak
from trainer.judge.oracle import StrengthOracle, fit_evidence
from trainer.judge.report import Report, Source, write
from trainer.judge.rows import ROWS, Evidence, label_paths, load_evidence
from trainer.judge.scores import scored, with_oracles, with_scores, with_verdicts
from trainer.runs import command_line, sha256
from trainer.score_table import read_scores
from trainer.tables import metadata_of, read_table


@dataclass(frozen=True)
class What:
    """One table or figure."""

    module: str
    """Module of this package whose `judge` makes it."""
    rows: str
    """Rows it judges unless told otherwise, one of `ROWS`."""


WHATS = {
    "networks": What("networks", "paper"),
    "distortions": What("distortions", "all"),
    "discard": What("discard", "all"),
    "figure1": What("histograms", "paper"),
    "figure2": What("unseen", "unseen-jpeg"),
    "calibration": What("calibration", "all"),
}
LEAK = "leak"
IN_WORDS = {
    "paper": "JPEG at the paper's nine qualities, pristine rows left out",
    "unseen-jpeg": "JPEG at qualities other than the paper's nine, pristine rows left out",
    "all": "every distortion, pristine rows left out",
    "with-pristine": "every distortion and the pristine rows",
}


@dataclass(frozen=True)
class Request:
    """What to judge and where.

    Raises:
        ConfigError: an option is missing or unknown.
    """

    what: str
    """`leak` or a key of `WHATS`."""
    labels: tuple[Path, ...]
    """Folders of label tables that judge."""
    out: Path
    """Where the report goes."""
    scores: tuple[Path, ...] = ()
    """The score tables; not needed for `leak`."""
    models: tuple[str, ...] = ()
    """Models of the score tables."""
    dev_labels: tuple[Path, ...] = ()
    """Folders of development label tables: the oracle's, and what `leak` compares with."""
    runs: tuple[Path, ...] = ()
    """Training runs that `leak` compares with."""
    rows: str | None = None
    """One of `ROWS`; None for what the table is defined on."""
    name: str | None = None
    """Of the files; None for `what`."""
    even_labels: tuple[Path, ...] = ()
    """Folders of label tables of other pictures, on which `networks` finds where even classes are divided."""
    even_scores: tuple[Path, ...] = ()
    """Their score tables; rows without a score are left out."""
    verdict_labels: tuple[Path, ...] = ()
    """Folders of label tables of the rows that judge, by other networks, whose verdicts become scorers."""

    def __post_init__(self) -> None:
        leaks = self.what == LEAK
        checks = {
            f"unknown table {self.what!r}, known: {', '.join((*WHATS, LEAK))}": leaks or self.what in WHATS,
            "--labels must name a folder": bool(self.labels),
            f"{self.what} needs --scores": leaks or bool(self.scores),
            f"{self.what} needs a --model": leaks or bool(self.models),
            "distortions needs --oracle-labels, the development label tables": self.what != "distortions"
            or bool(self.dev_labels),
            "leak needs --run or --oracle-labels to compare with": not leaks or bool(self.runs or self.dev_labels),
            "--even-labels needs --even-scores": bool(self.even_labels) == bool(self.even_scores),
            "--even-labels is for networks": self.what == "networks" or not self.even_labels,
            f"unknown rows {self.rows!r}, known: {', '.join(ROWS)}": self.rows in (None, *ROWS),
        }
        problems = [problem for problem, passed in checks.items() if not passed]
        if problems:
            raise ConfigError("; ".join(problems))


def judge(request: Request, command: str = "") -> str:
    """Judge, and write the report.

    Args:
        request: what to judge.
        command: the command line, for the caption.

    Returns:
        The report's Markdown.

    Raises:
        InputError: tables cannot be read, do not fit together, or leak.
        ConfigError: a model has no scores.
        OutputError: the report cannot be written.
    """
    paths = label_paths(request.labels)
    sources = [_source(task, path) for task, found in paths.items() for path in found]
    name = request.name or request.what
    if request.what == LEAK:
        return write(_leaks(request, paths), request.out, name, command, sources, "every source picture", {})
    what = WHATS[request.what]
    rows = request.rows or what.rows
    evidences = [_evidence(request, found, rows) for found in paths.values()]
    if request.verdict_labels:
        evidences = [with_verdicts(one, _other(request.verdict_labels, one.task)) for one in evidences]
    others = [_even(request, evidence, rows) for evidence in evidences] if request.even_labels else []
    report: Report = import_module(f"trainer.judge.{what.module}").judge(evidences, *([others] if others else []))
    scores = {path.as_posix(): sha256(path) for path in (*request.scores, *request.even_scores)}
    return write(report, request.out, name, command, sources, IN_WORDS[rows], scores)


def _evidence(request: Request, paths: Sequence[Path], rows: str) -> Evidence:
    evidence = load_evidence(paths).select(rows)
    evidence = with_scores(evidence, [read_scores(path) for path in request.scores], request.models)
    if not evidence.models and not (evidence.across and request.what == "figure2"):
        where = ", ".join(map(str, request.scores))
        raise InputError(f"{where} has no {evidence.task} score of {', '.join(request.models)}")
    return with_oracles(evidence, _oracle(request.dev_labels, evidence.task))


def _even(request: Request, judging: Evidence, rows: str) -> Evidence:
    """Rows of other pictures, with the same models' scores.

    Raises:
        InputError: they are not of this task, have no scores, or share a picture with the rows that judge.
    """
    tables = [read_scores(path) for path in request.even_scores]
    others = _other(request.even_labels, judging.task).select(rows)
    evidence = with_scores(scored(others, tables), tables, request.models)
    shared = set(evidence.content_hash) & set(judging.content_hash)
    if shared:
        raise InputError(f"{len(shared)} pictures of --even-labels are among those that judge: name other tables")
    return evidence


def _oracle(folders: Sequence[Path], task: str) -> StrengthOracle | None:
    if not folders:
        return None
    return fit_evidence(_other(folders, task))


def _other(folders: Sequence[Path], task: str) -> Evidence:
    """The rows of one task in other label tables than those that judge."""
    paths = label_paths(folders).get(task)
    if paths is None:
        raise InputError(f"no {task}.parquet in {', '.join(map(str, folders))}: labels of each task are needed there")
    return load_evidence(paths)


def _leaks(request: Request, paths: Mapping[str, Sequence[Path]]) -> Report:
    judging = {path.as_posix(): leak.sources_of_table(path) for found in paths.values() for path in found}
    seen = {run.as_posix(): leak.sources_of_run(run) for run in request.runs}
    for found in label_paths(request.dev_labels).values():
        seen.update({path.as_posix(): leak.sources_of_table(path) for path in found})
    return leak.judge(judging, seen)


def _source(task: str, path: Path) -> Source:
    networks = metadata_of(read_table(path), path)["networks"]
    return Source(path.as_posix(), sha256(path), task, tuple(network["name"] for network in networks))


@click.command("judge")
@click.argument("what", type=click.Choice((*WHATS, LEAK)))
@click.option(
    "--labels", type=click.Path(path_type=Path), required=True, multiple=True, help="Label tables; may repeat."
)
@click.option(
    "--scores", type=click.Path(path_type=Path), multiple=True,
    help="Score table of `python -m trainer score`; may repeat.",
)  # fmt: skip
@click.option("--model", "models", multiple=True, help="Name of a model in the score tables; may repeat.")
@click.option(
    "--oracle-labels", "dev_labels", type=click.Path(path_type=Path), multiple=True,
    help="Development label tables that the distortion oracle knows, and that `leak` compares with; may repeat.",
)  # fmt: skip
@click.option("--run", "runs", type=click.Path(path_type=Path), multiple=True, help="Run that `leak` compares with.")
@click.option(
    "--even-labels", type=click.Path(path_type=Path), multiple=True,
    help="networks: label tables of other pictures, to find where classes that count alike are divided; may repeat.",
)  # fmt: skip
@click.option("--even-scores", type=click.Path(path_type=Path), multiple=True, help="Their score tables; may repeat.")
@click.option(
    "--verdict-labels", type=click.Path(path_type=Path), multiple=True,
    help="Label tables of the same rows by other networks, whose verdicts become scorers; may repeat.",
)  # fmt: skip
@click.option("--rows", type=click.Choice(ROWS), help="Rows to judge; each table has its own default.")
@click.option("--name", help="Of the files; the table's own by default.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("benchmarks/results"), show_default=True)
def command(**options: object) -> None:
    """Write a table or figure of the evaluation: Markdown, JSON and PNG."""
    click.echo(judge(Request(**options), command_line("trainer")), nl=False)  # type: ignore[arg-type]
