"""Shadow mode and canaries: what is spared, what of it is drawn, and that nothing else changes."""

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from streamfilter import CanaryMonitor, StreamFilter
from streamfilter.batch import Batch, Rules, StreamState
from streamfilter.canary import CanaryBlock, Sparing, block_of, draw, estimate, spare, would_drop
from streamfilter.errors import ConfigError
from streamfilter.frame import Cause, Decision, Frame, Reason, Signs, StreamEvent
from streamfilter.metrics import StreamMeter, Summary
from streamfilter.policy import Policy
from streamfilter.profile import Bound
from tests.models import brightness_model
from tests.profiles import make_profile

PIXEL = np.zeros((1, 1, 3), np.uint8)
WHOLE, LOST = Signs(is_keyframe=True), Signs(gap=True)
SHADOW = Sparing(shadow=True)


def frame(index: int, signs: Signs | None = None, seconds: float | None = None) -> Frame:
    arrived = None if signs is None else index / 10
    return Frame(
        "cam", index, index / 10 if seconds is None else seconds, array=PIXEL, signs=signs, arrived_seconds=arrived
    )


def judged(
    frames: Sequence[Frame], scores: Sequence[float | None], sparing: Sparing, at_once: int = 3
) -> list[Decision]:
    """Frames in batches through the policy: threshold 0.5, hysteresis 0.1, a gap floor of a second."""
    policy = Policy({"detection": 0.5}, hysteresis=0.1, max_gap_seconds=1.0, taint_thresholds={"detection": 0.9})
    rules, state, decisions = Rules(policy, sparing=sparing), StreamState(), []
    for start in range(0, len(frames), 3):
        batch = Batch(rules, frames[start : start + 3], state)
        for index in batch.missing():
            score = scores[start + index]
            batch.settle(index, None if score is None else {"detection": score})
        found, state = batch.judge()
        decisions += found
    return decisions


FATES = [
    # score, signs; what becomes of it
    (0.9, None, "useful"),
    (0.45, None, "hysteresis"),
    (0.45, None, "hysteresis"),
    (0.1, None, "low_utility"),
    (0.45, None, "low_utility"),  # spared frames open no hysteresis
    (None, None, "unreadable"),
    *[(0.1, None, "low_utility")] * 6,
    (0.1, None, "gap_floor"),  # and do not reset the floor
    (0.45, None, "low_utility"),
]
LIVE = [
    (0.9, Signs(), "awaiting_keyframe"),
    (0.9, WHOLE, "useful"),
    (0.6, LOST, "tainted"),
    (0.95, Signs(), "released"),
    (None, Signs(), "tainted"),  # damaged and without pixels that can be read
    (0.45, WHOLE, "hysteresis"),  # taint windows leave the policy's memory alone
    (0.1, Signs(), "low_utility"),
]


@pytest.mark.parametrize("table", [FATES, LIVE])
@pytest.mark.parametrize("sparing", [SHADOW, Sparing(canary=0.5, seed=3), Sparing(True, 0.5), Sparing()])
def test_what_is_spared_changes_nothing_of_what_follows(table: list, sparing: Sparing) -> None:
    frames = [frame(index, signs) for index, (_, signs, _) in enumerate(table)]
    decisions = judged(frames, [score for score, _, _ in table], sparing)
    assert [str(decision.spared or decision.reason) for decision in decisions] == [fate for _, _, fate in table]
    for one, decision, (score, _, fate) in zip(frames, decisions, table, strict=True):
        has_pixels = score is not None
        can = fate in ("low_utility", "tainted", "awaiting_keyframe") and has_pixels
        is_canary = can and draw(sparing.seed, "cam", one.index) < sparing.canary
        assert (decision.reason is Reason.CANARY) == is_canary
        assert (decision.reason is Reason.SHADOW) == (can and sparing.shadow and not is_canary)
        assert (decision.spared is not None) == (decision.reason in (Reason.CANARY, Reason.SHADOW))
        if decision.spared:
            assert decision.keep


@pytest.mark.parametrize("reason", [Reason.STALE, Reason.OVERFLOW, Reason.OUTRANKED, Reason.STOPPED, Reason.UNREADABLE])
def test_frames_without_pixels_cannot_be_spared(reason: Reason) -> None:
    decision = Decision(keep=False, reason=reason)
    assert spare(SHADOW, frame(0), decision) is decision
    low = Decision(keep=False, reason=Reason.LOW_UTILITY)
    assert spare(SHADOW, frame(0).emptied(), low) is low
    assert spare(SHADOW, Frame("cam", 0, problem="cut"), low) is low


def test_all_else_that_is_known_of_a_frame_stays() -> None:
    low = Decision(False, Reason.LOW_UTILITY, {"detection": 0.1}, 0.3, True, cause=Cause.BLUR)
    spared = spare(SHADOW, frame(0), low)
    assert (spared.utility, spared.damage, spared.is_reused, spared.cause) == (
        {"detection": 0.1},
        0.3,
        True,
        Cause.BLUR,
    )


@pytest.mark.parametrize("share", [0.0, 0.01, 0.2, 1.0])
def test_the_draw_is_a_share_of_any_frames(share: float) -> None:
    drawn = np.array([draw(0, "rtsp://cam/a", index) < share for index in range(20_000)])
    spread = 4 * np.sqrt(share * (1 - share) / len(drawn))
    assert drawn.mean() == pytest.approx(share, abs=spread + 1e-12)
    assert drawn[::2].mean() == pytest.approx(share, abs=2 * spread + 1e-12)
    assert np.corrcoef(drawn[1:], drawn[:-1])[0, 1] < 0.03 if 0 < share < 1 else True


