"""How a camera itself is doing, from a look at its stream now and then: dark, covered, out of focus, frozen. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt

LOOK_SECONDS = 1.0
"""Time between looks, by the stream's clock."""
GAP_SECONDS = 60.0
"""After a longer time without a look nothing is known of what held meanwhile, and all waiting begins anew."""
DARKEST = 45.0
"""Level that all but the brightest 2 % stay under when a picture is dark, 0-255: white after five and a half stops."""
DETAIL_LEFT = 0.4
"""Share of its past detail under which a stream is out of focus."""
STRUCTURE_LEFT = 0.4
"""Share of its past structure under which it is covered as well."""
LOOKS_TO_KNOW = 10
"""Looks after which a stream's past counts as known."""
MEMORY_SECONDS = 600.0
"""How far back the past reaches: daylight changes within hours."""
STILL = 0.3
"""Mean change up to which two pictures are the same one, grey levels. A sensor's noise coded anew at a keyframe changes
a still scene by 0.7 and more; the very same picture, by an encoder that is not starved, by less than 0.3."""


class Condition(StrEnum):
    """What may be wrong with a camera."""

    DARK = "dark"
    COVERED = "covered"
    DEFOCUSED = "defocused"
    FROZEN = "frozen"


TOLD = {
    Condition.DARK: "hardly any light",
    Condition.COVERED: "hardly any structure is left anywhere",
    Condition.DEFOCUSED: "much less detail than before, while the scene's structure is still there",
    Condition.FROZEN: "the same picture again and again, noise included",
}


@dataclass(frozen=True)
class HealthRules:
    """When a condition is told."""

    trouble_seconds: float = 10.0
    """How long a camera must be dark, covered or out of focus; 0 = never told."""
    clear_seconds: float = 10.0
    """How long a condition must have ended before that is told."""
    frozen_seconds: float = 60.0
    """How long the picture must be the same one; 0 = never told."""

    def wait(self, condition: Condition) -> float:
        """Seconds for which a condition must hold; 0 = it is never told."""
        return self.frozen_seconds if condition is Condition.FROZEN else self.trouble_seconds


@dataclass(frozen=True, eq=False)
class Look:
    """What is measured of one frame."""

    bright: float
    """Level that 98 % of the pixels stay under, 0-255."""
    detail: float
    """Mean step between neighbours at half resolution, in the most detailed tenth of the places, grey levels."""
    structure: float
    """Mean step between neighbours in a picture of a dozen cells a side, grey levels."""
    pieces: npt.NDArray[np.uint8]
    """Pieces of the picture as it is; of one shape as long as the stream's size stays."""


@dataclass(frozen=True)
class Past:
    """What a stream was like while nothing was wrong."""

    detail: float = 0.0
    structure: float = 0.0
    looks: int = 0


@dataclass(frozen=True, eq=False)
class HealthState:
    """What is known of one camera between two looks."""

    open: frozenset[Condition] = frozenset()
    """Conditions that were told and not yet taken back."""
    turned_at: Mapping[Condition, float] = field(default_factory=dict)
    """Since when a condition that is not open holds, or one that is open does not; by the stream's clock."""
    looked_at: float | None = None
    """Time of the last look; None before the first."""
    past: Past = field(default_factory=Past)
    anchor: Look | None = None
    """The first look at the picture that is shown now."""
    anchored_at: float = 0.0
    saw_keyframe: bool = False
    """Whether a keyframe came since: a codec repeats a still scene exactly until the next one, noise and all."""


def is_due(rules: HealthRules, state: HealthState, clock_seconds: float | None) -> bool:
    """Whether it is time for a look; never for what has no clock, nor when nothing is to be told."""
    if clock_seconds is None or not (rules.trouble_seconds or rules.frozen_seconds):
        return False
    return state.looked_at is None or not 0 <= clock_seconds - state.looked_at < LOOK_SECONDS


