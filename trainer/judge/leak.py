"""No source picture of the tables that judge may have been seen before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from streamfilter.errors import InputError, InputNotFoundError
from trainer.judge.report import Report, Section
from trainer.runs import RunFolder

NOTE = (
    "Source pictures (SHA-256 of the file's content) of the tables that judge, looked up among the sources of each "
    "training run (both sides of its split, and its balancing tables) and of each table of development labels. A "
    "table that shared one would have failed."
)


def sources_of_run(run: Path) -> set[str]:
    """Every source that a run was trained on, held back or balanced with.

    Raises:
        InputNotFoundError: the run has no split.
        InputError: its split names no source.
    """
    found = {source for side in RunFolder(run).read_json("split.json").values() for source in _strings(side)}
    if not found:
        raise InputError(f"{run / 'split.json'} names no source picture; train again with --fresh")
    return found.union(*(sources_of_table(path) for path in sorted(run.glob("*.parquet"))))


def _strings(side: object) -> list[str]:
    return [one for one in side if isinstance(one, str)] if isinstance(side, list) else []


def sources_of_table(path: Path) -> set[str]:
    """The content hashes of a table.

    Raises:
        InputNotFoundError: there is no such file.
        InputError: it has no content hashes.
    """
    if not path.is_file():
        raise InputNotFoundError(f"no label table {path}; make one with `python -m trainer label`")
    try:
        return set(pq.read_table(path, columns=["content_hash"])["content_hash"].unique().to_pylist())
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} has no content hashes to compare: {error}") from error


def judge(judging: Mapping[str, set[str]], seen: Mapping[str, set[str]]) -> Report:
    """The counts of sources on both sides.

    Args:
        judging: table -> its sources.
        seen: run or development table -> its sources.

    Raises:
        InputError: a source is on both sides.
    """
    check(judging, seen)
    body = [["judges", name, str(len(sources))] for name, sources in judging.items()]
    body += [["was seen", name, str(len(sources))] for name, sources in seen.items()]
    figures = {
        "judging": {name: len(sources) for name, sources in judging.items()},
        "seen": {name: len(sources) for name, sources in seen.items()},
        "on_both_sides": 0,
    }
    sections = [Section("No source is on both sides", ["side", "where", "sources"], body)]
    return Report("Leaks between development and test pictures", NOTE, sections, figures)


def check(judging: Mapping[str, set[str]], seen: Mapping[str, set[str]]) -> None:
    """Refuse tables that share a source.

    Raises:
        InputError: a source is on both sides; the pairs are listed.
    """
    pairs: Sequence[tuple[str, str, int]] = [
        (table, other, len(mine & theirs))
        for table, mine in judging.items()
        for other, theirs in seen.items()
        if mine & theirs
    ]
    if pairs:
        listed = "; ".join(f"{count} of {table} in {other}" for table, other, count in pairs)
        raise InputError(f"source pictures on both sides: {listed}; judge with others")
