"""The frames of one stream that are scored together: which of them have to be, and what becomes of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from streamfilter.diagnosis import Diagnosis, DiagnosisState, examine
from streamfilter.frame import Decision, Frame, Reason
from streamfilter.integrity import IntegrityState, Soundness, inspect
from streamfilter.policy import Policy, PolicyState, decide, release
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
    diagnosis: Diagnosis = field(default_factory=Diagnosis)


@dataclass(frozen=True)
class StreamState:
    """What the frames of one stream leave behind for the next."""

    policy: PolicyState = field(default_factory=PolicyState)
    integrity: IntegrityState = field(default_factory=IntegrityState)
    reference: Reference | None = None
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
        self._links, self._last, self._place = plan(state.reference, frames, self._sound(), rules.reuse)
        self._waiting = {index for index in range(len(frames)) if self._is_worth_scoring(index)}
        self._utilities: list[Utility | None] = [None] * len(frames)

    def missing(self) -> list[int]:
        """Places of the frames that have to be scored now."""
        return [index for index in sorted(self._waiting) if not self._takes_over(index, self._links[index])]

    def settle(self, index: int, utility: Utility | None) -> None:
        """Note what a frame scored; None = it could not be."""
        self._utilities[index], self._links[index] = utility, None
        self._waiting.discard(index)

    def judge(self) -> tuple[list[Decision], StreamState]:
        """A decision for each frame, and the state for the frames that follow."""
        decisions, memory = [], self._state.policy
        for index, (frame, seen, utility) in enumerate(zip(self.frames, self._integrity, self._utilities, strict=True)):
            soundness, damage = seen.soundness, seen.damage
            if frame.problem is not None or (utility is None and soundness is Soundness.SOUND):
                keep, reason = False, Reason.UNREADABLE
            elif soundness is Soundness.AWAITING_KEYFRAME:
                keep, reason = False, Reason.AWAITING_KEYFRAME
            elif soundness is Soundness.TAINTED:
                keep, reason = (
                    (False, Reason.TAINTED) if utility is None else release(self._rules.policy, utility, damage)
                )
            else:
                keep, reason, memory = decide(self._rules.policy, memory, utility or {}, frame.clock_seconds)
            shown = None if soundness is Soundness.SOUND else damage
            decisions.append(Decision(keep, reason, utility, shown, self._links[index] is not None))
        live = [seen for frame, seen in zip(self.frames, self._integrity, strict=True) if frame.signs is not None]
        integrity = live[-1] if live else self._state.integrity
        explained, diagnosis = examine(self._rules.diagnosis, self._state.diagnosis, self.frames, decisions)
        return explained, StreamState(memory, integrity, self._reference(), diagnosis)

    def _sound(self) -> list[bool]:
        return [seen.soundness is Soundness.SOUND for seen in self._integrity]

    def _is_worth_scoring(self, index: int) -> bool:
        """Whether the score can change what becomes of the frame."""
        seen = self._integrity[index]
        if seen.soundness is Soundness.TAINTED:
            return seen.damage <= self._rules.policy.max_damage
        return seen.soundness is Soundness.SOUND

    def _takes_over(self, index: int, link: Link | None) -> bool:
        """Whether a frame needs no score of its own, or may turn out not to."""
        if link is None:
            return False
        if link.reference is not None and link.reference in self._waiting:
            return True
        known = self._state.reference
        utility = (known.utility if known else None) if link.reference is None else self._utilities[link.reference]
        if not is_safe(utility, self._rules.policy.thresholds, link):
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
