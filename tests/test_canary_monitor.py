"""What the monitor of a stream knows of answers, the bound and drift, and when it says so."""

import json
import threading

import numpy as np
import pytest

from streamfilter import CanaryMonitor
from streamfilter.canary import spare
from streamfilter.frame import Decision, Reason, StreamEvent
from streamfilter.profile import Bound
from tests.profiles import make_profile
from tests.test_canary import SHADOW, USEFUL, frame, low


def test_answers_are_counted_once_and_others_for_what_they_are() -> None:
    monitor = CanaryMonitor("cam", task="any")
    for index in range(10):
        monitor.saw(frame(index), low(index, kept=index < 4))
    monitor.saw(frame(10), USEFUL)
    for index, useful in ((0, True), (1, False), (1, False), (0, False), (7, True), (99, True), (10, True)):
        monitor.report(frame(index), np.bool_(useful))
    trust = monitor.trust()
    assert trust.counts == {
        "passed": 4, "answered": 2, "wrongful": 1, "kept_answered": 1, "unknown": 2, "repeated": 1, "contradicting": 1
    }  # fmt: skip
    assert (trust.canary.dropped, trust.canary.canaries, trust.canary.wrongful_rate) == (10, 4, 0.5)
    assert trust.is_credible is None
    assert json.loads(json.dumps(trust.as_dict()))["wrongful"] == 1
    assert "1 of 2 answered canaries useful: 50.0% of the drops wrongful (10.0% to 90.0%)" in str(trust)


def test_what_the_line_did_is_kept_apart_from_what_scores_do() -> None:
    monitor = CanaryMonitor("cam", make_profile())
    for index in range(60):
        one, lost = frame(index, seconds=60.0 * index), Decision(False, Reason.TAINTED, damage=0.1)
        monitor.saw(one, spare(SHADOW, one, lost))
        monitor.report(one, useful=True)
        monitor.saw(frame(100 + index, seconds=60.0 * index), USEFUL)
    monitor.look()
    trust = monitor.trust()
    assert (trust.unsound.dropped, trust.unsound.wrongful_rate, trust.counts["wrongful"]) == (60, 1.0, 60)
    assert (trust.canary.dropped, trust.canary.kept, trust.is_bound_doubtful) == (0, 60, False)
    assert trust.as_dict()["unsound"]["interval_95"] == [1, 1]


def test_only_so_many_frames_wait_for_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamfilter.canary_monitor.MOST_CANARIES", 3)
    monitor = CanaryMonitor("cam", look_back_blocks=2)
    for index in range(10):
        monitor.saw(frame(index, seconds=60.0 * index), low(index))
    for index in range(10):
        monitor.report(frame(index), useful=True)
    trust = monitor.trust()
    assert (trust.counts["unknown"], trust.counts["answered"]) == (7, 3)
    assert (trust.canary.dropped, trust.canary.answered) == (2, 2)


def minutes(monitor: CanaryMonitor, count: int, wrongful: float, first: int = 0, score: float = 0.75) -> None:
    """Each minute 20 kept frames and 20 canaries, so many of which were useful."""
    for minute in range(first, first + count):
        for number in range(40):
            one = frame(40 * minute + number, seconds=60.0 * minute + number)
            monitor.saw(one, low(one.index) if number < 20 else Decision(True, Reason.USEFUL, {"detection": score}))
            monitor.report(one, number >= 20 or number < 20 * wrongful)


def test_the_bound_is_doubted_when_too_much_is_lost_and_trusted_again_once_it_is_kept() -> None:
    events: list[StreamEvent] = []
    bound = Bound("keep_useful", 0.9, 0.95, 100, 10.0, 1000, 0.95, 0.2)
    monitor = CanaryMonitor("cam", make_profile(bound=bound), on_event=events.append)
    minutes(monitor, 30, 0.05)  # a useful one in twenty drops: 1 / 21 of the useful lost, a tenth is allowed
    assert monitor.trust().is_credible
    assert [event.kind for event in events if event.kind.startswith("bound")] == []
    minutes(monitor, 60, 0.3, first=30)
    assert monitor.trust().is_bound_doubtful
    assert not monitor.trust().is_credible
    minutes(monitor, 200, 0.0, first=90)
    told = [event for event in events if event.kind.startswith("bound")]
    assert [event.kind for event in told] == ["bound_doubtful", "bound_credible"]
    assert "promised was at most 10.0%" in told[0].detail
    assert told[0].stream == "cam"


