"""Scores and clock in, keep or drop out. Pure: the state goes in and comes back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from streamfilter.errors import ConfigError
from streamfilter.frame import Reason

LEAST = 1e-6
"""Utilities nearer to 0 or 1 have no more certain log-odds."""


@dataclass(frozen=True)
class Policy:
    """What turns utilities into a decision.

    Raises:
        ConfigError: `task` needs a task without a threshold, or a value is out of range.
    """

    thresholds: Mapping[str, float]
    """Utility at or above which a frame is useful, for each task of the model, 0-1."""
    task: str = "any"
    """`any`: useful to one task is enough; `all`: useful to every one; or the one task that counts."""
    hysteresis: float = 0.0
    """After a kept frame the next is kept down to threshold - hysteresis, so that a score near it does not flicker."""
    max_gap_seconds: float = 10.0
    """Longest time without a kept frame before one is kept whatever its score; 0 = no floor."""

    taint_thresholds: Mapping[str, float] = field(default_factory=dict)
    """Utility at or above which a tainted frame is let through, for each task; without one none is."""
    max_damage: float = 1.0
    """A tainted frame of which a larger share was made up by the decoder is dropped whatever its score, 0-1."""

    def __post_init__(self) -> None:
        known = ("any", "all", *self.thresholds)
        if self.task not in known:
            raise ConfigError(f"task {self.task!r}: this model has {', '.join(known)}")

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that count."""
        return tuple(self.thresholds) if self.task in ("any", "all") else (self.task,)


@dataclass(frozen=True)
class PolicyState:
    """What a policy remembers of one stream between two frames."""

    kept_last: bool = False
    """Whether the last frame was kept for its score (a frame kept by the gap floor does not count)."""
    dark_since_seconds: float | None = None
    """Time of the last kept frame, or of the first frame when none was kept; None before the first time stamp."""


def decide(
    policy: Policy, state: PolicyState, utility: Mapping[str, float], clock_seconds: float | None
) -> tuple[bool, Reason, PolicyState]:
    """Keep or drop one frame.

    Args:
        policy: thresholds and rules.
        state: what the last frame of this stream left behind; `PolicyState()` at its start.
        utility: utility in [0, 1] for each task.
        clock_seconds: the frame's time; None when the stream has no clock, then the gap floor rests.

    Returns:
        Whether to keep the frame, the reason, and the state for the next one.
    """
    if is_useful(policy, utility):
        keep, reason = True, Reason.USEFUL
    elif state.kept_last and is_useful(policy, utility, policy.hysteresis):
        keep, reason = True, Reason.HYSTERESIS
    elif _is_blind(policy, state, clock_seconds):
        keep, reason = True, Reason.GAP_FLOOR
    else:
        keep, reason = False, Reason.LOW_UTILITY
    return keep, reason, _advance(state, keep, reason, clock_seconds)


def release(policy: Policy, utility: Mapping[str, float], damage: float) -> tuple[bool, Reason]:
    """Keep or drop one frame of a taint window; what was decided before does not matter, nor is there a gap floor.

    Args:
        policy: thresholds and rules.
        utility: utility in [0, 1] for each task.
        damage: share of the picture that the decoder made up since the window opened, 0-1.
    """
    reached = [utility[task] >= policy.taint_thresholds.get(task, 2.0) for task in policy.tasks]
    keep = damage <= policy.max_damage and (all(reached) if policy.task == "all" else any(reached))
    return keep, Reason.RELEASED if keep else Reason.TAINTED


def is_useful(policy: Policy, utility: Mapping[str, float], slack: float = 0.0) -> bool:
    """Whether the utilities reach the thresholds lowered by `slack`, under the policy's task rule."""
    reached = [utility[task] >= policy.thresholds[task] - slack for task in policy.tasks]
    return all(reached) if policy.task == "all" else any(reached)


def is_certain(policy: Policy, utility: Mapping[str, float], risk: float) -> bool:
    """Whether utilities that lie higher or lower would decide alike, after a dropped frame as after a kept one.

    Args:
        policy: thresholds and rules.
        utility: utility in [0, 1] for each task.
        risk: how far they may lie off, log-odds: a model near 0 or 1 moves little however much the picture changes.
    """
    lower, upper = ({task: _shifted(value, by) for task, value in utility.items()} for by in (-risk, risk))
    slacks = {0.0, policy.hysteresis}
    return all(is_useful(policy, lower, slack) == is_useful(policy, upper, slack) for slack in slacks)


def _shifted(utility: float, log_odds: float) -> float:
    inside = min(max(utility, LEAST), 1 - LEAST)
    odds = inside / (1 - inside) * math.exp(log_odds)
    return odds / (1 + odds)


def joint_utility(utility: Mapping[str, float], task: str) -> float:
    """The utility that a task rule goes by: the highest for `any`, the lowest for `all`, or the one task's."""
    if task in ("any", "all"):
        return (min if task == "all" else max)(utility.values(), default=0.0)
    return utility.get(task, 0.0)


def _is_blind(policy: Policy, state: PolicyState, clock_seconds: float | None) -> bool:
    if policy.max_gap_seconds <= 0 or clock_seconds is None or state.dark_since_seconds is None:
        return False
    return clock_seconds - state.dark_since_seconds >= policy.max_gap_seconds


def _advance(state: PolicyState, keep: bool, reason: Reason, clock_seconds: float | None) -> PolicyState:
    dark_since = state.dark_since_seconds
    went_back = clock_seconds is not None and dark_since is not None and clock_seconds < dark_since
    if clock_seconds is not None and (keep or dark_since is None or went_back):
        dark_since = clock_seconds
    return PolicyState(kept_last=keep and reason is not Reason.GAP_FLOOR, dark_since_seconds=dark_since)
