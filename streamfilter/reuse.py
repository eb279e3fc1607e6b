"""Which frames look so much like one that was scored that its utility serves for them too. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from streamfilter.frame import Frame
from streamfilter.policy import Policy, is_certain
from streamfilter.preprocess import Glimpse, glimpse

LONGEST, LONGEST_SECONDS = 25, 1.0
"""Frames in a row, and time, for which one utility may be taken over: what a glimpse cannot show, such as finer blocks,
is seen by then."""
TICK_SECONDS = 1e-6
"""So much may be lost when time stamps become floats."""
RISK, RISK_A_LEVEL = 0.3, 1.0
"""Log-odds that a utility may have moved since: always, and for each grey level of change. Where that could change the
decision, a frame is scored itself."""
LONGEST_MOVED = 4
"""Frames on another view of the same scene that may take over one utility."""
MOVED_RISK = 1.5
"""Log-odds that another view may cost."""
MOVED_DETAIL = 0.1
"""Logarithm of the ratio of detail up to which another view counts as one of the same quality."""
LEAST_DETAIL = 0.2
"""Grey levels; that much is added to both details, so that a blank picture's noise counts for little."""


@dataclass(frozen=True, eq=False)
class Reference:
    """The frame that was scored last."""

    glimpse: Glimpse
    pts_seconds: float
    utility: Mapping[str, float] | None = None
    """None until it is scored, and when it could not be."""
    age: int = 0
    """Frames that took its utility over."""
    moved: int = 0
    """Those of them that showed another view."""


@dataclass(frozen=True, eq=False)
class Link:
    """Whose utility a frame may take over."""

    reference: int | None
    """Place of the scored frame in the same batch; None = the one that was scored last before it."""
    risk: float
    """How far the two frames' utilities may be apart, log-odds."""


def plan(
    last: Reference | None, frames: Sequence[Frame], worth: Sequence[bool], change: float
) -> tuple[list[Link | None], Reference | None, int | None]:
    """Which of consecutive frames have to be scored.

    Args:
        last: what the frames before left behind; None at a stream's start.
        frames: of one stream, in order; pictures without a clock are no stream, and each is scored.
        worth: for each whether it is sound and to be scored at all; what is not ends the likeness.
        change: mean difference up to which two frames are alike, grey levels; 0 = all are scored. A few frames in a
            row are also taken for alike where only the view has changed: see `is_same_kind`.

    Returns:
        For each frame the link to the one it is like, None where there is none; the reference for the frames that
        follow; and the place in this batch of that reference, None when it is an earlier one.
    """
    links: list[Link | None] = []
    place: int | None = None
    for index, (frame, is_worth) in enumerate(zip(frames, worth, strict=True)):
        link: Link | None = None
        if change <= 0 or not is_worth or not frame.is_readable or frame.pts_seconds is None:
            last = None
        else:
            seen = Reference(glimpse(frame), frame.pts_seconds)
            link, last = _follow(last, seen, change, place)
            if link is None:
                last, place = seen, index
        links.append(link)
    return links, last, place if last is not None else None


def _follow(
    last: Reference | None, seen: Reference, change: float, place: int | None
) -> tuple[Link | None, Reference | None]:
    """The link from a frame to the reference, None where they are not alike; and the reference one follower older."""
    if last is None or last.age >= LONGEST:
        return None, last
    if not 0 <= seen.pts_seconds - last.pts_seconds <= LONGEST_SECONDS + TICK_SECONDS:
        return None, last
    apart, older = difference(last.glimpse, seen.glimpse), replace(last, age=last.age + 1)
    if apart <= change:
        return Link(place, RISK + RISK_A_LEVEL * apart), older
    if last.moved < LONGEST_MOVED and is_same_kind(last.glimpse, seen.glimpse, change):
        return Link(place, MOVED_RISK), replace(older, moved=last.moved + 1)
    return None, last


def difference(one: Glimpse, other: Glimpse) -> float:
    """Mean absolute difference pixel by pixel, grey levels."""
    return _apart(one.luma, other.luma)


def is_same_kind(one: Glimpse, other: Glimpse, change: float) -> bool:
    """Whether two views are of the same light and sharpness, as when a camera turns.

    Args:
        one: of them.
        other: of them.
        change: how far their luma may be apart on average, grey levels, each sorted by brightness.
    """
    if abs(math.log((one.detail + LEAST_DETAIL) / (other.detail + LEAST_DETAIL))) > MOVED_DETAIL:
        return False
    return _apart(one.spread, other.spread) <= change


def is_safe(utility: Mapping[str, float] | None, policy: Policy, link: Link) -> bool:
    """Whether a frame so much changed would surely be decided on alike."""
    return utility is not None and is_certain(policy, utility, link.risk)


def _apart(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    import cv2

    return cv2.norm(one, other, cv2.NORM_L1) / one.size
