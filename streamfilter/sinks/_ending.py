"""The end of several sinks: each is closed or aborted, whatever becomes of the others and however long they take."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from operator import methodcaller

from streamfilter.errors import OutputError
from streamfilter.sinks._base import Sink
from streamfilter.sinks._network import QueueSink
from streamfilter.sinks.rtsp import RtspSink

log = logging.getLogger(__name__)

NETWORK_SINKS = (QueueSink, RtspSink)


def hurry_all(sinks: Sequence[Sink], deadline: float) -> None:
    """Tell those that hold messages by when they are to be sent, on the monotonic clock."""
    for sink in sinks:
        if isinstance(sink, QueueSink):
            sink.hurry(deadline)


def close_all(name: str, sinks: Sequence[Sink]) -> None:
    """Finish every sink, also behind one that cannot be finished.

    Args:
        name: of the stream, for messages.
        sinks: to be closed.

    Raises:
        OutputError: a sink could not be finished: the first error; the others are logged.
    """
    errors = _end(name, sinks, methodcaller("close"))
    for error in errors[1:]:
        log.error("%s", error)
    if errors:
        raise errors[0]


def abort_all(name: str, sinks: Sequence[Sink]) -> None:
    """Abort every sink; what one raises is logged.

    Args:
        name: of the stream, for messages.
        sinks: to be aborted.
    """
    for error in _end(name, sinks, methodcaller("abort")):
        log.error("%s", error)


def _end(name: str, sinks: Sequence[Sink], end: Callable[[Sink], object]) -> list[OutputError]:
    """What the sinks raised; those to the network, which may have to wait for the other side, end beside the others."""
    errors: list[OutputError] = []

    def end_one(sink: Sink) -> None:
        try:
            end(sink)
        except OutputError as error:
            errors.append(error)
        except Exception as error:
            told = OutputError(f"an output of {name} raised {type(error).__name__} at its end: {error}")
            told.__cause__ = error
            errors.append(told)

    threads = [
        threading.Thread(target=end_one, args=(sink,), name=f"end of an output of {name}")
        for sink in sinks
        if isinstance(sink, NETWORK_SINKS)
    ]
    for thread in threads:
        thread.start()
    for sink in sinks:
        if not isinstance(sink, NETWORK_SINKS):
            end_one(sink)
    for thread in threads:
        thread.join()
    return errors
