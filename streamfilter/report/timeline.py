"""What the page draws a clip's timeline from, of bounded size. Pure."""

from __future__ import annotations

import base64
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from streamfilter.report.clips import Clip, Clock
from streamfilter.report.columns import Columns, Ints
from streamfilter.report.rule import Rule
from streamfilter.report.tally import Tally, taint_windows, tally

FRAMES = 150_000
"""Frames up to which every single one is in the page, for all clips together."""
UNSCORED = 65_535
FULL_SCALE = 65_534
"""Utilities are stored as 16 bits: 0 to this for 0 to 1."""


def thinned(columns: Columns, frames: int) -> tuple[Ints, Ints]:
    """Frames that stand for all of them.

    Of every stretch those with the lowest and the highest utility of each task, and one of each reason and cause.

    Args:
        columns: N frames.
        frames: how many may be left, about; a stretch with many reasons gives more.

    Returns:
        (K,) rows in order, and (K,) how many frames each stands for in the counts; the latter add up to N.
    """
    count = len(columns)
    if count <= frames:
        return np.arange(count), np.ones(count, np.int64)
    stretches = max(1, frames // (2 * len(columns.utility) + 2))
    stretch = np.arange(count) * stretches // count
    kinds = (stretch * len(columns.reasons) + columns.reason) * len(columns.causes) + columns.cause
    kinds = kinds * (len(columns.reasons) + 1) + columns.spared + 1
    _, first, sizes = np.unique(kinds, return_index=True, return_counts=True)
    weights = np.zeros(count, np.int64)
    weights[first] = sizes
    chosen = weights > 0
    for values in columns.utility.values():
        known = np.flatnonzero(np.isfinite(values))
        order = known[np.lexsort((values[known], stretch[known]))]
        edges = np.flatnonzero(np.diff(stretch[order]))
        chosen[order[np.concatenate([[0], edges + 1])] if len(order) else order] = True
        chosen[order[np.concatenate([edges, [len(order) - 1]])] if len(order) else order] = True
    rows = np.flatnonzero(chosen)
    return rows, weights[rows]


def timeline(clip: Clip, rule: Rule, frames: int) -> dict[str, Any]:
    """A clip's timeline as JSON values; arrays as base64 of little-endian numbers.

    Args:
        clip: the frames.
        rule: thresholds to draw.
        frames: how many frames may be in it, about.
    """
    columns = clip.columns
    utility = {task: values for task, values in columns.utility.items() if np.isfinite(values).any()}
    rows, weights = thinned(columns, frames)
    whole = len(rows) == len(columns)
    return {
        "clock": clip.clock.value,
        "began": clip.began,
        "frames": len(columns),
        "points": len(rows),
        "tasks": list(utility),
        "thresholds": {task: value for task, value in rule.thresholds.items() if task in rule.tasks(columns)},
        "reasons": list(columns.reasons),
        "causes": list(columns.causes),
        "taint": np.round(taint_windows(clip), 3).tolist(),
        "seconds": packed(clip.seconds[rows], "<f8"),
        "index": packed(columns.index[rows], "<f8"),
        "utility": [packed(sixteen_bits(values[rows]), "<u2") for values in utility.values()],
        "keep": packed(columns.keep[rows], "u1"),
        "reason": packed(columns.reason[rows], "u1"),
        "spared": packed(columns.spared[rows] + 1, "u1"),
        "cause": packed(columns.cause[rows], "u1"),
        "weight": None if whole else packed(weights, "<u4"),
    }


def sixteen_bits(values: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """(N,) utilities 0-1 as 0 to `FULL_SCALE`, NaN as `UNSCORED`."""
    known = np.isfinite(values)
    return np.where(known, np.round(np.where(known, values, 0) * FULL_SCALE), UNSCORED).astype(np.int64)


def packed(values: npt.NDArray[Any], kind: str) -> str:
    """The base64 of an array in the given numpy type."""
    return base64.b64encode(np.ascontiguousarray(values, dtype=kind).tobytes()).decode("ascii")


def intervals(clip: Clip, count: int) -> list[tuple[float, float, Tally]]:
    """The clip in equal stretches: start, end and tally of each that has frames; at most `count`.

    Args:
        clip: the frames.
        count: how many stretches the whole is cut into.
    """
    start, end = float(clip.seconds[0]), float(clip.seconds[-1])
    if clip.clock is Clock.ORDER:
        end += 1
    edges = np.linspace(start, end, min(count, len(clip)) + 1)
    bounds = np.searchsorted(clip.seconds, edges)
    bounds[-1] = len(clip)
    return [
        (float(edges[part]), float(edges[part + 1]), tally(clip.columns.take(np.arange(first, last))))
        for part, (first, last) in enumerate(pairwise(bounds))
        if last > first
    ]
