"""Kept frames to a Python callable."""

from __future__ import annotations

from collections.abc import Callable

from streamfilter.frame import Decision, Frame


class CallbackSink:
    """Calls the consumer with each kept frame; what the consumer raises reaches the caller unchanged."""

    def __init__(self, consumer: Callable[[Frame], object]) -> None:
        self._consumer = consumer

    def write(self, frame: Frame, decision: Decision) -> None:
        """Call the consumer if the frame was kept; what it returns is ignored."""
        if decision.keep and frame.is_readable:
            self._consumer(frame)

    def close(self) -> None:
        """Nothing to finish."""

    def abort(self) -> None:
        """Nothing to remove."""
