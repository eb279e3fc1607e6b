"""Kept frames as raw MJPEG: JPEG after JPEG on a binary stream."""

from __future__ import annotations

import errno
import os
from typing import BinaryIO

from streamfilter.frame import Frame
from streamfilter.sinks._base import DEFAULTS, KeptFramesSink, SinkOptions
from streamfilter.sinks._jpeg import jpeg_bytes
from streamfilter.sinks._whole import writing


class MjpegSink(KeptFramesSink):
    """Writes each kept frame as one whole JPEG and flushes; the stream stays open and belongs to the caller.

    Args:
        stream: binary stream, such as `sys.stdout.buffer`.
        options: the JPEG quality of frames that were not JPEG already.
        where: the stream, for messages.
    """

    def __init__(self, stream: BinaryIO, options: SinkOptions = DEFAULTS, *, where: str = "standard output") -> None:
        super().__init__()
        self._stream = stream
        # A buffer would keep what a broken pipe refused and fail once more when the interpreter exits.
        self._unbuffered: BinaryIO = getattr(stream, "raw", stream)
        self._quality = options.jpeg_quality
        self._where = where

    def _write_kept(self, frame: Frame) -> None:
        rest = memoryview(jpeg_bytes(frame, self._quality))
        with writing(self._where):
            self._stream.flush()
            while rest:
                written = self._unbuffered.write(rest)
                if not written:
                    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
                rest = rest[written:]
            self._stream.flush()

    def _finish(self) -> None:
        with writing(self._where):
            self._stream.flush()

    def _discard(self) -> None:
        """What the reader has got cannot be taken back."""
