"""JPEG pictures one after another in a byte stream: raw MJPEG, concatenated files, multipart HTTP bodies."""

from __future__ import annotations

import os
import re
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from streamfilter.address import mask
from streamfilter.errors import InputError, InputNotFoundError
from streamfilter.frame import Frame
from streamfilter.sources.base import SourceInfo
from streamfilter.sources.pictures import picture_frame

MAX_JPEG_BYTES = 64 * 2**20
"""A picture longer than this in a stream is given up, and the next one is looked for."""
CHUNK_BYTES = 2**16
POLL_SECONDS = 0.2

START = b"\xff\xd8\xff"
SOI, EOI, SOS = 0xD8, 0xD9, 0xDA
BARE_MARKERS = (0x01, *range(0xD0, 0xD8))
# In entropy-coded data FF is followed by 00 (a literal FF), by a restart marker, or by filling FFs.
MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")


class MjpegSource:
    """The JPEG pictures of a binary stream, their bytes untouched in `Frame.jpeg`, without a clock.

    Whatever lies between the pictures (multipart boundaries, garbage) is skipped. A picture that is cut short or
    damaged comes as an unreadable frame.

    Args:
        read: gives the next bytes, at most 64 KiB or so; `b""` at the end, None when there are none yet.
        name: how records show the stream.
        release: called once by `close`.
    """

    is_live = False

    def __init__(self, read: Callable[[], bytes | None], name: str, release: Callable[[], None] | None = None) -> None:
        self.name = name
        self.failure: str | None = None
        self.info = SourceInfo()
        self.model_side: int | None = None
        self._read = read
        self._release = release
        self._closed = False
        self._index = 0
        self._iterated = False

    @classmethod
    def from_stream(cls, stream: BinaryIO, name: str) -> MjpegSource:
        """Pictures of an open binary file object, which stays the caller's to close."""
        return cls(lambda: stream.read(CHUNK_BYTES), name)

    @classmethod
    def from_file(cls, path: str | Path) -> MjpegSource:
        """Pictures of a raw MJPEG file.

        Raises:
            InputNotFoundError: there is no such file.
            InputError: it cannot be opened.
        """
        try:
            stream = open(path, "rb")  # noqa: SIM115
        except FileNotFoundError as error:
            raise InputNotFoundError(f"no such file: {mask(str(path))}; check the path") from error
        except OSError as error:
            raise InputError(
                f"cannot open {mask(str(path))} ({error.strerror}); check the path and its permissions"
            ) from error
        return cls(lambda: b"" if stream.closed else stream.read(CHUNK_BYTES), str(path), stream.close)

    def __iter__(self) -> Iterator[Frame]:
        """Yield a frame a picture.

        Raises:
            InputError: not one JPEG picture came, or the stream cannot be read.
        """
        if self._iterated:
            return
        self._iterated = True
        try:
            yield from self._pictures()
        finally:
            self.close()

    def close(self) -> None:
        """End the iteration; harmless when repeated, safe from another thread."""
        self._closed = True
        release, self._release = self._release, None
        if release is not None:
            release()

    def _pictures(self) -> Iterator[Frame]:
        cutter, data = JpegCutter(), None
        while not self._closed and data != b"":
            data = self._next_bytes()
            if data is not None:
                yield from self._frames(cutter.feed(data) if data else cutter.finish())
        if self._index == 0 and not self._closed:
            where = "standard input" if self.name == "-" else self.name
            raise InputError(f"no JPEG picture came on {where}; give it raw MJPEG or JPEG files one after another")

    def _next_bytes(self) -> bytes | None:
        try:
            return self._read()
        except (OSError, ValueError) as error:
            if self._closed:
                return b""
            raise InputError(
                f"cannot read {self.name} after {self._index} pictures ({error}); check the input"
            ) from error

    def _frames(self, cuts: Iterator[JpegCut]) -> Iterator[Frame]:
        for cut in cuts:
            if self._closed:
                return
            index, self._index = self._index, self._index + 1
            yield self._frame(cut, index)

    def _frame(self, cut: JpegCut, index: int) -> Frame:
        if cut.problem is not None:
            return Frame(self.name, index, problem=cut.problem)
        return picture_frame(cut.data, self.name, index, self.model_side)


@dataclass(frozen=True)
class JpegCut:
    """One picture's bytes out of a stream, from its SOI to its EOI, or why there are none."""

    data: bytes
    problem: str | None = None


