"""Kept frames as pictures in a folder."""

from __future__ import annotations

import logging
import secrets
import time
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from streamfilter.errors import OutputError
from streamfilter.frame import Frame
from streamfilter.sinks._base import DEFAULTS, KeptFramesSink, SinkOptions
from streamfilter.sinks._jpeg import jpeg_bytes
from streamfilter.sinks._whole import WholeFile, make_folder, remove, remove_folders, writing

JPEG_SUFFIXES = frozenset({".jpg", ".jpeg"})
LONGEST_STEM = 60

_log = logging.getLogger(__name__)


class ImagesSink(KeptFramesSink):
    """Writes each kept frame as a JPEG of its own; a JPEG source passes through byte for byte.

    Pictures keep their relative name, subfolders included; video frames are named `<input>_<index>.jpg`, those of live
    streams `<input>_<when the sink was opened, UTC>_<index>.jpg`, for their numbers come again. Two frames that would
    get the same name in one run get `-2`, `-3`, ... . A picture that was there before is replaced, and kept under a
    hidden name until the sink is closed: aborting puts it back; a live frame gets the next number instead. A name never
    leads out of the folder.

    Args:
        folder: made when missing.
        options: the JPEG quality of frames that were not JPEG already.

    Raises:
        OutputError: the folder cannot be made or written to.
    """

    def __init__(self, folder: Path | str, options: SinkOptions = DEFAULTS) -> None:
        super().__init__()
        self._folder = Path(folder)
        self._quality = options.jpeg_quality
        self._names: set[str] = set()
        self._written: set[Path] = set()
        self._stems: dict[str, str] = {}
        self._stem_of_input: dict[str, str] = {}
        self._opened = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        self._made: list[Path] = []
        self._before: dict[Path, Path] = {}
        with writing(str(folder)):
            self._made += make_folder(self._folder)
            _try_writing(self._folder)

    @property
    def frames_written(self) -> int:
        """Pictures written so far."""
        return len(self._names)

    def _write_kept(self, frame: Frame) -> None:
        data = jpeg_bytes(frame, self._quality)
        name = self._free_name(frame)
        path = self._folder / name
        real = path.resolve()
        if not real.is_relative_to(self._folder.resolve()):
            raise OutputError(f"cannot write {path}: a symbolic link leads out of {self._folder}; remove the link")
        with writing(str(path)):
            self._made += make_folder(path.parent)
        picture = WholeFile(path)
        try:
            with writing(str(path)):
                picture.partial.write_bytes(data)
                self._set_aside(real)
            picture.finish()
        finally:
            picture.discard()
        self._names.add(_folded(name))
        self._written.add(real)

    def _set_aside(self, path: Path) -> None:
        """Give a file that was there before a hidden name beside."""
        if path not in self._written and path.exists():
            hidden = path.with_name(f".streamfilter-{secrets.token_hex(6)}.before{path.suffix}")
            path.rename(hidden)
            self._before[path] = hidden

    def _finish(self) -> None:
        """Each picture is whole as soon as it is written; only what was there before is still to be removed."""
        for path, hidden in self._before.items():
            if path in self._written:
                remove(hidden)
            else:
                _put_back(hidden, path)
        if self._before:
            _log.warning("%s: %d files that were there before were replaced", self._folder, len(self._before))

    def _discard(self) -> None:
        for path in self._written:
            remove(path)
        for path, hidden in self._before.items():
            _put_back(hidden, path)
        remove_folders(self._made)

    def _free_name(self, frame: Frame) -> PurePosixPath:
        wanted = _relative(frame.name) if frame.name else None
        is_live = wanted is None and frame.arrived_seconds is not None
        if wanted is None:
            opened = f"{self._opened}_" if is_live else ""
            wanted = PurePosixPath(f"{self._stem(frame.input)}_{opened}{frame.index:06d}.jpg")
        name, copy = wanted, 1
        while _folded(name) in self._names or (is_live and (self._folder / name).exists()):
            copy += 1
            name = wanted.with_stem(f"{wanted.stem}-{copy}")
        return name

    def _stem(self, source: str) -> str:
        """The name of an input without its suffix; another input of the same name gets a number."""
        if source not in self._stem_of_input:
            wanted = _stem(source)
            stem, copy = wanted, 1
            while stem.casefold() in self._stems:
                copy += 1
                stem = f"{wanted}-{copy}"
            self._stems[stem.casefold()] = source
            self._stem_of_input[source] = stem
        return self._stem_of_input[source]


def _relative(name: str) -> PurePosixPath | None:
    """A frame's name without what would lead out of the folder, as .jpg; None when nothing is left."""
    parts = [part for part in PurePosixPath(name).parts if part not in ("/", "//", "..", ".")]
    if not parts:
        return None
    path = PurePosixPath(*parts)
    return path if path.suffix.lower() in JPEG_SUFFIXES else path.with_suffix(".jpg")


def _stem(source: str) -> str:
    path = urlsplit(source).path if "://" in source else source
    stem = PurePosixPath(path).stem
    return stem[:LONGEST_STEM] if stem not in ("", "-", "..") else "frame"


def _folded(name: PurePosixPath | Path) -> str:
    """One key for all names that a file system without upper and lower case takes for the same."""
    return name.as_posix().casefold()


def _put_back(hidden: Path, path: Path) -> None:
    try:
        hidden.replace(path)
    except OSError as error:
        _log.warning("cannot rename %s back to %s (%s); rename it by hand", hidden, path, error.strerror)


def _try_writing(folder: Path) -> None:
    trial = folder / f".streamfilter-{secrets.token_hex(6)}.partial"
    trial.touch(exist_ok=False)
    trial.unlink()
