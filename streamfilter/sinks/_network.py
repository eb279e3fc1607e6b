"""What sinks to the network share: masked names, and a worker that sends what waits in a bounded queue."""

from __future__ import annotations

import logging
import threading
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Sequence
from typing import Any

from streamfilter.address import mask
from streamfilter.frame import Decision, Frame
from streamfilter.sinks._base import BaseSink
from streamfilter.sinks.records import record_fields

log = logging.getLogger(__name__)

QUEUE_MESSAGES = 256
"""Most kept frames that wait to be sent; beyond, the oldest are dropped and counted."""
CLOSE_SECONDS = 1.5
JOIN_SECONDS = 0.25
"""How long a sending that the end interrupts may take to notice."""
LAST_RETRY_SECONDS = 0.25
"""Longest wait for the next try once the sink closes."""
RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0)


class QueueSink(BaseSink):
    """Sends a message about each kept frame from a thread of its own; what cannot be sent is tried again.

    The writer never waits: while the other side is away up to `QUEUE_MESSAGES` messages wait, then the oldest go, and
    `messages_lost` counts them. Closing gives what waits one more try, for at most `CLOSE_SECONDS`.

    Args:
        target: the address; a password in it is never shown.
        batch: most messages sent at once.
    """

    def __init__(self, target: str, batch: int) -> None:
        super().__init__()
        self.messages_sent = 0
        self.messages_lost = 0
        self._where = mask(target)
        self._batch = batch
        self._messages: deque[dict[str, Any]] = deque()
        self._sending = 0
        self._changed = threading.Condition()
        self._closing = False
        self._deadline = float("inf")
        self._ended = False
        self._thread = threading.Thread(target=self._work, name=f"sender to {self._where}", daemon=True)
        self._thread.start()

    def hurry(self, deadline: float) -> None:
        """Closing waits no longer than until then, on the monotonic clock; what waits is tried again soon before."""
        self._deadline = deadline

    def _write(self, frame: Frame, decision: Decision) -> None:
        if decision.keep and frame.is_readable:
            message = self._message(frame, decision)
            with self._changed:
                self._messages.append(message)
                if len(self._messages) > QUEUE_MESSAGES:
                    self._messages.popleft()
                    self.messages_lost += 1
                self._changed.notify_all()

    def _message(self, frame: Frame, decision: Decision) -> dict[str, Any]:
        """What is sent about a frame: its record and its size."""
        height, width = frame.size_hw
        return {**record_fields(frame, decision), "width": width, "height": height}

    @abstractmethod
    def _send(self, messages: list[dict[str, Any]]) -> None:
        """Send messages in order, and take each off the list once it is sent.

        Raises:
            OSError: they could not be sent; those still on the list are tried again.
        """

    def _hang_up(self) -> None:
        """Free what the sending needs; from the sending thread."""

    def _work(self) -> None:
        failures = 0
        while messages := self._next():
            try:
                self._send(messages)
            except Exception as error:
                wait = RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]
                failures += 1
                if failures == 1 or failures % 10 == 0:
                    log.warning("%s: cannot send (%s); next try in %g s", self._where, mask(str(error)), wait)
                self._settle(messages)
                self._pause(wait)
                continue
            if failures:
                log.warning("%s: sending again after %d failed tries", self._where, failures)
            failures = 0
            self._settle(messages)
        self._hang_up()

    def _next(self) -> list[dict[str, Any]]:
        """Up to a batch of messages; none at the end."""
        with self._changed:
            while not self._messages and not self._ended:
                self._changed.wait(0.1)
            messages = [self._messages.popleft() for _ in range(min(self._batch, len(self._messages)))]
            self._sending = len(messages)
            return messages

    def _settle(self, left: Sequence[dict[str, Any]]) -> None:
        """Count what was sent, and put the rest back in front, as far as there is room."""
        with self._changed:
            room = 0 if self._ended else QUEUE_MESSAGES - len(self._messages)
            kept = left[max(0, len(left) - room) :]
            self.messages_sent += max(0, self._sending - len(left))
            self.messages_lost += min(self._sending, len(left)) - len(kept)
            self._messages.extendleft(reversed(kept))
            self._sending = 0
            self._changed.notify_all()

    def _pause(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        with self._changed:
            while not self._ended and time.monotonic() < deadline:
                if self._closing or time.monotonic() > self._deadline - CLOSE_SECONDS:
                    deadline = min(deadline, time.monotonic() + LAST_RETRY_SECONDS)
                self._changed.wait(0.1)

    def _finish(self) -> None:
        deadline = min(self._deadline, time.monotonic() + CLOSE_SECONDS)
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            while (self._messages or self._sending) and time.monotonic() < deadline:
                self._changed.wait(0.1)
        self._discard()
        if self.messages_lost:
            log.warning("%s: %d messages were lost, %d sent", self._where, self.messages_lost, self.messages_sent)

    def _discard(self) -> None:
        with self._changed:
            self._ended = True
            self.messages_lost += len(self._messages)
            self._messages.clear()
            self._changed.notify_all()
        self._thread.join(JOIN_SECONDS)
        with self._changed:
            self.messages_lost += self._sending
            self._sending = 0
