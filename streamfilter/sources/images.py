"""Picture files: a folder, or a list, in natural order."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from streamfilter.errors import InputError, InputNotFoundError, PictureError
from streamfilter.frame import Frame
from streamfilter.sources.base import MAX_PICTURE_BYTES, SourceInfo
from streamfilter.sources.pictures import declared_pixels, picture_format, picture_frame

READERS = min(4, os.cpu_count() or 1)
"""Pictures decoded side by side."""
LARGE_PIXELS = 25_000_000
"""Larger ones are decoded one at a time."""
UNREAD = "cannot be read"
"""How the problem of a file begins that could not even be opened."""
SUFFIXES = (".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".tif", ".tiff")


class ImagesSource:
    """Pictures, read one at a time; one that cannot be decoded comes as an unreadable frame.

    That a file of a list is not there, or may not be read, is told of as `failure` too. A JPEG's own bytes ride along
    in `Frame.jpeg`. `Frame.input` is the file's path, `Frame.name` its path relative to the folder, or for a list the
    file name (relative to the common folder where two share a name).

    Args:
        paths: the files, in the order they are read.
        name: how messages call the whole.
        root: what `Frame.name` is relative to; None for a list.

    Raises:
        InputError: `paths` is empty.
    """

    is_live = False

    def __init__(self, paths: Sequence[Path], name: str | None = None, root: Path | None = None) -> None:
        if not paths:
            raise InputError(f"no pictures in {name or 'an empty list'}; give JPEG, PNG, WebP, BMP or TIFF files")
        self.name = name if name is not None else _list_name(paths)
        self.failure: str | None = None
        self.info = SourceInfo(frames_from_header=len(paths))
        self._is_list = root is None
        self._todo = list(zip(paths, _names(paths, root), strict=True))
        self.model_side: int | None = None
        self._index = 0
        self._has_large = False
        self._closed = False

    @classmethod
    def from_folder(cls, folder: str | Path) -> ImagesSource:
        """All pictures under a folder, in natural order; hidden files and folders are left out.

        A folder in it that cannot be listed is told of as `failure`; the others are read.

        Raises:
            InputNotFoundError: there is no such folder.
            InputError: it cannot be listed, or holds no picture.
        """
        root = Path(folder)
        if not os.path.isdir(root):
            raise InputNotFoundError(f"no such folder: {folder}; check the path")
        paths, problems = _walk(root)
        if problems and not paths:
            raise InputError(problems[0])
        source = cls(paths, name=str(folder), root=root)
        source.failure = "; ".join(problems) or None
        return source

    def __iter__(self) -> Iterator[Frame]:
        """Yield a frame a picture, in order."""
        with ThreadPoolExecutor(READERS, "picture reader") as readers:
            ahead: deque[Future[Frame]] = deque()
            try:
                while not self._closed:
                    self._read_ahead(readers, ahead)
                    if not ahead:
                        return
                    frame = ahead.popleft().result()
                    self._note_missing(frame)
                    yield frame
            finally:
                for future in ahead:
                    future.cancel()

    def _note_missing(self, frame: Frame) -> None:
        if self._is_list and self.failure is None and (frame.problem or "").startswith(UNREAD):
            self.failure = f"{frame.input} {frame.problem}; check its path and permissions"

    def _read_ahead(self, readers: ThreadPoolExecutor, ahead: deque[Future[Frame]]) -> None:
        """Start on the next pictures; a large one is decoded alone, so that memory stays bounded."""
        while self._index < len(self._todo) and len(ahead) < READERS and not (ahead and self._has_large):
            index = self._index
            path, name = self._todo[index]
            is_large = declared_pixels(path) > LARGE_PIXELS
            if is_large and ahead:
                return
            self._index, self._has_large = index + 1, is_large
            ahead.append(readers.submit(_read, path, name, index, self.model_side))

    def close(self) -> None:
        """End the iteration; harmless when repeated, safe from another thread."""
        self._closed = True


def natural_key(path: Path) -> list[list[tuple[int, int, str]]]:
    """Sorting key that puts img2 before img10, folder by folder."""
    return [
        [(0, int(piece), "") if piece.isdecimal() else (1, 0, piece.casefold()) for piece in re.split(r"(\d+)", part)]
        for part in path.parts
    ]


def looks_like_picture(path: Path) -> bool:
    """Whether a file is a picture by its first bytes, or at least calls itself one.

    Raises:
        OSError: it cannot be read.
    """
    if path.suffix.lower() in SUFFIXES:
        return True
    with path.open("rb") as file:
        return picture_format(file.read(16)) is not None


def _walk(root: Path) -> tuple[list[Path], list[str]]:
    """The pictures under a folder, and a line for each folder that cannot be listed."""
    problems = []

    def note(error: OSError) -> None:
        problems.append(f"cannot list {error.filename} ({error.strerror}), check its permissions")

    found = []
    for folder, subfolders, files in os.walk(root, onerror=note):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        paths = [Path(folder, name) for name in files if not name.startswith(".")]
        found += [path for path in paths if _is_picture(path)]
    return sorted(found, key=natural_key), problems


def _is_picture(path: Path) -> bool:
    """Whether it is a picture; a link that leads nowhere is one by its name, and will be unreadable."""
    try:
        return (os.path.isfile(path) or os.path.islink(path)) and looks_like_picture(path)
    except OSError:
        return False


def _names(paths: Sequence[Path], root: Path | None) -> list[str]:
    names = [path.name for path in paths]
    if root is None and len(set(names)) < len(set(paths)):
        root = Path(os.path.commonpath([path.absolute().parent for path in paths]))
        return [path.absolute().relative_to(root).as_posix() for path in paths]
    return names if root is None else [path.relative_to(root).as_posix() for path in paths]


def _list_name(paths: Sequence[Path]) -> str:
    return str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"


def _read(path: Path, name: str, index: int, model_side: int | None) -> Frame:
    try:
        data = _read_bytes(path)
    except PictureError as error:
        return Frame(str(path), index, problem=str(error), name=name)
    return picture_frame(data, str(path), index, model_side, name)


def _read_bytes(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size == 0:
            raise PictureError("is empty (0 bytes)")
        if size > MAX_PICTURE_BYTES:
            raise PictureError(f"has {size} bytes, over the bound of {MAX_PICTURE_BYTES}")
        return path.read_bytes()
    except OSError as error:
        raise PictureError(f"{UNREAD}: {error.strerror or error}") from error
