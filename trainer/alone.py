"""One process at a time in a folder that is being filled."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from streamfilter.errors import OutputError


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep every other process out of a folder until this one is done with it, or gone.

    Raises:
        OutputError: another one is in it, or the folder is not there.
    """
    try:
        opened = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise OutputError(f"{folder} cannot be opened: {error.strerror}; run again") from error
    try:
        # Some systems and network file systems lock no folder: what is written is whole all the same, only wasted.
        with suppress(OSError, ImportError):
            _lock(opened, folder)
        yield
    finally:
        os.close(opened)


def _lock(opened: int, folder: Path) -> None:
    import fcntl

    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OutputError(f"another process is writing into {folder}; wait for it, or choose another --out") from error
