"""Records by the dozen for the tests of the report."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from streamfilter.report.clips import Clip, split
from streamfilter.report.columns import Columns, ColumnsBuilder


def record(index: int, utility: float | None = 0.9, /, **changes: Any) -> dict[str, Any]:
    """One record of `clip.mp4` at 25 frames a second, useful at 0.5 and above."""
    keep = utility is None or utility >= 0.5
    fields = {
        "input": "clip.mp4",
        "index": index,
        "pts_seconds": index / 25,
        "keep": keep,
        "reason": "useful" if keep else "low_utility",
        "utility": None if utility is None else {"detection": utility},
    }
    return {**fields, **changes}


def columns(records: Iterable[dict[str, Any]]) -> Columns:
    """The records in columns."""
    builder = ColumnsBuilder()
    for fields in records:
        assert builder.add(fields), fields
    return builder.build()


def clip(records: Iterable[dict[str, Any]]) -> Clip:
    """The one clip that the records make."""
    (found,) = split(columns(records))
    return found


def scored(utilities: Sequence[float | None]) -> Clip:
    """A clip of frames with these utilities."""
    return clip(record(index, utility) for index, utility in enumerate(utilities))


def write_lines(path: Path, values: Iterable[object]) -> Path:
    """A file of JSON lines."""
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    return path
