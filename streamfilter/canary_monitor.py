"""Whether a stream's drops are still what its profile promised: canaries, feedback on them, and the scores' drift."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import islice

from streamfilter.canary import BlockKey, CanaryBlock, block_of, estimate, is_unsound
from streamfilter.drift import WINDOW_BLOCKS, Drift, DriftMeter
from streamfilter.frame import Decision, Frame, StreamEvent
from streamfilter.policy import joint_utility
from streamfilter.profile import Profile
from streamfilter.trust import COUNTS, Trust

BLOCK_SECONDS = 60.0
"""Stretch of time whose frames are taken as alike."""
DAY_BLOCKS = 1440
"""Blocks that the estimate looks back on: a day, at a minute each."""
ALARM_CONFIDENCE = 0.999
"""Of the interval that has to lie above what was promised: it is looked at again and again, block after block."""
MOST_CANARIES = 10_000
MOST_KEPT = 2_000
"""Passed frames that may still be answered for; of more, the oldest are forgotten."""

FrameKey = tuple[str, int]


class CanaryMonitor:
    """Watches the decisions and the consumer's answers of one stream.

        monitor = CanaryMonitor("gate", profile)
        for frame, decision in StreamFilter(canary=0.01).filter("gate.mp4"):
            monitor.saw(frame, decision)
            if decision.keep:
                monitor.report(frame, useful=detect(frame.rgb))
        print(monitor.trust())

    Whether a frame is answered for must not depend on what is in it. Every method may be called from any thread.

    Args:
        name: of the stream, for the events.
        profile: what its thresholds promise, and the scores they were made on; None = nothing to compare with.
        task: which tasks count, as in `Settings.task`; None = as the profile says, or `any`.
        on_event: called with `bound_doubtful`, `bound_credible`, `drifted` and `settled`.
        block_seconds: stretch of time whose frames are taken as alike.
        look_back_blocks: how many blocks are looked back on; None = all.
    """

    def __init__(
        self,
        name: str,
        profile: Profile | None = None,
        task: str | None = None,
        on_event: Callable[[StreamEvent], object] = lambda event: None,
        block_seconds: float = BLOCK_SECONDS,
        look_back_blocks: int | None = DAY_BLOCKS,
    ) -> None:
        self._name, self._on_event = name, on_event
        self._task = task or (profile.task if profile else "any")
        self._promised = promised_lost_share(profile)
        self._block_seconds, self._look_back = block_seconds, look_back_blocks
        self._blocks: OrderedDict[BlockKey, CanaryBlock] = OrderedDict()
        self._unsound: OrderedDict[BlockKey, CanaryBlock] = OrderedDict()
        counted = (
            {name: own for name, own in profile.scores.items() if self._task in ("any", "all", name)} if profile else {}
        )
        self._meter = DriftMeter(counted, WINDOW_BLOCKS) if counted else None
        self._drift: Drift | None = None
        self._is_doubtful = False
        self._canaries, self._kept = _Passed(MOST_CANARIES), _Passed(MOST_KEPT)
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def saw(self, frame: Frame, decision: Decision) -> None:
        """Note one decided frame of the stream, kept or dropped."""
        key, utility = block_of(frame, self._block_seconds), decision.utility
        with self._lock:
            events = self._judge() if key not in self._blocks else []
            block = self._block(self._blocks, key)
            if is_unsound(decision):
                block = self._block(self._unsound, key)
            block.count(decision, 0.0 if utility is None else joint_utility(utility, self._task))
            if decision.keep:
                self._counts["passed"] += decision.spared is not None
                passed = self._kept if decision.spared is None else self._canaries
                passed.add((frame.input, frame.index), decision, block)
            # Damaged frames say how the line is, not how the camera is.
            if self._meter is not None and utility is not None and decision.damage is None:
                self._meter.saw(key, utility)
        self._tell(events)

    def report(self, frame: Frame, useful: bool) -> None:
        """Note that a frame that was passed, canary or not, was of use to the consumer after all, or was not."""
        key = (frame.input, frame.index)
        with self._lock:
            found = self._canaries.get(key) or self._kept.get(key)
            if found is None:
                self._counts["unknown"] += 1
            elif found.answer is not None:
                self._counts["repeated" if found.answer == useful else "contradicting"] += 1
            else:
                found.answer = useful
                found.block.answer(found.decision, useful)
                if found.decision.spared is None:
                    self._counts["kept_answered"] += 1
                else:
                    self._counts.update({"answered": 1, "wrongful": int(useful)})

    def look(self) -> None:
        """Judge bound and drift now, rather than when the next block begins."""
        with self._lock:
            events = self._judge()
        self._tell(events)

    def trust(self) -> Trust:
        """All that is known now."""
        with self._lock:
            blocks, unsound = ([replace(one) for one in kind.values()] for kind in (self._blocks, self._unsound))
            counts = {name: self._counts[name] for name in COUNTS}
            is_doubtful, drift = self._is_doubtful, self._drift
        return Trust(estimate(blocks), estimate(unsound), counts, self._promised, is_doubtful, drift)

    def _block(self, blocks: OrderedDict[BlockKey, CanaryBlock], key: BlockKey) -> CanaryBlock:
        block = blocks.setdefault(key, CanaryBlock())
        while self._look_back is not None and len(blocks) > self._look_back:
            blocks.popitem(last=False)
        return block

    def _judge(self) -> list[StreamEvent]:
        """What has changed, with the lock held."""
        return [StreamEvent(self._name, kind, detail) for kind, detail in (*self._judge_drift(), *self._judge_bound())]

    def _judge_drift(self) -> Iterable[tuple[str, str]]:
        before = self._drift is not None and self._drift.is_drifted
        self._drift = drift = self._meter.look() if self._meter else None
        if drift is not None and drift.is_drifted != before:
            moved = ", ".join(f"{task} {distance:.2f}" for task, distance in drift.distances.items())
            yield "drifted" if drift.is_drifted else "settled", f"distance of the scores from the profile's: {moved}"

    def _judge_bound(self) -> Iterable[tuple[str, str]]:
        if self._promised is None:
            return
        found = estimate(islice(reversed(self._blocks.values()), DAY_BLOCKS), ALARM_CONFIDENCE)
        if found.wrongful_rate is None:
            return
        lost, least = found.lost_share(found.wrongful_rate), found.lost_share(found.stream_interval[0])
        says = f"{found.wrongful} of {found.answered} canaries were useful: about {lost:.1%} of the useful frames lost"
        if not self._is_doubtful and least > self._promised:
            self._is_doubtful = True
            yield "bound_doubtful", f"{says}, at least {least:.1%}; promised was at most {self._promised:.1%}"
        elif self._is_doubtful and lost <= self._promised:
            self._is_doubtful = False
            yield "bound_credible", says

    def _tell(self, events: Iterable[StreamEvent]) -> None:
        for event in events:
            self._on_event(event)


@dataclass
class _Entry:
    """A passed frame that the consumer may answer for."""

    decision: Decision
    block: CanaryBlock
    answer: bool | None = None


class _Passed:
    """The last passed frames, by their names."""

    def __init__(self, most: int) -> None:
        self._entries: OrderedDict[FrameKey, _Entry] = OrderedDict()
        self._most = most

    def add(self, key: FrameKey, decision: Decision, block: CanaryBlock) -> None:
        self._entries[key] = _Entry(decision, block)
        if len(self._entries) > self._most:
            self._entries.popitem(last=False)

    def get(self, key: FrameKey) -> _Entry | None:
        return self._entries.get(key)


def promised_lost_share(profile: Profile | None) -> float | None:
    """Largest share of the useful frames that a profile allows to lose; None when it promises no such thing."""
    if profile is None or profile.bound.kind != "keep_useful" or profile.bound.confidence == 0:
        return None
    return 1 - profile.bound.target
