"""The frames of one stream that are scored together: which of them have to be, and what becomes of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from streamfilter.canary import Sparing, spare
from streamfilter.checks import Checks, is_drawn, learn
from streamfilter.diagnosis import Diagnosis, DiagnosisState, examine
from streamfilter.frame import Decision, Frame, Reason
from streamfilter.integrity import IntegrityState, Soundness, inspect
from streamfilter.policy import Policy, PolicyState, decide, is_useful, release
from streamfilter.profile import Profile
from streamfilter.reuse import Link, Reference, is_safe, plan
from streamfilter.stream_config import LiveSettings

Utility = Mapping[str, float]


@dataclass(frozen=True)
class Rules:
    """What decides on the frames of one stream."""

    policy: Policy
    live: LiveSettings = field(default_factory=LiveSettings)
    reuse: float = 0.0
    """Mean change, grey levels, up to which a frame takes over the utility of one scored before; 0 = none does."""
    error_budget: float = 1.0
    """Share of taken-over decisions that may differ from the frame's own, 0-1; 1 = none is checked."""
    sparing: Sparing = field(default_factory=Sparing)
    """Which frames that would be dropped are kept."""
    profile: Profile | None = None
    """What the thresholds promise, and the scores they were made on; None when they promise nothing."""
    diagnosis: Diagnosis = field(default_factory=Diagnosis)


@dataclass(frozen=True)
class StreamState:
    """What the frames of one stream leave behind for the next."""

    policy: PolicyState = field(default_factory=PolicyState)
    integrity: IntegrityState = field(default_factory=IntegrityState)
    reference: Reference | None = None
    checks: Checks = field(default_factory=Checks)
    diagnosis: DiagnosisState = field(default_factory=DiagnosisState)


class Batch:
    """Consecutive frames of one stream on their way to a decision each.

    First `missing` frames are scored and settled, then those that are missing now: whether a frame may take over a
    utility is known once that one is. Then `judge`.

    Args:
        rules: of the stream.
        frames: readable and unreadable ones, in order.
        state: what the frames before left behind.
    """

    def __init__(self, rules: Rules, frames: Sequence[Frame], state: StreamState) -> None:
        self.frames = frames
        self._rules, self._state = rules, state
        self._integrity = _look(rules, frames, state.integrity)
        change = rules.reuse * state.checks.share
        self._links, self._last, self._place = plan(state.reference, frames, self._sound(), change)
        self._checks = self._draw_checks()
        self._waiting = {index for index in range(len(frames)) if self._is_worth_scoring(index)}
        self._utilities: list[Utility | None] = [None] * len(frames)
        self._unreadable = {index for index, frame in enumerate(frames) if not frame.is_readable}

    def missing(self) -> list[int]:
        """Places of the frames that have to be scored now."""
        return [index for index in sorted(self._waiting) if not self._takes_over(index, self._links[index])]

    def settle(self, index: int, utility: Utility | None) -> None:
        """Note what a frame scored; None = it could not be."""
        if utility is None:
            self._unreadable.add(index)
        self._utilities[index], self._links[index] = utility, None
        self._waiting.discard(index)

    def judge(self) -> tuple[list[Decision], StreamState]:
        """A decision for each frame, and the state for the frames that follow.

        The state is that of a stream whose spared frames were dropped: sparing changes nothing of what follows.
        """
        decisions, memory, checks = [], self._state.policy, self._state.checks
        for index, frame in enumerate(self.frames):
            decision, memory = self._judge(index, memory)
            if decision.reuse_agrees is not None:
                checks = learn(checks, decision.reuse_agrees, self._rules.error_budget)
            has_pixels = index not in self._unreadable
            decisions.append(spare(self._rules.sparing, frame, decision) if has_pixels else decision)
        live = [seen for frame, seen in zip(self.frames, self._integrity, strict=True) if frame.signs is not None]
        integrity = live[-1] if live else self._state.integrity
        explained, diagnosis = examine(self._rules.diagnosis, self._state.diagnosis, self.frames, decisions)
        return explained, StreamState(memory, integrity, self._reference(), checks, diagnosis)

    def _judge(self, index: int, memory: PolicyState) -> tuple[Decision, PolicyState]:
        """What the rules say of one frame, and what the policy remembers after it."""
        frame, seen, utility = self.frames[index], self._integrity[index], self._utilities[index]
        if frame.problem is not None or (utility is None and seen.soundness is Soundness.SOUND):
            keep, reason = False, Reason.UNREADABLE
        elif seen.soundness is Soundness.AWAITING_KEYFRAME:
            keep, reason = False, Reason.AWAITING_KEYFRAME
        elif seen.soundness is Soundness.TAINTED:
            keep, reason = False, Reason.TAINTED
            if utility is not None:
                keep, reason = release(self._rules.policy, utility, seen.damage)
        else:
            keep, reason, memory = decide(self._rules.policy, memory, utility or {}, frame.clock_seconds)
        damage = None if seen.soundness is Soundness.SOUND else seen.damage
        return Decision(keep, reason, utility, damage, self._links[index] is not None, self._agrees(index)), memory

    def _sound(self) -> list[bool]:
        return [seen.soundness is Soundness.SOUND for seen in self._integrity]

    def _is_worth_scoring(self, index: int) -> bool:
        """Whether the score can change what becomes of the frame."""
        seen = self._integrity[index]
        if seen.soundness is Soundness.TAINTED:
            return seen.damage <= self._rules.policy.max_damage
        return seen.soundness is Soundness.SOUND

    def _draw_checks(self) -> dict[int, Link]:
        """Frames that are scored although they could take a utility over, and whose it would be."""
        if self._rules.error_budget >= 1:
            return {}
        linked = ((index, link) for index, link in enumerate(self._links) if link is not None)
        checks = {index: link for index, link in linked if is_drawn(self.frames[index].input, self.frames[index].index)}
        for index in checks:
            self._links[index] = None
        return checks

    def _agrees(self, index: int) -> bool | None:
        """Whether a checked frame's own utility decides as the one it would have taken over; None when unchecked."""
        link, own = self._checks.get(index), self._utilities[index]
        other = None if link is None else self._known(link)
        if link is None or own is None or other is None or not is_safe(other, self._rules.policy, link):
            return None
        return is_useful(self._rules.policy, own) == is_useful(self._rules.policy, other)

    def _known(self, link: Link) -> Utility | None:
        """The utility of the frame that a link leads to, when it is settled."""
        if link.reference is not None:
            return self._utilities[link.reference]
        return self._state.reference.utility if self._state.reference else None

    def _takes_over(self, index: int, link: Link | None) -> bool:
        """Whether a frame needs no score of its own, or may turn out not to."""
        if link is None:
            return False
        if link.reference is not None and link.reference in self._waiting:
            return True
        utility = self._known(link)
        if not is_safe(utility, self._rules.policy, link):
            return False
        self._utilities[index] = utility
        self._waiting.discard(index)
        return True

    def _reference(self) -> Reference | None:
        if self._last is None or self._place is None:
            return self._last
        return replace(self._last, utility=self._utilities[self._place])


def _look(rules: Rules, frames: Sequence[Frame], state: IntegrityState) -> list[IntegrityState]:
    """What is known of each frame before it is scored; files are taken as sound."""
    seen = []
    for frame in frames:
        if frame.signs is None:
            seen.append(IntegrityState(Soundness.SOUND))
            continue
        state = inspect(state, frame.signs, frame.arrived_seconds or 0.0, rules.live.grace_seconds)
        seen.append(state)
    return seen
