"""Kept frames as one video file, each with its own time stamp."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from streamfilter.errors import OutputError
from streamfilter.frame import Frame
from streamfilter.sinks._base import DEFAULTS, KeptFramesSink, SinkOptions
from streamfilter.sinks._clock import TICKS_PER_SECOND, OutputClock
from streamfilter.sinks._encoders import FORMATS, add_encoder, check_encoder
from streamfilter.sinks._pictures import Picture, common, converted, even, stamped, upright
from streamfilter.sinks._whole import WholeFile, describe

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream

MATROSKA_STEP = TICKS_PER_SECOND // 1000

_log = logging.getLogger(__name__)


class VideoSink(KeptFramesSink):
    """Encodes kept frames with their source's own time stamps; one that has no clock comes 1/25 s after the last.

    Frames that the decoder gave as yuv420p go to the encoder without a copy or a conversion. The first frame sets the
    size (made even), the shape of pixels and the colour tags; later frames are scaled and converted to it. VP8 and VP9
    know square pixels only. The file appears under its name when it is closed, and not at all when no frame was kept.

    Args:
        target: `.mp4`, `.mkv`, `.mov`, `.webm` or `.ts`.
        options: the encoder and its quality.

    Raises:
        OutputError: the file cannot be written there, or its container cannot hold what the encoder makes.
    """

    def __init__(self, target: Path | str, options: SinkOptions = DEFAULTS) -> None:
        from av.video.reformatter import VideoReformatter

        super().__init__()
        suffix = Path(target).suffix.lower()
        if suffix not in FORMATS:
            raise OutputError(f"cannot write {target}: a video file ends in {', '.join(FORMATS)}")
        check_encoder(options, suffix)
        self._options = options
        self._suffix = suffix
        self._file = WholeFile(Path(target))
        is_matroska = suffix in (".mkv", ".webm")
        self._clock = OutputClock(self._file.where, MATROSKA_STEP if is_matroska else 1, holds_any_gap=is_matroska)
        self._output: tuple[OutputContainer, VideoStream, Picture] | None = None
        self._scaler = VideoReformatter()
        self._has_told_size = False
        self.frames_written = 0
        """Frames handed to the encoder so far."""

    def _write_kept(self, frame: Frame) -> None:
        with self._encoding():
            source = upright(frame)
            if self._output is None:
                self._output = self._open(common(frame, source))
            container, stream, shape = self._output
            self._tell_size(frame, shape)
            with stamped(converted(source, shape, self._scaler), self._clock.tick(frame)) as picture:
                packets = stream.encode(picture)
            container.mux(packets)
        self.frames_written += 1

    def _finish(self) -> None:
        if self._output is None:
            older = "; the file of that name is an older one" if os.path.exists(self._file.where) else ""
            _log.warning("%s: no frame was kept, so no file is written%s", self._file.where, older)
            self._file.discard()
            return
        container, stream, _ = self._output
        with self._encoding():
            container.mux(stream.encode(None))
            container.close()
        self._file.finish()
        if self._clock.nudged:
            _log.warning("%s: %d time stamps did not increase and were moved", self._file.where, self._clock.nudged)

    def _discard(self) -> None:
        import av

        if self._output is not None:
            # The trailer of a file that is about to be removed; a full disk refuses it once more.
            with suppress(av.FFmpegError, OSError):
                self._output[0].close()
        self._file.discard()

    def _open(self, shape: Picture) -> tuple[OutputContainer, VideoStream, Picture]:
        import av

        container = av.open(str(self._file.partial), "w", format=FORMATS[self._suffix])
        stream = add_encoder(container, self._options, shape.width, shape.height)
        context = stream.codec_context
        context.colorspace, context.color_range = shape.matrix, shape.range
        context.color_primaries, context.color_trc = shape.primaries, shape.transfer
        context.sample_aspect_ratio = shape.aspect
        return container, stream, shape

    def _tell_size(self, frame: Frame, shape: Picture) -> None:
        height, width = frame.size_hw
        if self._has_told_size or (even(width), even(height)) == (shape.width, shape.height):
            return
        self._has_told_size = True
        _log.warning(
            "%s: frame %d of %s is %dx%d; it and others of another size are scaled to %dx%d",
            self._file.where,
            frame.index,
            frame.input,
            width,
            height,
            shape.width,
            shape.height,
        )

    @contextmanager
    def _encoding(self) -> Iterator[None]:
        import av

        try:
            yield
        except (av.FFmpegError, OSError) as error:
            words = error.strerror or str(error)
            raise OutputError(describe(error.errno, words, self._file.where)) from error
