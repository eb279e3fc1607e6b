"""What is remembered of a stream, against numbers worked by hand; and that it stays bounded."""

import time

import pytest

from streamfilter.frame import Decision, Frame, Reason
from streamfilter.monitor.ring import HISTORY_SECONDS, MOST_EVENTS, MOST_SHOTS, Ring, Shot

USEFUL = Decision(keep=True, reason=Reason.USEFUL, utility={"a": 0.8, "b": 0.4})
USELESS = Decision(keep=False, reason=Reason.LOW_UTILITY, utility={"a": 0.2, "b": 0.1})
STALE = Decision(keep=False, reason=Reason.STALE)
TAINTED = Decision(keep=False, reason=Reason.TAINTED)


def shot(number: int) -> Shot:
    return Shot(str(number), 0.0, number, None, "low_utility", False, None, {"a": 1 / 3}, b"jpeg")


def frame(arrived: float | None = None) -> Frame:
    return Frame("cam", 0, arrived_seconds=arrived, is_emptied=True)


def test_a_second_holds_mean_scores_and_what_became_of_its_frames():
    ring = Ring()
    ring.looked([USEFUL, USELESS, STALE], 100.2)
    ring.counted(frame(), USEFUL, 100.5)
    ring.counted(frame(), USELESS, 100.9)
    ring.looked([TAINTED], 103.0)
    ring.counted(frame(), TAINTED, 103.0)
    assert ring.points(0) == [[100, {"a": 0.5, "b": 0.25}, 1, 1, False], [103, {}, 0, 1, True]]
    assert ring.points(101) == [[103, {}, 0, 1, True]]
    assert ring.totals == {"frames_read": 3, "frames_kept": 1}


def test_a_thread_that_comes_late_counts_for_the_newest_second():
    ring = Ring()
    ring.looked([USEFUL], 101.0)
    ring.counted(frame(), USEFUL, 100.9)
    assert ring.points(0) == [[101, {"a": 0.8, "b": 0.4}, 1, 0, False]]


def test_rates_are_of_the_last_minute_by_reason():
    ring = Ring()
    for second in range(100):
        ring.counted(frame(), USEFUL if second % 4 else USELESS, second + 0.5)
        ring.counted(frame(), STALE, second + 0.6)
    assert ring.rates(100.0) == {
        "seconds": 60,
        "kept": {"useful": 45},
        "dropped": {"stale": 59, "low_utility": 14},
    }
    assert ring.rates(1000.0)["kept"] == {}


def test_rates_of_a_young_stream_are_of_its_life():
    ring = Ring()
    assert ring.rates(5.0) == {"seconds": 1.0, "kept": {}, "dropped": {}}
    ring.counted(frame(), USEFUL, 5.0)
    assert ring.rates(15.0)["seconds"] == 10


@pytest.mark.parametrize(("count", "p50", "p95"), [(1, 10, 10), (2, 10, 20), (20, 100, 190), (100, 500, 950)])
def test_latencies_are_nearest_ranks_of_kept_frames(count, p50, p95):
    ring = Ring()
    for place in range(count):
        ring.counted(frame(50.0), USEFUL, 50.0 + 0.01 * (place + 1))
        ring.counted(frame(0.0), USELESS, 50.0)
        ring.counted(frame(None), USEFUL, 50.0)
    assert ring.latency(52.0) == {"p50": p50, "p95": p95}
    assert ring.latency(1000.0) is None


def test_nothing_grows_for_ever():
    ring = Ring()
    for second in range(HISTORY_SECONDS * 3):
        ring.looked([USEFUL], float(second))
        ring.heard("waiting", f"{second}", time.time())
        ring.pictured(shot(second))
    last = HISTORY_SECONDS * 3 - 1
    assert [point[0] for point in ring.points(0)] == list(range(last - HISTORY_SECONDS + 1, last + 1))
    assert [event["detail"] for event in ring.events] == [str(last - MOST_EVENTS + 1 + i) for i in range(MOST_EVENTS)]
    assert [one.index for one in ring.shots] == list(range(last - MOST_SHOTS + 1, last + 1))


def test_a_shot_is_told_without_its_picture():
    told = shot(3).as_dict()
    assert told["utility"] == {"a": 0.3333}
    assert "jpeg" not in told