class JpegCutter:
    """Cuts a byte stream into JPEG pictures by their markers.

    Segment lengths are respected, so a thumbnail inside EXIF is not taken for a picture; libavformat's own mjpeg
    demuxer is not used, for it leaves what lies between two pictures in the first one's packet.

    Source: ITU-T T.81, annex B (markers, segments and byte stuffing).
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._position = 0
        self._inside = False
        self._entropy = False

    def feed(self, data: bytes) -> Iterator[JpegCut]:
        """Take the next bytes and yield the pictures they complete."""
        self._buffer += data
        while True:
            if not self._inside and not self._find_start():
                return
            cut = self._advance()
            if cut is not None:
                yield cut
            elif self._inside:
                if len(self._buffer) <= MAX_JPEG_BYTES:
                    return
                yield self._give_up(f"is longer than {MAX_JPEG_BYTES} bytes", len(self._buffer))

    def finish(self) -> Iterator[JpegCut]:
        """Yield the picture the stream broke off in, if there is one."""
        if self._inside:
            yield self._give_up("is cut short by the end of the stream", len(self._buffer))

    def _find_start(self) -> bool:
        start = self._buffer.find(START)
        if start < 0:
            del self._buffer[: -len(START) + 1]
            return False
        del self._buffer[:start]
        self._position, self._inside, self._entropy = 2, True, False
        return True

    def _advance(self) -> JpegCut | None:
        """Walk the markers of the picture at the buffer's start; None when more bytes are needed."""
        while True:
            step = self._skip_entropy() if self._entropy else self._skip_segment()
            if step is not True:
                return step or None

    def _skip_entropy(self) -> bool:
        """Go to the marker that ends a scan; whether it is there."""
        found = MARKER.search(self._buffer, self._position)
        if found is None:
            self._position = max(self._position, len(self._buffer) - 1)
            return False
        self._position, self._entropy = found.start(), False
        return True

    def _skip_segment(self) -> JpegCut | bool:
        """Go past one marker and its segment; False when more bytes are needed, a cut at the picture's end."""
        at = self._position
        if len(self._buffer) < at + 2:
            return False
        if self._buffer[at] != 0xFF:
            return self._give_up("is damaged: no marker where one must be", at)
        marker = self._buffer[at + 1]
        if marker == 0xFF:
            self._position += 1
            return True
        if marker == EOI:
            return self._complete(at + 2)
        if marker == SOI:
            return self._give_up("is cut short by the next picture", at)
        if marker in BARE_MARKERS:
            self._position += 2
            return True
        return self._skip_length(marker)

    def _skip_length(self, marker: int) -> JpegCut | bool:
        at = self._position
        if len(self._buffer) < at + 4:
            return False
        length = int.from_bytes(self._buffer[at + 2 : at + 4], "big")
        if marker == 0 or length < 2:
            return self._give_up("is damaged: a segment has no length", at + 2)
        self._position = at + 2 + length
        self._entropy = marker == SOS
        return True

    def _complete(self, end: int) -> JpegCut:
        data = bytes(self._buffer[:end])
        del self._buffer[:end]
        self._inside = False
        return JpegCut(data)

    def _give_up(self, problem: str, keep_from: int) -> JpegCut:
        del self._buffer[:keep_from]
        self._inside = False
        return JpegCut(b"", f"JPEG picture {problem}")


def open_stdin() -> MjpegSource:
    """Pictures on standard input, named `-`.

    Raises:
        InputError: standard input is a terminal, or closed.
    """
    if sys.stdin is None or sys.stdin.closed:
        raise InputError("standard input is closed; pipe JPEG pictures into it")
    if sys.stdin.isatty():
        raise InputError("standard input is a terminal; pipe JPEG pictures into it")
    stream = sys.stdin.buffer
    if os.name == "nt":
        return MjpegSource.from_stream(stream, "-")
    with suppress(OSError, ValueError):
        return MjpegSource(_polled(stream.fileno()), "-")
    return MjpegSource.from_stream(stream, "-")


def _polled(descriptor: int) -> Callable[[], bytes | None]:
    """Reads that never block for long, and never hold the stream's lock when the program ends."""

    def read() -> bytes | None:
        ready, _, _ = select.select([descriptor], [], [], POLL_SECONDS)
        return os.read(descriptor, CHUNK_BYTES) if ready else None

    return read
