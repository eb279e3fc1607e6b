"""What a slow consumer gets, and that every frame is accounted for."""

import threading
import time
from collections import Counter

import numpy as np
import pytest

from streamfilter.delivery import Delivery
from streamfilter.errors import OutputError
from streamfilter.frame import Decision, Frame, Reason
from streamfilter.stream_config import LiveSettings

WAIT_SECONDS = 10.0
GREY = np.zeros((4, 4, 3), np.uint8)


class GateSink:
    """Takes a frame only when it is let; remembers everything."""

    def __init__(self) -> None:
        self.gate = threading.Semaphore(0)
        self.entered = threading.Semaphore(0)
        self.got: list[tuple[int, bool, Reason, bool]] = []
        self.ending = ""

    def write(self, frame: Frame, decision: Decision) -> None:
        self.got.append((frame.index, decision.keep, decision.reason, frame.is_readable))
        if decision.keep:
            self.entered.release()
            assert self.gate.acquire(timeout=WAIT_SECONDS)

    def close(self) -> None:
        self.ending = "closed"

    def abort(self) -> None:
        self.ending = "aborted"


def frame(index: int, arrived: float | None = None) -> Frame:
    return Frame("cam", index, index / 25, array=GREY, arrived_seconds=time.monotonic() if arrived is None else arrived)


KEPT, DROPPED = (
    Decision(True, Reason.USEFUL, {"detection": 0.9}),
    Decision(False, Reason.LOW_UTILITY, {"detection": 0.1}),
)


def useful(utility: float) -> Decision:
    return Decision(True, Reason.USEFUL, {"detection": utility})


class Bench:
    """A delivery into a gated sink, and the final decisions it told."""

    def __init__(self, **live) -> None:
        self.sink = GateSink()
        self.final: list[tuple[int, Reason]] = []
        self.now = 100.0
        settings = LiveSettings(**{"staleness_seconds": 1.0, **live})
        self.delivery = Delivery(
            "cam", [self.sink], settings, lambda decision: (decision.utility or {}).get("detection", 0.0),
            lambda one, decision: self.final.append((one.index, decision.reason)), clock=lambda: self.now,
        )  # fmt: skip

    def put(self, index: int, decision: Decision = KEPT, age: float = 0.0) -> None:
        self.delivery.put(frame(index, self.now - age), decision)

    def enter(self) -> None:
        """Wait until the sink has a kept frame in hand."""
        assert self.sink.entered.acquire(timeout=WAIT_SECONDS)

    def close(self) -> list[tuple[int, Reason]]:
        for _ in range(1000):
            self.sink.gate.release()
        self.delivery.close(WAIT_SECONDS)
        assert sorted(index for index, _ in self.final) == list(range(len(self.final)))
        assert [index for index, *_ in self.sink.got] == sorted(index for index, *_ in self.sink.got)
        return sorted(self.final)


def test_a_quick_consumer_gets_every_kept_frame_in_order():
    bench = Bench()
    for index in range(20):
        bench.put(index, KEPT if index % 2 else DROPPED)
    final = bench.close()
    assert [reason for _, reason in final] == [Reason.LOW_UTILITY, Reason.USEFUL] * 10
    assert bench.sink.ending == "closed"
    assert [readable for _, keep, _, readable in bench.sink.got] == [keep for _, keep, *_ in bench.sink.got]


def test_bounded_drops_what_is_older_than_the_bound():
    bench = Bench()
    bench.put(0)
    bench.enter()
    bench.put(1)
    bench.put(2)
    bench.now += 1.5
    bench.put(3)
    final = bench.close()
    assert [reason for _, reason in final] == [Reason.USEFUL, Reason.STALE, Reason.STALE, Reason.USEFUL]


def test_the_oldest_go_when_there_are_too_many():
    bench = Bench(queue_frames=2)
    bench.put(0)
    bench.enter()
    for index in range(1, 6):
        bench.put(index)
    final = dict(bench.close())
    assert [index for index, reason in final.items() if reason is Reason.OVERFLOW] == [1, 2, 3]


def test_latest_delivers_the_newest():
    bench = Bench(backpressure="latest")
    bench.put(0)
    bench.enter()
    for index in range(1, 5):
        bench.put(index)
    final = dict(bench.close())
    assert [index for index, reason in final.items() if reason is Reason.USEFUL] == [0, 4]


def test_priority_delivers_the_most_useful_of_the_moment():
    bench = Bench(backpressure="priority")
    bench.put(0)
    bench.enter()
    for index, utility in enumerate((0.6, 0.95, 0.7, 0.8), start=1):
        bench.put(index, useful(utility))
    final = bench.close()
    assert [reason for _, reason in final] == [
        Reason.USEFUL, Reason.OUTRANKED, Reason.USEFUL, Reason.OUTRANKED, Reason.USEFUL,
    ]  # fmt: skip


