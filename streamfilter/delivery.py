"""From decisions to sinks in a thread of its own: a slow consumer costs frames, never the reader or other streams."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from streamfilter.errors import OutputError
from streamfilter.frame import Decision, Frame, Reason
from streamfilter.sinks import Sink
from streamfilter.sinks._ending import abort_all, close_all, hurry_all
from streamfilter.stream_config import LiveSettings

log = logging.getLogger(__name__)

MAX_ITEMS = 20_000
"""Dropped frames wait for their turn as well, so that records stay in order; of a consumer that hangs for good, the
oldest are let go unrecorded, but counted. With `wait` none is: the stream waits."""
MAX_BYTES = 256 * 2**20
POLL_SECONDS = 0.1
GRACE_SECONDS = 0.25
"""How long a consumer may take for its last frame once the time is up."""

Item = tuple[Frame, Decision]


class Delivery:
    """Hands the frames of one stream to its sinks, in order, as fast as they take them.

    Every frame given to `put` comes to every sink exactly once, with its final decision: kept frames that overflow, go
    stale or are outranked while the sinks are busy come as dropped ones, without pixels. Once a sink has
    failed none gets any more, and frames that would have been kept are told as stopped. The delivery owns its thread
    and the sinks.

    Args:
        name: of the stream.
        sinks: what takes the frames.
        live: the back-pressure, the staleness bound, the most frames that wait.
        rank: decision -> how useful a frame is, for `priority`.
        on_final: called with each frame and its final decision after the sinks had it.
        clock: seconds, as `Frame.arrived_seconds` counts them.
    """

    def __init__(
        self,
        name: str,
        sinks: Sequence[Sink],
        live: LiveSettings,
        rank: Callable[[Decision], float],
        on_final: Callable[[Frame, Decision], object] = lambda frame, decision: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.failure: str | None = None
        """Why the sinks could take no more; None while they can."""
        self._name, self._sinks, self._live = name, sinks, live
        self._rank, self._on_final, self._clock = rank, on_final, clock
        self._items: deque[Item] = deque()
        self._kept = 0
        self._bytes_held = 0
        self._changed = threading.Condition()
        self._ended = False
        self._busy = False
        self._deadline = float("inf")
        self._hangs_in: Sink | None = None
        self._thread = threading.Thread(target=self._deliver, name=f"delivery of {name}", daemon=True)
        self._thread.start()

    @property
    def has_room(self) -> bool:
        """Whether a frame would find room; only `wait` ever has none."""
        return self._live.backpressure != "wait" or not self._is_full()

    @property
    def depth(self) -> int:
        """Kept frames waiting."""
        return self._kept

    @property
    def in_own_thread(self) -> bool:
        """Whether the caller runs in the delivering thread, as consumers do."""
        return threading.current_thread() is self._thread

    def put(self, frame: Frame, decision: Decision) -> None:
        """Queue a decided frame; never waits. Where there is no room, the oldest kept frame is dropped."""
        with self._changed:
            self._items.append((frame if decision.keep else _emptied(frame), decision))
            if decision.keep:
                self._kept += 1
                self._bytes_held += frame.nbytes
            lost = [] if self._live.backpressure == "wait" else self._make_room()
            self._changed.notify_all()
        for item in lost:
            self._on_final(*item)

    def hurry(self, seconds: float) -> None:
        """Give what waits no longer than this from now on, also when it is being closed already."""
        self._deadline = min(self._deadline, time.monotonic() + seconds)
        hurry_all(self._sinks, self._deadline)

    def close(self, timeout_seconds: float) -> None:
        """Let the sinks take what waits, for so long; the rest is dropped. Then each of the sinks is closed whole.

        Raises:
            OutputError: a sink could not be finished; the first that could not.
        """
        self.hurry(timeout_seconds)
        with self._changed:
            while (self._items or self._busy) and self.failure is None and time.monotonic() < self._deadline:
                self._changed.wait(POLL_SECONDS)
            for index, (_, decision) in enumerate(self._items):
                if decision.keep:
                    self._drop(index, Reason.STOPPED)
            self._ended = True
            self._changed.notify_all()
        self._thread.join(GRACE_SECONDS)
        if self._thread.is_alive():
            self._settle()
            log.warning(
                "%s: a consumer is still busy with its last frame; its outputs are closed without it", self._name
            )
        if self.failure is None:
            close_all(self._name, self._sinks)
        else:
            abort_all(self._name, self._sinks)

    def _settle(self) -> None:
        """Deliver what is left in place of a thread that hangs, to all sinks but the one it hangs in."""
        with self._changed:
            left, self._items = list(self._items), deque()
        others = [sink for sink in self._sinks if sink is not self._hangs_in]
        for frame, decision in left:
            self._hand_out(frame, decision, others)

    def _make_room(self) -> list[Item]:
        """Drop the oldest kept frames that are too many, and give what is let go altogether; `_changed` is held."""
        while self._is_over():
            self._drop(next(index for index, (_, one) in enumerate(self._items) if one.keep), Reason.OVERFLOW)
        too_many = max(0, len(self._items) - MAX_ITEMS)
        for index in range(too_many):
            if self._items[index][1].keep:
                self._drop(index, Reason.OVERFLOW)
        return [self._items.popleft() for _ in range(too_many)]

    def _is_over(self) -> bool:
        return self._kept > self._live.queue_frames or (self._kept > 1 and self._bytes_held > MAX_BYTES)

    def _is_full(self) -> bool:
        is_long = len(self._items) >= MAX_ITEMS
        return self._kept >= self._live.queue_frames or self._bytes_held > MAX_BYTES or is_long

    def _drop(self, index: int, reason: Reason) -> None:
        """Make a kept frame that waits a dropped one; `_changed` is held."""
        frame, decision = self._items[index]
        self._kept -= 1
        self._bytes_held -= frame.nbytes
        self._items[index] = (_emptied(frame), replace(decision, keep=False, reason=reason))

    def _deliver(self) -> None:
        while (item := self._next()) is not None:
            self._hand_out(*item, self._in_turn())
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _in_turn(self) -> Iterator[Sink]:
        """The sinks, noting the one that has the frame."""
        for sink in self._sinks:
            self._hangs_in = sink
            yield sink

    def _hand_out(self, frame: Frame, decision: Decision, sinks: Iterable[Sink]) -> None:
        if self.failure is None:
            self._write(frame, decision, sinks)
        elif decision.keep:
            frame, decision = frame.emptied(), replace(decision, keep=False, reason=Reason.STOPPED)
        self._on_final(frame, decision)

    def _write(self, frame: Frame, decision: Decision, sinks: Iterable[Sink]) -> None:
        try:
            for sink in sinks:
                sink.write(frame, decision)
        except OutputError as error:
            self._fail(str(error))
        except BaseException as error:
            self._fail(f"a consumer of {self._name} raised {type(error).__name__}: {error}")

    def _fail(self, line: str) -> None:
        self.failure = line
        log.error("%s", line)

    def _next(self) -> Item | None:
        """The next item to deliver, after dropping what back-pressure says; None at the end."""
        with self._changed:
            while not self._items and not self._ended:
                self._changed.wait(POLL_SECONDS)
            if not self._items:
                return None
            if self._items[0][1].keep:
                self._yield_to_better()
            frame, decision = self._items.popleft()
            if decision.keep:
                self._kept -= 1
                self._bytes_held -= frame.nbytes
            self._busy = True
            return frame, decision

    def _yield_to_better(self) -> None:
        """Drop the kept frame at the head, and others behind it, where the back-pressure prefers later ones."""
        mode = self._live.backpressure
        if mode == "wait":
            return
        oldest = self._clock() - self._live.staleness_seconds
        kept = [index for index, (_, decision) in enumerate(self._items) if decision.keep]
        fresh = [index for index in kept if (self._items[index][0].arrived_seconds or oldest) >= oldest]
        chosen = fresh[0] if fresh else len(self._items)
        if fresh and mode == "latest":
            chosen = fresh[-1]
        if fresh and mode == "priority":
            chosen = max(fresh, key=lambda index: (self._rank(self._items[index][1]), index))
        for index in kept:
            if index < chosen:
                worse = Reason.OUTRANKED if mode == "priority" else Reason.OVERFLOW
                self._drop(index, worse if index in fresh else Reason.STALE)


def _emptied(frame: Frame) -> Frame:
    return frame if frame.problem is not None or frame.is_emptied else frame.emptied()
