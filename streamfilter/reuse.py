"""Which frames look so much like one that was scored that its utility serves for them too. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from streamfilter.frame import Frame
from streamfilter.preprocess import glimpse

LONGEST = 25
"""Frames in a row that may take over one utility: what a glimpse cannot show, such as finer blocks, is seen by then."""
RISK = 0.05
"""Utility that a change of one grey level may cost: nearer than that to a threshold, a frame is scored itself."""

Glimpse = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Reference:
    """The frame that was scored last."""

    glimpse: Glimpse
    utility: Mapping[str, float] | None = None
    """None until it is scored, and when it could not be."""
    age: int = 0
    """Frames that took its utility over."""


@dataclass(frozen=True, eq=False)
class Link:
    """Whose utility a frame may take over."""

    reference: int | None
    """Place of the scored frame in the same batch; None = the one that was scored last before it."""
    change: float
    """How far the two are apart, grey levels."""


def plan(
    last: Reference | None, frames: Sequence[Frame], worth: Sequence[bool], change: float
) -> tuple[list[Link | None], Reference | None, int | None]:
    """Which of consecutive frames have to be scored.

    Args:
        last: what the frames before left behind; None at a stream's start.
        frames: of one stream, in order; pictures without a clock are no stream, and each is scored.
        worth: for each whether it is sound and to be scored at all; what is not ends the likeness.
        change: mean difference up to which two frames are alike, grey levels; 0 = all are scored.

    Returns:
        For each frame the link to the one it is like, None where there is none; the reference for the frames that
        follow; and the place in this batch of that reference, None when it is an earlier one.
    """
    links: list[Link | None] = []
    place: int | None = None
    for index, (frame, is_worth) in enumerate(zip(frames, worth, strict=True)):
        link = None
        if change <= 0 or not is_worth or not frame.is_readable or frame.pts_seconds is None:
            last = None
        else:
            seen = glimpse(frame)
            apart = float("inf") if last is None else difference(last.glimpse, seen)
            if last is not None and apart <= change and last.age < LONGEST:
                link, last = Link(place, apart), replace(last, age=last.age + 1)
            else:
                last, place = Reference(seen), index
        links.append(link)
    return links, last, place if last is not None else None


def difference(one: Glimpse, other: Glimpse) -> float:
    """Mean absolute difference, grey levels; infinite between different shapes."""
    return float(np.abs(one - other).mean()) if one.shape == other.shape else float("inf")


def is_safe(utility: Mapping[str, float] | None, thresholds: Mapping[str, float], link: Link) -> bool:
    """Whether a frame so much changed would surely be decided on alike."""
    if utility is None:
        return False
    return all(abs(utility[task] - threshold) >= RISK * link.change for task, threshold in thresholds.items())