def test_the_draw_is_the_same_again_and_another_for_each_seed_and_stream() -> None:
    def canaries(seed: int, name: str) -> list[int]:
        return [index for index in range(3000) if draw(seed, name, index) < 0.1]

    assert canaries(0, "a") == canaries(0, "a")
    assert len({tuple(canaries(seed, name)) for seed in (0, 1) for name in ("a", "b", "\udcff.mp4")}) == 6


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return brightness_model(tmp_path_factory.mktemp("model") / "bright.onnx")


def test_the_same_frames_are_drawn_whatever_they_score(model: Path) -> None:
    frames = [frame(index) for index in range(200)]

    def canaries(threshold: float) -> list[int]:
        chosen = StreamFilter(model=str(model), device="cpu", threshold=threshold, canary=0.2, max_gap_seconds=0)
        decisions, _ = chosen.decide(frames, chosen.new_state())
        return [one.index for one, decision in zip(frames, decisions, strict=True) if decision.reason is Reason.CANARY]

    assert canaries(0.2) == canaries(1.0) != []


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"canary": 1.5}, "canary is 1.5"),
        ({"canary": float("nan")}, "canary is nan"),
        ({"shadow": "yes"}, "expected true or false"),
        ({"canary_seed": -1}, "canary_seed is -1"),
    ],
)
def test_nonsense_is_refused(settings: dict, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        StreamFilter(**settings)


def low(index: int, kept: bool = True) -> Decision:
    decision = Decision(False, Reason.LOW_UTILITY, {"detection": 0.2})
    return spare(SHADOW, frame(index), decision) if kept else decision


USEFUL = Decision(True, Reason.USEFUL, {"detection": 0.75, "classification": 0.5})


def test_an_estimate_worked_by_hand() -> None:
    blocks = [CanaryBlock(dropped=100, canaries=12, answered=10, wrongful=2, kept=60, kept_utility=40.0), CanaryBlock()]
    found = estimate(blocks)
    assert (found.dropped, found.canaries, found.answered, found.wrongful, found.blocks) == (100, 12, 10, 2, 1)
    assert found.wrongful_rate == 0.2
    assert found.lost_share(0.2) == pytest.approx(20 / 60)
    assert (found.useful_kept, found.useful_kept_from) == (40.0, "utility")
    blocks.append(CanaryBlock(kept=20, kept_utility=5.0, kept_answered=4, kept_useful=1))
    found = estimate(blocks)
    assert (found.useful_kept, found.useful_kept_from) == (20.0, "feedback")
    assert estimate([]).wrongful_rate is None
    assert estimate([]).lost_share(0.0) == 0


def test_answers_are_counted_once_and_others_for_what_they_are() -> None:
    monitor = CanaryMonitor("cam", task="any")
    for index in range(10):
        monitor.saw(frame(index), low(index, kept=index < 4))
    monitor.saw(frame(10), USEFUL)
    for index, useful in ((0, True), (1, False), (1, False), (0, False), (7, True), (99, True), (10, True)):
        monitor.report(frame(index), useful)
    trust = monitor.trust()
    assert trust.counts == {
        "passed": 4, "answered": 2, "wrongful": 1, "kept_answered": 1, "unknown": 2, "repeated": 1, "contradicting": 1
    }  # fmt: skip
    assert (trust.canary.dropped, trust.canary.canaries, trust.canary.wrongful_rate) == (10, 4, 0.5)
    assert trust.is_credible is None
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


def test_frames_lost_on_the_way_are_no_canaries() -> None:
    stale = Decision(False, Reason.STALE, spared=Reason.LOW_UTILITY)
    assert would_drop(stale)
    assert not would_drop(Decision(keep=False, reason=Reason.STALE))
    block = CanaryBlock()
    block.count(stale, 0.1)
    block.count(Decision(keep=False, reason=Reason.OVERFLOW), 0.0)
    assert (block.dropped, block.canaries, block.kept) == (1, 0, 0)


def test_pictures_have_blocks_without_a_clock() -> None:
    def picture(index: int) -> Frame:
        return Frame(f"{index}.jpg", index, None, array=PIXEL)

    assert [block_of(picture(index), 60) for index in (0, 24, 25)] == [("", 0), ("", 0), ("", 1)]
    assert block_of(frame(0, seconds=121.0), 60) == ("cam", 2)


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


def test_summaries_count_what_was_spared() -> None:
    summary = Summary()
    for decision in (low(0), low(1), USEFUL, low(2, kept=False), Decision(False, Reason.STALE, spared=Reason.TAINTED)):
        summary.count(decision)
    assert summary.as_dict()["spared_by_reason"] == {"low_utility": 2}
    assert str(summary).startswith(
        "5 frames read, 3 kept (shadow 2, useful 1), 2 dropped (low_utility 1, stale 1), 2 spared (low_utility 2); "
    )


def test_a_stream_goes_on_playing_when_its_bound_is_doubted() -> None:
    meter = StreamMeter("cam", "rtsp://cam/a")
    meter.heard(StreamEvent("cam", "playing", ""))
    meter.heard(StreamEvent("cam", "bound_doubtful", "too much is lost"))
    assert meter.state == "playing"
