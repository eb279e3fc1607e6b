"""What is wrong with frames that are not useful, and with the camera they come from; as little work as that needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from streamfilter.causes import CauseModel, cause_of, take
from streamfilter.causes.sample import Sample
from streamfilter.causes.statistics import Steps
from streamfilter.errors import PictureError
from streamfilter.frame import Cause, Decision, Frame, Reason
from streamfilter.health import Condition, HealthRules, HealthState, Look, advance, is_due, with_keyframe

HOLD_SECONDS = 0.2
"""How long a cause serves for the frames that follow without a useful one in between."""
BRIGHT_SHARE = 0.98
CELLS = 12
JUDGED = (Reason.LOW_UTILITY, Reason.TAINTED, Reason.GAP_FLOOR)
"""Reasons of frames that were looked at and found of no use."""
SEEN_IN_TIME = {Condition.COVERED: Cause.COVERED, Condition.FROZEN: Cause.FROZEN}
"""Causes that no single picture shows."""
SEEN_AT_LAST = {Condition.DARK: Cause.DARK, Condition.DEFOCUSED: Cause.BLUR}
"""Causes that a single picture usually shows; where it does not, the stream's past does."""


@dataclass(frozen=True)
class Diagnosis:
    """What is looked for."""

    model: CauseModel | None = None
    """Tells causes by single pictures; None = no causes."""
    health: HealthRules = field(default_factory=lambda: HealthRules(0, 0, 0))


@dataclass(frozen=True, eq=False)
class DiagnosisState:
    """What the frames of one stream leave behind for the next."""

    health: HealthState = field(default_factory=HealthState)
    cause: Cause | None = None
    found_at: float | None = None
    """When `cause` was last measured, by the stream's clock; None when it serves no more."""


def examine(
    diagnosis: Diagnosis, state: DiagnosisState, frames: Sequence[Frame], decisions: Sequence[Decision]
) -> tuple[list[Decision], DiagnosisState]:
    """The decisions with the causes of those that are not useful, and the state for the frames that follow.

    Args:
        diagnosis: what is looked for.
        state: what the frames before left behind.
        frames: consecutive ones of one stream.
        decisions: one a frame.
    """
    explained = []
    for frame, decision in zip(frames, decisions, strict=True):
        state = replace(state, health=_health(diagnosis.health, state.health, frame, decision))
        if diagnosis.model is not None and _is_useless(decision) and frame.is_readable:
            state = _caused(diagnosis.model, state, frame, decision)
            decision = replace(decision, cause=_in_time(state))
        elif state.found_at is not None:
            state = replace(state, found_at=None)
        explained.append(decision)
    return explained, state


def look_at(sample: Sample) -> Look:
    """What a camera's health is judged by."""
    import cv2

    side = sample.luma.shape[1]
    rows = sample.luma.reshape(-1, side)
    halved = np.asarray(cv2.resize(rows, (side // 2, len(rows) // 2), interpolation=cv2.INTER_AREA), np.uint8)
    by_patch = np.sort(Steps.of(halved.reshape(-1, side // 2, side // 2)).by_patch())
    cells = cv2.resize(sample.overview, (CELLS, CELLS), interpolation=cv2.INTER_AREA)
    return Look(
        bright=float(np.quantile(sample.overview, BRIGHT_SHARE)),
        detail=float(by_patch[int(0.9 * len(by_patch))]),
        structure=Steps.of(np.asarray(cells, np.uint8)[None]).mean(),
        pieces=sample.luma,
    )


def _is_useless(decision: Decision) -> bool:
    return decision.spared is not None or decision.reason in JUDGED


def _health(rules: HealthRules, state: HealthState, frame: Frame, decision: Decision) -> HealthState:
    """The camera's state after a frame; what lost data may have hurt says nothing about the camera."""
    if not frame.is_readable or decision.damage is not None:
        return state
    if frame.native is None or frame.native.key_frame:
        state = with_keyframe(state)
    clock = frame.clock_seconds
    if clock is None or not is_due(rules, state, clock):
        return state
    try:
        sample = take(frame)
    except PictureError:
        return state
    return state if sample is None else advance(rules, state, look_at(sample), clock)


def _caused(model: CauseModel, state: DiagnosisState, frame: Frame, decision: Decision) -> DiagnosisState:
    """The state with the cause of this frame, measured unless it was just now."""
    if decision.damage:
        return replace(state, cause=Cause.DAMAGED, found_at=None)
    clock = frame.clock_seconds
    is_fresh = clock is not None and state.found_at is not None and 0 <= clock - state.found_at < HOLD_SECONDS
    return state if is_fresh else replace(state, cause=cause_of(frame, model), found_at=clock)


def _in_time(state: DiagnosisState) -> Cause | None:
    """The cause that the stream's past shows, else the one that the picture shows."""
    for condition, cause in SEEN_IN_TIME.items():
        if condition in state.health.open:
            return cause
    late = [cause for condition, cause in SEEN_AT_LAST.items() if condition in state.health.open]
    return state.cause or (late[0] if late else None)
