"""Reads what `run --records` wrote; a damaged log gives what can be read of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from streamfilter.errors import InputError, InputNotFoundError
from streamfilter.report.columns import ColumnsBuilder, shown

STDIN = "-"
SUFFIXES = (".jsonl", ".ndjson", ".json", ".log")
MAX_LINE_BYTES = 1 << 20
"""A longer line is none of ours; it is counted and its bytes are skipped."""


def looks_like_records(text: str) -> bool:
    """Whether an argument names records rather than a clip, by its suffix or its first byte."""
    path = Path(text)
    if text == STDIN or path.suffix.lower() in SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            return file.read(64).lstrip()[:1] == b"{"
    except (OSError, ValueError):
        return False


@contextmanager
def opened(text: str) -> Iterator[BinaryIO]:
    """A file, or `-` for standard input, to read lines from.

    Raises:
        InputNotFoundError: there is no such file.
        InputError: it cannot be read.
    """
    if text == STDIN:
        yield sys.stdin.buffer
        return
    try:
        with open(text, "rb") as file:
            yield file
    except FileNotFoundError as error:
        raise InputNotFoundError(f"no such file: {shown(text)}; check the path") from error
    except OSError as error:
        raise InputError(f"cannot read {shown(text)}: {error.strerror or error}") from error


def json_lines(file: BinaryIO) -> Iterator[tuple[object, bool]]:
    """What each line that is not blank holds, and whether the line ended; a line that is not JSON holds None."""
    while line := file.readline(MAX_LINE_BYTES):
        is_long = False
        while len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
            line, is_long = file.readline(MAX_LINE_BYTES), True
        if is_long or line.strip():
            yield None if is_long else _parsed(line), line.endswith(b"\n")


@dataclass(frozen=True)
class Problem:
    """Something that could not be read."""

    text: str
    """One line: what is wrong, where."""
    is_failure: bool = True
    """False for the last line of a log that is still being written: nothing is wrong with that."""


def read_records(text: str, into: ColumnsBuilder) -> list[Problem]:
    """Read one log of records.

    Args:
        text: the file, or `-` for standard input.
        into: gets the records.

    Returns:
        What is wrong with the log; nothing when it is whole.

    Raises:
        InputError: it cannot be read, is empty, or holds no record at all.
    """
    name = "standard input" if text == STDIN else shown(text)
    before, bad, is_cut = len(into), 0, False
    with opened(text) as file:
        for value, is_ended in json_lines(file):
            is_good = into.add(value, text)
            is_cut = not is_good and not is_ended
            bad += not is_good and is_ended
    found = len(into) - before
    if found == 0:
        what = "no line of it is a record" if bad or is_cut else "it is empty"
        raise InputError(f"{name} holds no records: {what}; name what `streamfilter run --records` wrote")
    problems = []
    if bad:
        problems.append(Problem(f"{name}: {bad:,} lines are no records and were left out; {found:,} frames were read"))
    if is_cut:
        text = f"{name} is cut short in its last line; the {found:,} frames before it were read"
        problems.append(Problem(text, is_failure=False))
    return problems


def _parsed(line: bytes) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
