"""A live stream's clock runs on, whatever its stamps do."""

import itertools

import pytest

from streamfilter.sources.timeline import LEAST_STEP_SECONDS, Timeline


def place(stamps, arrivals):
    timeline = Timeline()
    return [timeline.place(*pair) for pair in zip(stamps, arrivals, strict=True)]


def test_regular_stamps_keep_their_distances():
    placed = place([90.0, 90.04, 90.08], [5.0, 5.05, 5.07])
    assert [seconds for seconds, _ in placed] == pytest.approx([0.0, 0.04, 0.08])
    assert not any(jumped for _, jumped in placed)


@pytest.mark.parametrize("jump", [3600.0, -3600.0, -47721.9])
def test_a_jump_is_told_and_bridged_by_the_arrival(jump):
    placed = place([50_000.0, 50_000.04, 50_000.08 + jump, 50_000.12 + jump], [1.0, 1.04, 1.08, 1.12])
    assert [seconds for seconds, _ in placed] == pytest.approx([0.0, 0.04, 0.08, 0.12])
    assert [jumped for _, jumped in placed] == [False, False, True, False]


def test_small_steps_back_and_missing_stamps_still_go_forward():
    seconds = [one for one, _ in place([10.0, 9.99, None, 10.08], [1.0, 1.04, 1.08, 1.12])]
    assert seconds == sorted(set(seconds))
    assert seconds[1] == pytest.approx(LEAST_STEP_SECONDS)


def test_frames_that_came_at_once_can_be_told_apart():
    seconds = [one for one, _ in place([10.0, 10.0000003, 10.0000006, 10.5], [1.0, 1.0, 1.0, 1.5])]
    assert seconds == pytest.approx([0.0, LEAST_STEP_SECONDS, 2 * LEAST_STEP_SECONDS, 0.5])


def test_a_reconnect_goes_on_where_the_clock_would_be():
    timeline = Timeline()
    timeline.place(7.0, 100.0)
    timeline.interrupt()
    assert timeline.place(0.0, 130.0) == (pytest.approx(30.0), False)
    assert timeline.place(0.04, 130.05) == (pytest.approx(30.04), False)


def test_frames_of_a_segment_that_came_at_once_are_early():
    timeline = Timeline()
    timeline.place(0.0, 10.0)
    assert timeline.early_seconds(2.0, 10.5) == pytest.approx(1.5)
    assert timeline.early_seconds(0.5, 10.5) == 0.0


def paced(timeline, stamps, arrivals, overshoot_seconds):
    """When each frame goes on if every wait lasts a little too long."""
    gone = []
    for stamp, arrived in zip(stamps, arrivals, strict=True):
        now = max([arrived, *gone[-1:]])
        early = timeline.early_seconds(stamp, now)
        now += early + overshoot_seconds * (early > 0)
        timeline.place(stamp, now)
        gone.append(now)
    return gone


def test_waits_that_last_too_long_do_not_add_up():
    stamps = [number / 25 for number in range(500)]
    gone = paced(Timeline(), stamps, [100.0] * 500, 0.005)
    assert gone[-1] - gone[0] == pytest.approx(stamps[-1], abs=0.02)


def test_what_follows_a_late_segment_is_not_hurried_after_it():
    stamps = [number / 25 for number in range(100)]
    gone = paced(Timeline(), stamps, [100.0] * 50 + [105.0] * 50, 0.0)
    steps = [after - before for before, after in itertools.pairwise(gone)]
    assert steps[:49] == pytest.approx([0.04] * 49)
    assert steps[50:] == pytest.approx([0.04] * 49)
