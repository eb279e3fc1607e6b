"""Shadow mode and canaries: what is spared, what of it is drawn, and that nothing else changes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from streamfilter import StreamFilter
from streamfilter.batch import Batch, Rules, StreamState
from streamfilter.canary import CanaryBlock, Sparing, block_of, draw, estimate, spare, would_drop
from streamfilter.errors import ConfigError
from streamfilter.frame import Cause, Decision, Frame, Reason, Signs, StreamEvent
from streamfilter.metrics import StreamMeter, Summary
from streamfilter.policy import Policy
from tests.models import brightness_model

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
