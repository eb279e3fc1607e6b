"""Everything the page shows, gathered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from streamfilter.report.clips import Clip
from streamfilter.report.columns import Columns
from streamfilter.report.consumer import UNKNOWN, Key, Verdicts, discard_figures, read_boxes, tell
from streamfilter.report.pictures import Picture, take
from streamfilter.report.records import Problem
from streamfilter.report.rule import Rule
from streamfilter.report.sampling import Pick, choose, shares
from streamfilter.report.tally import Gap, Tally, find_gaps, tally
from streamfilter.report.timeline import FRAMES, intervals, timeline

MAX_CLIPS = 1_000
"""Clips that get a row and a section; further ones are in the totals alone."""
ROWS_OF_ONE = 40
ROWS_OF_MANY = 12
"""Rows of the timeline's table, for one clip and for each of several."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a report is made from."""

    columns: Columns
    """All the frames."""
    clips: Sequence[Clip]
    """The same, clip by clip."""
    rule: Rule
    problems: Sequence[Problem] = ()
    """What could not be read."""
    consumer: Verdicts | None = None
    consumer_path: str = ""
    """The file the verdicts came from."""
    facts: Sequence[tuple[str, str]] = ()
    """Further lines about the run, for people: name and value."""


@dataclass(frozen=True)
class Shown:
    """One chosen frame as the page shows it."""

    place: int
    """Its number among the clip's chosen frames."""
    pick: Pick
    picture: Picture | None
    problem: str
    """Why there is no picture; empty when there is one."""
    boxes: dict[str, Any] | None
    """`reference` and `detections` of the user's consumer; None when not told."""
    wrong: int
    """Whether the consumer is wrong on it: 1, 0, or -1 for not known."""


@dataclass(frozen=True, eq=False)
class ClipPart:
    """One clip's section of the page."""

    clip: Clip
    tally: Tally
    gaps: Sequence[Gap]
    timeline: dict[str, Any]
    intervals: Sequence[tuple[float, float, Tally]]
    shown: Sequence[Shown]

    @property
    def missing(self) -> Counter[str]:
        """Why there are pictures missing, and how many."""
        return Counter(shown.problem for shown in self.shown if shown.problem)


@dataclass(frozen=True, eq=False)
class Content:
    """The whole page."""

    evidence: Evidence
    totals: Tally
    parts: Sequence[ClipPart]
    discard: dict[str, Any] | None
    notes: Sequence[str] = field(default_factory=list)
    """What the reader has to know first: what is missing, and why."""

    @property
    def clips_left_out(self) -> int:
        """Clips without a section."""
        return len(self.evidence.clips) - len(self.parts)


def gather(evidence: Evidence, pictures: int, moved_to: Path | None) -> Content:
    """Count, choose, decode.

    Args:
        evidence: the frames.
        pictures: most pictures in the page.
        moved_to: folder to look for the recorded files in first; None = only where they were.
    """
    clips, rule = evidence.clips[:MAX_CLIPS], evidence.rule
    picks = _picks(evidence, clips, pictures)
    boxes = _boxes(evidence, clips, picks)
    budget, rows = FRAMES // len(clips), ROWS_OF_ONE if len(clips) == 1 else ROWS_OF_MANY
    parts = []
    for clip, chosen in zip(clips, picks, strict=True):
        gaps = find_gaps(clip)
        shown = _shown(clip, chosen, boxes, evidence.consumer, moved_to)
        parts.append(
            ClipPart(clip, tally(clip.columns, gaps), gaps, timeline(clip, rule, budget), intervals(clip, rows), shown)
        )
    discard = None if evidence.consumer is None else discard_figures(evidence.clips, evidence.consumer, rule)
    return Content(evidence, tally(evidence.columns), parts, discard, list(_notes(evidence, parts)))


def _picks(evidence: Evidence, clips: Sequence[Clip], pictures: int) -> list[list[Pick]]:
    consumer = evidence.consumer
    return [
        choose(clip, evidence.rule, count, None if consumer is None else consumer.of(clip)) if count else []
        for clip, count in zip(clips, shares(clips, pictures), strict=True)
    ]


def _key(clip: Clip, row: int) -> Key:
    return clip.columns.inputs[clip.columns.input[row]], int(clip.columns.index[row])


def _boxes(
    evidence: Evidence, clips: Sequence[Clip], picks: Sequence[Sequence[Pick]]
) -> dict[Key, dict[str, list[dict[str, Any]]]]:
    if evidence.consumer is None:
        return {}
    wanted = {_key(clip, pick.row) for clip, chosen in zip(clips, picks, strict=True) for pick in chosen}
    return read_boxes(evidence.consumer_path, wanted)


def _shown(
    clip: Clip, picks: Sequence[Pick], boxes: dict[Key, Any], consumer: Verdicts | None, moved_to: Path | None
) -> list[Shown]:
    wrong = np.full(len(clip), UNKNOWN) if consumer is None else consumer.of(clip)
    taken = take(clip, [pick.row for pick in picks], moved_to)
    return [
        Shown(
            place,
            pick,
            picture if isinstance(picture, Picture) else None,
            picture if isinstance(picture, str) else "",
            boxes.get(_key(clip, pick.row)),
            int(wrong[pick.row]),
        )
        for place, (pick, picture) in enumerate(zip(picks, taken, strict=True))
    ]


def _notes(evidence: Evidence, parts: Sequence[ClipPart]) -> list[str]:
    notes = [problem.text for problem in evidence.problems]
    rule, columns = evidence.rule, evidence.columns
    if not rule.thresholds:
        notes.append("The threshold is not in the records; name the --model or --threshold of the run to see it here.")
    elif odd := rule.unexplained(columns):
        notes.append(
            f"{odd:,} of {len(columns):,} decisions do not fit the threshold given here: the run had another one."
        )
    if len(evidence.clips) > len(parts):
        left_out = len(evidence.clips) - len(parts)
        notes.append(f"{left_out:,} more clips are in the totals, but have no section of their own.")
    if evidence.consumer is not None:
        notes += [text[0].upper() + text[1:] + "." for text in tell(evidence.consumer, evidence.clips)]
    return notes
