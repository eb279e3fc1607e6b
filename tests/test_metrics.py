"""Counters add up."""

from streamfilter.frame import Decision, Reason
from streamfilter.metrics import Summary


def test_every_frame_is_counted_once() -> None:
    summary = Summary()
    for keep, reason, times in (
        (True, Reason.USEFUL, 3),
        (True, Reason.GAP_FLOOR, 1),
        (False, Reason.LOW_UTILITY, 5),
        (False, Reason.UNREADABLE, 2),
    ):
        for _ in range(times):
            summary.count(Decision(keep, reason))
    assert (summary.frames_read, summary.frames_kept, summary.dropped_by_reason.total()) == (11, 4, 7)
    assert summary.as_dict()["dropped_by_reason"] == {"low_utility": 5, "unreadable": 2}
    assert str(summary).startswith(
        "11 frames read, 4 kept (useful 3, gap_floor 1), 7 dropped (low_utility 5, unreadable 2)"
    )
