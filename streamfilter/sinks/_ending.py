"""The end of several sinks: each is closed or aborted, whatever becomes of the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from operator import methodcaller

from streamfilter.errors import OutputError
from streamfilter.sinks._base import Sink

log = logging.getLogger(__name__)


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


def _end(name: str, sinks: Iterable[Sink], end: Callable[[Sink], object]) -> list[OutputError]:
    """What the sinks raised, in turn."""
    errors: list[OutputError] = []
    for sink in sinks:
        try:
            end(sink)
        except OutputError as error:
            errors.append(error)
        except Exception as error:
            told = OutputError(f"an output of {name} raised {type(error).__name__} at its end: {error}")
            told.__cause__ = error
            errors.append(told)
    return errors