def test_wait_drops_nothing_and_says_when_it_is_full():
    bench = Bench(backpressure="wait", queue_frames=3)
    bench.put(0)
    bench.enter()
    for index in range(1, 4):
        assert bench.delivery.has_room
        bench.put(index)
    assert not bench.delivery.has_room
    bench.now += 100
    assert {reason for _, reason in bench.close()} == {Reason.USEFUL}


def test_a_kept_frame_that_is_let_go_is_dropped_and_its_room_is_free_again(monkeypatch):
    monkeypatch.setattr("streamfilter.delivery.MAX_ITEMS", 10)
    bench = Bench(queue_frames=2)
    bench.put(0)
    bench.enter()
    bench.put(1)
    bench.put(2)
    for index in range(3, 30):
        bench.put(index, DROPPED)
    assert bench.delivery.depth == 0
    assert bench.final[:2] == [(1, Reason.OVERFLOW), (2, Reason.OVERFLOW)]
    bench.put(30)
    bench.put(31)
    final = dict(bench.close())
    assert [index for index, reason in final.items() if reason is Reason.USEFUL] == [0, 30, 31]


def test_wait_lets_nothing_go_and_says_when_too_much_waits(monkeypatch):
    monkeypatch.setattr("streamfilter.delivery.MAX_ITEMS", 10)
    bench = Bench(backpressure="wait")
    bench.put(0)
    bench.enter()
    for index in range(1, 11):
        assert bench.delivery.has_room
        bench.put(index, DROPPED)
    assert not bench.delivery.has_room
    bench.put(11, DROPPED)
    bench.close()
    assert [index for index, *_ in bench.sink.got] == list(range(12))


@pytest.mark.parametrize("error", [RuntimeError, SystemExit])
def test_a_consumer_that_raises_fails_its_stream_alone(error):
    class Broken(GateSink):
        def write(self, one, decision):
            raise error("no such model")

    final: Counter[Reason] = Counter()
    broken = Broken()
    delivery = Delivery(
        "cam", [broken], LiveSettings(), lambda _: 0.0, lambda _, decision: final.update([decision.reason])
    )
    for decision in (KEPT, KEPT, DROPPED, KEPT):
        delivery.put(frame(0), decision)
    delivery.close(WAIT_SECONDS)
    assert delivery.failure == f"a consumer of cam raised {error.__name__}: no such model"
    assert broken.ending == "aborted"
    assert final == {Reason.USEFUL: 1, Reason.STOPPED: 2, Reason.LOW_UTILITY: 1}


def test_an_output_error_is_told_as_it_is():
    class Full(GateSink):
        def write(self, one, decision):
            raise OutputError("no space left on /out; free some")

    delivery = Delivery("cam", [Full()], LiveSettings(), lambda _: 0.0)
    delivery.put(frame(0), KEPT)
    delivery.close(WAIT_SECONDS)
    assert delivery.failure == "no space left on /out; free some"


@pytest.mark.filterwarnings("ignore")
def test_closing_does_not_wait_for_a_consumer_that_hangs():
    bench = Bench()
    bench.put(0)
    bench.enter()
    bench.put(1)
    started = time.monotonic()
    bench.delivery.close(0.2)
    assert time.monotonic() - started < 5
    assert bench.sink.ending == "closed"
    bench.sink.gate.release()


class StubbornSink(GateSink):
    """Cannot be ended."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
        self.gate = threading.Semaphore(1000)

    def close(self) -> None:
        raise self.error

    abort = close


@pytest.mark.parametrize("error", [OutputError("never took a frame"), RuntimeError("cannot close")])
def test_every_sink_is_closed_also_behind_one_that_cannot_be(error):
    last = GateSink()
    delivery = Delivery("cam", [StubbornSink(error), StubbornSink(ValueError()), last], LiveSettings(), lambda _: 0.0)
    with pytest.raises(OutputError, match=str(error)):
        delivery.close(WAIT_SECONDS)
    assert last.ending == "closed"


def test_every_sink_is_aborted_also_behind_one_that_cannot_be():
    class Full(GateSink):
        def write(self, one, decision):
            raise OutputError("no space left on /out; free some")

    last = Full()
    delivery = Delivery("cam", [StubbornSink(RuntimeError("cannot abort")), last], LiveSettings(), lambda _: 0.0)
    delivery.put(frame(0), KEPT)
    delivery.close(WAIT_SECONDS)
    assert last.ending == "aborted"
