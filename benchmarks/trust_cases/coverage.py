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
DEFAULT_SECONDS = 1.0
"""Length of a block that `streamfilter calibrate` chooses by itself for so little video: the shortest it takes."""
CLIPS = 0.0
INDEPENDENT = "frames as independent"
SHARE = 2 / 3
"""Of the blocks, or of the clips, for calibration."""
DETECTORS = ("picodet_s_416", "fastestdet_352")
"""One that the models' labels come from, and one they never met."""

Method = Callable[[Table], Table]


def coverage(models: Sequence[str], folder: Path, every_seconds: float, splits: int) -> Outcome:
    """Random splits of the clips: by stretches of time, and by whole clips.

    The promise is about the stream that all blocks are drawn from, at 95 % confidence; a test part is a sample of it
    too and keeps a little more or less. 99 % cannot be promised by any method with fewer than 299 blocks.
    """
    rows: list[dict[str, Any]] = []
    for detector in DETECTORS:
        for model in models:
            found = _rows(judged(detector, model, folder, every_seconds), splits)
            rows += [{"detector": detector, "model": model, **row} for row in found]
    first = [row for row in rows if row["model"] == models[0]]
    figures = {
        f"{row['detector']}, {row['promised']:.0%}: {key}": value for row in first for key, value in _headline(row)
    }
    return Outcome(
        "in 95 % of the splits or more the test part keeps the promised share of its useful frames; "
        "the discard beside the ideal one; frames taken as independent for comparison",
        {"splits": splits, "share for calibration": SHARE, **figures},
        rows,
    )


def _headline(row: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    if row["method"] == "blocks" and row["split by"] in (f"{DEFAULT_SECONDS:g} s", f"{BLOCK_SECONDS[0]:g} s"):
        where = f"blocks of {row['split by']}"
        yield f"{where}: test parts that keep the promise", row["kept the promise"]
        yield f"{where}: refused, all is kept", row["refused"]
        yield f"{where}: discard", row["discard"]
        yield "ideal discard", row["ideal discard"]
    if row["split by"] == "clip" and row["method"] == INDEPENDENT:
        yield "frames as independent, other clips: test parts that keep the promise", row["kept the promise"]


def _rows(frames: Sequence[Judged], splits: int) -> Iterator[dict[str, Any]]:
    for promise in PROMISES:
        goal = Goal("keep_useful", promise)
        for seconds in BLOCK_SECONDS:
            table = tabulate_frames(frames, "detection", seconds)
            for name, method in (("blocks", _as_it_is), (INDEPENDENT, as_independent)):
                tried = _tried(table, table.block, method, goal, splits)
                yield _row(promise, f"{seconds:g} s", name, tried)
        clips = tabulate_frames(frames, "detection", CLIPS)
        short = tabulate_frames(frames, "detection", BLOCK_SECONDS[1])
        for name, table, method in (
            ("blocks: clips", clips, _as_it_is),
            (f"blocks: {BLOCK_SECONDS[1]:g} s of other cameras", short, _as_it_is),
            (INDEPENDENT, clips, as_independent),
        ):
            yield _row(promise, "clip", name, _tried(table, clips.block, method, goal, splits))


def _as_it_is(table: Table) -> Table:
    return table


def _tried(table: Table, group: Any, method: Method, goal: Goal, splits: int) -> list[Tried]:
    """Each split of the groups, tried."""
    return [
        attempt(method(part(table, taken[group])), part(table, ~taken[group]), goal)
        for taken in random_splits(int(group.max()) + 1, SHARE, splits)
    ]


def _row(promise: float, split_by: str, method: str, tried: Sequence[Tried]) -> dict[str, Any]:
    return {
        "promised": promise,
        "split by": split_by,
        "method": method,
        "kept the promise": float(np.mean([one.test.useful_kept >= promise for one in tried])),
        "refused": float(np.mean([one.refused for one in tried])),
        "useful kept": float(np.mean([one.test.useful_kept for one in tried])),
        "discard": float(np.mean([one.test.discard for one in tried])),
        "ideal discard": float(np.mean([one.test.ideal_discard for one in tried])),
    }
