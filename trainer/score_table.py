"""The score table: what models and classical measures say about distorted pictures, a column a score."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from streamfilter.errors import InputError, InputNotFoundError

KEYS = [
    ("picture", pa.string()),
    ("content_hash", pa.string()),
    ("split", pa.string()),
    ("distortion", pa.string()),
    ("strength", pa.float64()),
    ("images", pa.string()),
]
"""Columns that say which picture a row is about; the scores follow."""


def read_scores(path: Path) -> pa.Table:
    """A score table.

    Raises:
        InputNotFoundError: there is no such file.
        InputError: it is not a score table.
    """
    if not path.is_file():
        raise InputNotFoundError(f"no score table {path}; make one with `python -m trainer score`")
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"score table {path} cannot be read: {error}") from error
    if table.column_names[: len(KEYS)] != [name for name, _ in KEYS]:
        raise InputError(f"{path} is not a score table: its columns are {', '.join(table.column_names)}")
    return table


def score_columns(table: pa.Table) -> list[str]:
    """Names of the score columns of a score table."""
    return list(table.column_names[len(KEYS) :])
