"""Files that appear whole or not at all, and what a failed write is called."""

from __future__ import annotations

import errno
import logging
import os
import secrets
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TextIO

from streamfilter.errors import OutputError

_log = logging.getLogger(__name__)
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_MISPLACED = frozenset({errno.ENOTDIR, errno.EEXIST, errno.ENOENT})


def describe(code: int | None, words: str, where: str) -> str:
    """One line about a failed write: what is wrong, where, and what to do.

    Args:
        code: the `errno`; None when there is none.
        words: the system's words for it, used when the code is none of the usual ones.
        where: the output, for the message.
    """
    if code in _FULL:
        return f"no space left while writing {where}: free space or choose another place"
    if code == errno.EFBIG:
        return f"{where} is larger than the file size limit: raise the limit or choose another place"
    if code == errno.EPIPE:
        return f"the reader closed the pipe: {where} was not read to its end"
    if code in _FORBIDDEN:
        return f"cannot write {where}: {words.lower()}; choose a place you may write to"
    if code in _MISPLACED:
        return f"cannot write {where}: no folder can be made there; choose another place"
    return f"cannot write {where}: {words}"


@contextmanager
def writing(where: str) -> Iterator[None]:
    """Turn the system's errors into OutputError.

    Raises:
        OutputError: the body raised an OSError.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(describe(error.errno, error.strerror or str(error), where)) from error


def check_regular(path: Path, where: str) -> None:
    """Refuse what is no file to write to: opening a pipe without a reader would wait for one.

    Raises:
        OutputError: it is there and not a regular file.
    """
    with writing(where):
        is_special = path.exists() and not path.is_file()
    if is_special:
        raise OutputError(f"cannot write {where}: it is there and not a regular file; choose another name")


def standard_output() -> TextIO:
    """Where `-` leads.

    Raises:
        OutputError: it is closed.
    """
    if sys.stdout is None:
        raise OutputError("standard output is closed: nothing can be written there; choose a file")
    return sys.stdout


def remove(path: Path) -> None:
    """Remove a file of ours, if it is still there; what cannot be removed is logged, not raised."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        _log.warning("cannot remove %s (%s); remove it by hand", path, error.strerror)


def make_folder(folder: Path) -> list[Path]:
    """Make a folder where there is none.

    Returns:
        The folders that were made, the outermost first.

    Raises:
        OSError: it cannot be made.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
    return missing[::-1]


def remove_folders(folders: Sequence[Path]) -> None:
    """Remove folders that `make_folder` made; one that holds something by now stays."""
    for folder in reversed(folders):
        with suppress(OSError):
            folder.rmdir()


class WholeFile:
    """A file written under a hidden name beside its target, and renamed onto it when it is whole.

    The target's folder is made when missing; a symbolic link is followed, so the file it points to is replaced.

    Raises:
        OutputError: the target cannot be written, or is there and not a regular file.
    """

    def __init__(self, target: Path) -> None:
        self.where = str(target)
        self._target = Path(os.path.realpath(target))
        check_regular(self._target, self.where)
        name = f".streamfilter-{secrets.token_hex(6)}.partial{self._target.suffix}"
        self.partial = self._target.parent / name
        """The hidden file to write to; it is there, and empty."""
        self._made: list[Path] = []
        with ExitStack() as undo, writing(self.where):
            undo.callback(remove_folders, self._made)
            self._made += make_folder(self._target.parent)
            os.close(os.open(self.partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            undo.pop_all()

    def finish(self) -> None:
        """Rename the partial file onto the target.

        Raises:
            OutputError: it cannot be renamed.
        """
        with writing(self.where):
            self.partial.replace(self._target)

    def discard(self) -> None:
        """Remove the partial file, if it is still there, and the folders that were made for it and hold nothing."""
        remove(self.partial)
        remove_folders(self._made)


def write_whole(path: Path, text: str) -> None:
    """Write a text file that appears whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    file = WholeFile(path)
    try:
        with writing(str(path)):
            file.partial.write_text(text, encoding="utf-8")
        file.finish()
    finally:
        file.discard()
