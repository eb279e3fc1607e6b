"""Which frames of a clip are worth a picture. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from streamfilter.frame import Reason
from streamfilter.report.clips import Clip, Clock
from streamfilter.report.columns import Ints
from streamfilter.report.rule import Rule

WITHOUT_PICTURE = (Reason.UNREADABLE,)
BORDERLINE = 0.15
"""Scores this near to the threshold are borderline."""
APART_SECONDS = 1.0
"""Frames nearer to each other look alike."""


@dataclass(frozen=True)
class Pick:
    """A frame to show."""

    row: int
    """Its row in the clip."""
    why: str
    """What it is an example of, for people."""


def choose(clip: Clip, rule: Rule, count: int, wrong: Ints | None = None) -> list[Pick]:
    """Frames to show, in order of time.

    Dropped ones of every reason spread over time, the lowest-scored, those next to the threshold on both sides, those
    kept as canary or in shadow mode, and those the user's consumer judges otherwise. Kept ones keep a distance from
    each other, and so do dropped ones, so there may be fewer than asked for.

    Args:
        clip: the frames.
        rule: what the scores are held against.
        count: most frames wanted.
        wrong: (N,) whether the consumer is wrong on a frame: 1 yes, 0 no, -1 not known; None = no consumer.
    """
    span = float(clip.seconds[-1] - clip.seconds[0])
    apart = min(APART_SECONDS, span / (1.5 * count)) if count else 0.0
    kinds = [_spread(clip, rows, why) for rows, why in _kinds(clip, rule, wrong)]
    chosen, times = list[Pick](), {True: list[float](), False: list[float]()}
    for pick in _in_turns(kinds):
        if len(chosen) >= count:
            break
        # A kept and a dropped frame side by side tell something; two of the same fate do not.
        time, alike = float(clip.seconds[pick.row]), times[bool(clip.columns.keep[pick.row])]
        near = bisect_left(alike, time)
        if all(abs(time - other) > apart for other in alike[max(0, near - 1) : near + 1]):
            alike.insert(near, time)
            chosen.append(pick)
    return sorted(chosen, key=lambda pick: pick.row)


def _kinds(clip: Clip, rule: Rule, wrong: Ints | None) -> Iterator[tuple[Ints, str]]:
    """Rows in order of interest, for each kind of frame that is worth a look."""
    columns, margins = clip.columns, rule.margins(clip.columns)
    usable = ~np.isin(columns.reason, [columns.reasons.index(r) for r in WITHOUT_PICTURE if r in columns.reasons])
    dropped = usable & ~columns.keep
    for number in np.unique(columns.reason[dropped]):
        rows = np.flatnonzero(dropped & (columns.reason == number))
        yield _outwards(rows), "spread over time"
    scored = np.isfinite(margins)
    lowest = np.flatnonzero(dropped & scored)
    yield lowest[np.argsort(margins[lowest], kind="stable")], "among the lowest scores"
    if rule.thresholds:
        for side, why in ((margins >= 0, "just above the threshold"), (margins < 0, "just below the threshold")):
            near = np.flatnonzero(usable & scored & side & (np.abs(margins) < BORDERLINE))
            yield near[np.argsort(np.abs(margins[near]), kind="stable")], why
    else:
        kept = np.flatnonzero(usable & columns.keep & scored)
        yield kept[np.argsort(margins[kept], kind="stable")], "lowest score that was kept"
    for number in np.unique(columns.spared[usable & (columns.spared >= 0)]):
        rows = np.flatnonzero(usable & (columns.spared == number))
        yield _outwards(rows), "passed, else dropped"
    if wrong is not None:
        yield _outwards(np.flatnonzero(usable & columns.keep & (wrong == 1))), "kept, but the consumer is wrong"
        yield _outwards(np.flatnonzero(dropped & (wrong == 0))), "dropped, but the consumer is right"


def _outwards(rows: Ints) -> Ints:
    """Rows in an order that is spread out wherever it is cut off: the middle, the quarters, the eighths ..."""
    if len(rows) < 3:
        return rows
    depth = int(np.ceil(np.log2(len(rows) + 1)))
    parts = [(2 * step + 1) / 2 ** (level + 1) for level in range(min(depth, 10)) for step in range(2**level)]
    return rows[list(dict.fromkeys(int(part * len(rows)) for part in parts))]


def _spread(clip: Clip, rows: Ints, why: str, most: int = 200) -> Iterator[Pick]:
    """The rows in their order, those too near in time to an earlier one put off to the end."""
    span = float(clip.seconds[-1] - clip.seconds[0])
    apart, taken, late = span / 40, list[float](), list[int]()
    for row in rows[: most * 20]:
        if any(abs(clip.seconds[row] - time) < apart for time in taken):
            late.append(int(row))
        elif len(taken) < most:
            taken.append(float(clip.seconds[row]))
            yield Pick(int(row), why)
    yield from (Pick(row, why) for row in late[:most])


def _in_turns(kinds: Sequence[Iterable[Pick]]) -> Iterator[Pick]:
    """One of each kind, then the next of each."""
    for turn in zip_longest(*kinds):
        yield from (pick for pick in turn if pick is not None)


def shares(clips: Sequence[Clip], total: int) -> list[int]:
    """How many pictures each clip gets: those with most dropped frames first when there are fewer pictures than clips.

    Live streams cannot be read again; they are asked for one, so that the page says why there is none.

    Args:
        clips: the clips.
        total: pictures there may be in all.
    """
    lasting = np.array([clip.clock is not Clock.WALL for clip in clips])
    dropped = np.array([np.count_nonzero(~clip.columns.keep) for clip in clips])
    given = np.where(lasting, total // max(1, int(lasting.sum())), min(total, 1))
    most_dropped = [place for place in np.argsort(-dropped, kind="stable") if lasting[place]]
    given[most_dropped[: total - int(given[lasting].sum())]] += 1
    return [int(number) for number in given]