def with_keyframe(state: HealthState) -> HealthState:
    """The state after a keyframe."""
    return state if state.saw_keyframe else replace(state, saw_keyframe=True)


def advance(rules: HealthRules, state: HealthState, look: Look, clock_seconds: float) -> HealthState:
    """The state after a look.

    A condition opens once it has held without a break for its time, and closes once it has not held for the time to
    clear. A clock that goes back, or far ahead, makes every wait begin anew; what is open stays open.
    """
    if state.looked_at is not None and not 0 <= clock_seconds - state.looked_at <= GAP_SECONDS:
        state = replace(state, turned_at={}, anchor=None, looked_at=None)
    state = _anchored(state, look, clock_seconds)
    holding = _holding(state, look)
    opened, turned_at = set(state.open), {}
    for condition in Condition:
        is_open = condition in opened
        wait = rules.clear_seconds if is_open else rules.wait(condition)
        if (condition in holding) == is_open or (not is_open and not wait):
            continue
        began = state.anchored_at if condition is Condition.FROZEN and not is_open else clock_seconds
        turned_at[condition] = state.turned_at.get(condition, began)
        if clock_seconds - turned_at[condition] >= wait:
            opened ^= {condition}
            del turned_at[condition]
    past = state.past if holding - {Condition.FROZEN} else _remembered(state, look, clock_seconds)
    return replace(state, open=frozenset(opened), turned_at=turned_at, looked_at=clock_seconds, past=past)


def changes(before: HealthState, after: HealthState) -> list[tuple[str, str]]:
    """What to tell between two states: kinds of events, each with a line.

    `camera_ok` comes when nothing is wrong any more; where something else still is, that is told again.
    """
    told = [condition for condition in Condition if condition in after.open - before.open]
    over = ", ".join(condition for condition in Condition if condition in before.open - after.open)
    if over and not after.open:
        return [("camera_ok", f"no longer {over}")]
    if over:
        told = [condition for condition in Condition if condition in after.open]
    return [(f"camera_{one}", TOLD[one] + (f"; no longer {over}" if over else "")) for one in told]


def _anchored(state: HealthState, look: Look, clock_seconds: float) -> HealthState:
    """The state with the look that the present picture was first seen in."""
    anchor = state.anchor
    if anchor is not None and _change(anchor, look) <= STILL:
        return state
    return replace(state, anchor=look, anchored_at=clock_seconds, saw_keyframe=False)


def _change(one: Look, other: Look) -> float:
    if one.pieces.shape != other.pieces.shape:
        return float("inf")
    import cv2

    size = one.pieces.size
    flat = [look.pieces.reshape(len(look.pieces), -1) for look in (one, other)]
    return float(cv2.norm(flat[0], flat[1], cv2.NORM_L1)) / max(1, size)


def _holding(state: HealthState, look: Look) -> set[Condition]:
    """The conditions that hold at this look, however long; of dark, covered and out of focus the first that does."""
    found = {Condition.FROZEN} if state.saw_keyframe and state.anchor is not look else set()
    past = state.past
    if look.bright < DARKEST:
        found.add(Condition.DARK)
    elif past.looks >= LOOKS_TO_KNOW and look.detail < DETAIL_LEFT * past.detail:
        is_covered = look.structure < STRUCTURE_LEFT * past.structure
        found.add(Condition.COVERED if is_covered else Condition.DEFOCUSED)
    return found


def _remembered(state: HealthState, look: Look, clock_seconds: float) -> Past:
    """The past with one more look: the mean of the first ones, later one that forgets."""
    past = state.past
    passed = 0.0 if state.looked_at is None else clock_seconds - state.looked_at
    weight = max(1 / (past.looks + 1), min(1.0, passed / MEMORY_SECONDS))
    return Past(
        past.detail + weight * (look.detail - past.detail),
        past.structure + weight * (look.structure - past.structure),
        past.looks + 1,
    )
