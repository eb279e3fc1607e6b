"""How often a threshold keeps as many useful frames of the test part as it promised."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.outcome import Outcome
from benchmarks.trust_cases.judged import judged
from benchmarks.trust_cases.splits import Tried, as_independent, attempt, part, random_splits
from streamfilter import Goal, Judged, Table, tabulate_frames

PROMISES = (0.99, 0.95)
BLOCK_SECONDS = (0.25, 0.5, 1.0, 2.0)
CLIPS = 0.0
SHARE = 0.8
"""Of the blocks, for calibration; of the clips, two in three."""
SHARE_OF_CLIPS = 2 / 3
DETECTOR = "picodet_s_416"

Method = Callable[[Table], Table]


def coverage(models: Sequence[str], folder: Path, every_seconds: float, splits: int) -> Outcome:
    """Random splits of the clips: by stretches of time, and by whole clips."""
    rows: list[dict[str, Any]] = []
    for model in models:
        rows += _rows(model, judged(DETECTOR, model, folder, every_seconds), splits)
    first = [row for row in rows if row["model"] == models[0]]
    figures = {f"{key}, {row['promised']:.0%}": value for row in first for key, value in _headline(row)}
    return Outcome(
        "in 95 % of the splits or more the test part keeps the promised share of its useful frames; "
        "the discard beside the ideal one; frames taken as independent for comparison",
        {"detector": DETECTOR, "splits": splits, **figures},
        rows,
    )


def _headline(row: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    if row["split by"] == f"{BLOCK_SECONDS[0]:g} s" and row["method"] == "blocks":
        yield "splits that keep the promise", row["kept the promise"]
        yield "discard", row["discard"]
        yield "ideal discard", row["ideal discard"]


def _rows(model: str, frames: Sequence[Judged], splits: int) -> Iterator[dict[str, Any]]:
    for promise in PROMISES:
        goal = Goal("keep_useful", promise)
        for seconds in BLOCK_SECONDS:
            table = tabulate_frames(frames, "detection", seconds)
            for name, method in (("blocks", _as_it_is), ("frames as independent", as_independent)):
                tried = _tried(table, table.block, SHARE, method, goal, splits)
                yield _row(model, promise, f"{seconds:g} s", name, tried)
        clips = tabulate_frames(frames, "detection", CLIPS)
        short = tabulate_frames(frames, "detection", BLOCK_SECONDS[1])
        for name, table, method in (
            ("blocks: clips", clips, _as_it_is),
            (f"blocks: {BLOCK_SECONDS[1]:g} s of other cameras", short, _as_it_is),
            ("frames as independent", clips, as_independent),
        ):
            yield _row(model, promise, "clip", name, _tried(table, clips.block, SHARE_OF_CLIPS, method, goal, splits))


def _as_it_is(table: Table) -> Table:
    return table


def _tried(table: Table, group: Any, share: float, method: Method, goal: Goal, splits: int) -> list[Tried]:
    """Each split of the groups, tried."""
    return [
        attempt(method(part(table, taken[group])), part(table, ~taken[group]), goal)
        for taken in random_splits(int(group.max()) + 1, share, splits)
    ]


def _row(model: str, promise: float, split_by: str, method: str, tried: Sequence[Tried]) -> dict[str, Any]:
    return {
        "model": model,
        "promised": promise,
        "split by": split_by,
        "method": method,
        "kept the promise": float(np.mean([one.test.useful_kept >= promise for one in tried])),
        "refused": float(np.mean([one.refused for one in tried])),
        "useful kept": float(np.mean([one.test.useful_kept for one in tried])),
        "discard": float(np.mean([one.test.discard for one in tried])),
        "ideal discard": float(np.mean([one.test.ideal_discard for one in tried])),
    }