@pytest.mark.parametrize(("kind", "confidence"), [("keep_rate", 0.0), ("confident_errors", 0.95)])
def test_a_profile_that_promises_no_share_of_useful_frames_is_not_doubted(kind: str, confidence: float) -> None:
    monitor = CanaryMonitor("cam", make_profile(bound=Bound(kind, 0.9, confidence, 100, 10.0, 1000, 0.95, 0.2)))
    minutes(monitor, 20, 1.0)
    assert monitor.trust().promised_lost_share is None
    assert not monitor.trust().is_bound_doubtful


def test_a_calm_stream_that_keeps_its_promise_raises_no_alarm() -> None:
    """As much is lost as was promised, in bursts of minutes; looked at after each of 300."""
    events: list[StreamEvent] = []
    bound = Bound("keep_useful", 0.9, 0.95, 100, 10.0, 1000, 0.95, 0.2)
    monitor = CanaryMonitor("cam", make_profile(bound=bound), on_event=events.append)
    random = np.random.default_rng(2)
    for minute in range(300):
        rate = random.beta(0.4, 3.2)  # 1 / 9 of the canaries on average, with 9 of 10 kept ones useful: 10 % lost
        for number in range(6):
            one = frame(6 * minute + number, seconds=60.0 * minute + number)
            monitor.saw(one, low(one.index) if number < 3 else Decision(True, Reason.USEFUL, {"detection": 0.9}))
            if number < 3:
                monitor.report(one, bool(random.random() < 0.9 * rate))
    assert [event.kind for event in events if event.kind == "bound_doubtful"] == []


def test_drift_is_told_once_and_damaged_frames_are_left_out() -> None:
    events: list[StreamEvent] = []
    monitor = CanaryMonitor("cam", make_profile(), on_event=events.append)
    random = np.random.default_rng(1)
    for index, score in enumerate(random.random(1800)):
        monitor.saw(frame(index, seconds=float(index)), Decision(True, Reason.USEFUL, {"detection": score}))
        damaged = Decision(False, Reason.TAINTED, {"detection": 0.0}, damage=0.3)
        monitor.saw(frame(10_000 + index, seconds=float(index)), damaged)
    assert monitor.trust().drift is not None
    assert events == []
    for index in range(1800, 5400):
        monitor.saw(frame(index, seconds=float(index)), Decision(True, Reason.USEFUL, {"detection": 0.99}))
    assert [event.kind for event in events] == ["drifted"]
    assert monitor.trust().is_credible is False
    assert monitor.trust().as_dict()["drift"]["is_drifted"] is True


def test_a_task_that_does_not_count_does_not_drift() -> None:
    scores = {"detection": tuple(np.linspace(0, 1, 21)), "classification": tuple(np.linspace(0.9, 1, 21))}
    monitor = CanaryMonitor("cam", make_profile(scores=scores))
    for index, score in enumerate(np.random.default_rng(1).random(1800)):
        utility = {"detection": score, "classification": 0.1}
        monitor.saw(frame(index, seconds=float(index)), Decision(True, Reason.USEFUL, utility))
    drift = monitor.trust().drift
    assert drift is not None
    assert set(drift.distances) == {"detection"}
    assert not drift.is_drifted


def test_answers_may_come_from_other_threads() -> None:
    monitor = CanaryMonitor("cam")
    for index in range(2000):
        monitor.saw(frame(index), low(index))
    threads = [
        threading.Thread(target=lambda: [monitor.report(frame(index), useful=True) for index in range(2000)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (monitor.trust().counts["answered"], monitor.trust().counts["repeated"]) == (2000, 6000)
