"""Taint windows: what opens and what closes them."""

import pytest

from streamfilter.frame import Reason, Signs
from streamfilter.integrity import IntegrityState, Soundness, inspect
from streamfilter.policy import Policy, release

SOUND, TAINTED, AWAITING = Soundness.SOUND, Soundness.TAINTED, Soundness.AWAITING_KEYFRAME
KEY = Signs(is_keyframe=True)
PLAIN = Signs()


def walk(*signs: Signs, grace_seconds: float = 10.0, step_seconds: float = 0.04) -> list[IntegrityState]:
    """The states that frames with these signs leave behind, one every 40 ms."""
    states, state = [], IntegrityState()
    for number, one in enumerate(signs):
        state = inspect(state, one, 100 + number * step_seconds, grace_seconds)
        states.append(state)
    return states


def soundness(*signs: Signs, **more: float) -> list[Soundness]:
    return [state.soundness for state in walk(*signs, **more)]


def test_frames_before_the_first_keyframe_wait_for_it():
    assert soundness(PLAIN, PLAIN, KEY, PLAIN) == [AWAITING, AWAITING, SOUND, SOUND]


def test_a_gap_taints_until_the_next_keyframe():
    assert soundness(KEY, Signs(gap=True), PLAIN, KEY, PLAIN) == [SOUND, TAINTED, TAINTED, SOUND, SOUND]


def test_an_error_taints_until_the_next_keyframe():
    assert soundness(KEY, Signs(errors=True), PLAIN, KEY) == [SOUND, TAINTED, TAINTED, SOUND]


def test_a_damaged_keyframe_closes_no_window():
    damaged = Signs(is_keyframe=True, errors=True)
    assert soundness(KEY, damaged, PLAIN, KEY) == [SOUND, TAINTED, TAINTED, SOUND]
    assert soundness(damaged, PLAIN, KEY) == [AWAITING, AWAITING, SOUND]


def test_what_is_missing_before_a_keyframe_may_be_missing_after_it():
    """The gap is noticed between the two frames, and either may be the one that lost data."""
    assert soundness(KEY, Signs(is_keyframe=True, gap=True), PLAIN, KEY) == [SOUND, SOUND, TAINTED, SOUND]


def test_a_reconnect_waits_for_a_keyframe_again():
    again = Signs(connection=1)
    assert soundness(KEY, PLAIN, again, Signs(connection=1, is_keyframe=True), again) == [
        SOUND, SOUND, AWAITING, SOUND, SOUND,
    ]  # fmt: skip


def test_a_stream_without_keyframes_counts_as_tainted_after_the_grace():
    assert soundness(*[PLAIN] * 4, grace_seconds=0.1) == [AWAITING, AWAITING, AWAITING, TAINTED]


def test_concealed_shares_add_up_until_a_keyframe():
    hurt = Signs(errors=True, concealed_share=0.4)
    states = walk(KEY, hurt, PLAIN, hurt, hurt, Signs(is_keyframe=True, errors=True, concealed_share=0.1), KEY)
    assert [state.damage for state in states] == pytest.approx([0, 0.4, 0.4, 0.8, 1.0, 0.1, 0.0])


@pytest.mark.parametrize(
    ("utility", "damage", "expected"),
    [
        (0.8, 0.0, Reason.RELEASED),
        (0.8, 0.2, Reason.RELEASED),
        (0.8, 0.21, Reason.TAINTED),
        (0.74, 0.0, Reason.TAINTED),
    ],
)
def test_a_tainted_frame_needs_the_stricter_threshold_and_little_damage(utility, damage, expected):
    policy = Policy({"detection": 0.5}, taint_thresholds={"detection": 0.75}, max_damage=0.2)
    assert release(policy, {"detection": utility}, damage) == (expected is Reason.RELEASED, expected)


def test_without_a_stricter_threshold_no_tainted_frame_passes():
    assert release(Policy({"detection": 0.5}), {"detection": 1.0}, 0.0) == (False, Reason.TAINTED)


def test_the_task_rule_holds_for_tainted_frames_too():
    stricter = {"classification": 0.75, "detection": 0.75}
    utility = {"classification": 0.9, "detection": 0.1}
    policies = {rule: Policy(stricter, task=rule, taint_thresholds=stricter) for rule in ("any", "all", "detection")}
    assert [release(policy, utility, 0.0)[0] for policy in policies.values()] == [True, False, False]
