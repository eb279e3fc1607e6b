"""Kept frames as one video file, each with its own time stamp."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from streamfilter.errors import OutputError
from streamfilter.frame import Frame
from streamfilter.sinks._base import DEFAULTS, KeptFramesSink, SinkOptions
from streamfilter.sinks._clock import TICKS_PER_SECOND, TIME_BASE, OutputClock
from streamfilter.sinks._encoders import FORMATS, PIXEL_FORMAT, add_encoder, check_encoder
from streamfilter.sinks._whole import WholeFile, describe

if TYPE_CHECKING:
    import av
    from av.container import OutputContainer
    from av.video.reformatter import VideoReformatter
    from av.video.stream import VideoStream

BT709, UNSPECIFIED, LIMITED, FULL = 1, 2, 1, 2
"""Codes of ITU-T H.273, as FFmpeg uses them for matrices, primaries, transfer and range."""
MATROSKA_STEP = TICKS_PER_SECOND // 1000

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Picture:
    """What all frames of one file have in common: the first one's."""

    width: int
    height: int
    matrix: int
    range: int
    primaries: int
    transfer: int


class VideoSink(KeptFramesSink):
    """Encodes kept frames with their source's own time stamps; one that has no clock comes 1/25 s after the last.

    Frames that the decoder gave as yuv420p go to the encoder without a copy or a conversion. The first frame sets the
    size (made even) and the colour tags; later frames are scaled and converted to it. The file appears under its name
    when it is closed, and not at all when no frame was kept.

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
        self._clock = OutputClock(self._file.where, MATROSKA_STEP if suffix in (".mkv", ".webm") else 1)
        self._output: tuple[OutputContainer, VideoStream, _Picture] | None = None
        self._scaler = VideoReformatter()
        self._has_told_size = False
        self.frames_written = 0
        """Frames handed to the encoder so far."""

    def _write_kept(self, frame: Frame) -> None:
        with self._encoding():
            source = _upright(frame)
            if self._output is None:
                self._output = self._open(_common(source))
            container, stream, common = self._output
            self._tell_size(frame, common)
            with _stamped(_converted(source, common, self._scaler), self._clock.tick(frame)) as picture:
                packets = stream.encode(picture)
            container.mux(packets)
        self.frames_written += 1

    def _finish(self) -> None:
        if self._output is None:
            _log.warning("%s: no frame was kept, so no file is written", self._file.where)
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

    def _open(self, common: _Picture) -> tuple[OutputContainer, VideoStream, _Picture]:
        import av

        container = av.open(str(self._file.partial), "w", format=FORMATS[self._suffix])
        stream = add_encoder(container, self._options, common.width, common.height)
        context = stream.codec_context
        context.colorspace, context.color_range = common.matrix, common.range
        context.color_primaries, context.color_trc = common.primaries, common.transfer
        return container, stream, common

    def _tell_size(self, frame: Frame, common: _Picture) -> None:
        height, width = frame.size_hw
        if self._has_told_size or (_even(width), _even(height)) == (common.width, common.height):
            return
        self._has_told_size = True
        _log.warning(
            "%s: frame %d of %s is %dx%d; it and others of another size are scaled to %dx%d",
            self._file.where,
            frame.index,
            frame.input,
            width,
            height,
            common.width,
            common.height,
        )

    @contextmanager
    def _encoding(self) -> Iterator[None]:
        import av

        try:
            yield
        except (av.FFmpegError, OSError) as error:
            words = error.strerror or str(error)
            raise OutputError(describe(error.errno, words, self._file.where)) from error


def _upright(frame: Frame) -> av.VideoFrame:
    """The decoder's own frame, or its RGB when it has to be turned or was a picture."""
    import av

    if frame.native is not None and frame.rotation_degrees % 360 == 0:
        return frame.native
    return av.VideoFrame.from_ndarray(frame.rgb, format="rgb24")


def _common(source: av.VideoFrame) -> _Picture:
    width, height = _even(source.width), _even(source.height)
    if source.format.is_rgb:
        return _Picture(width, height, BT709, LIMITED, UNSPECIFIED, UNSPECIFIED)
    return _Picture(width, height, source.colorspace, _range(source), source.color_primaries, source.color_trc)


def _range(source: av.VideoFrame) -> int:
    return FULL if source.color_range == FULL or source.format.name.startswith("yuvj") else LIMITED


def _converted(source: av.VideoFrame, common: _Picture, scaler: VideoReformatter) -> av.VideoFrame:
    """The frame as the encoder takes it; the very same object when it is so already."""
    same_size = (source.width, source.height) == (common.width, common.height)
    same_colours = (source.colorspace, _range(source)) == (common.matrix, common.range)
    if same_size and same_colours and source.format.name == PIXEL_FORMAT:
        return source
    return scaler.reformat(
        source,
        common.width,
        common.height,
        PIXEL_FORMAT,
        dst_colorspace=_SCALER_MATRIX.get(common.matrix, common.matrix),
        dst_color_range=common.range,
    )


_SCALER_MATRIX = {6: 5}
"""H.273 has two codes for the matrix of BT.601, the scaler one."""


def _even(side: int) -> int:
    """4:2:0 halves the chroma, so sides are even."""
    return max(2, side - side % 2)


@contextmanager
def _stamped(picture: av.VideoFrame, tick: int) -> Iterator[av.VideoFrame]:
    """Lend the encoder a frame with our time stamp; the caller's own marks come back afterwards.

    The decoder's picture type goes as well, for it would force a keyframe wherever the source had one.
    """
    before = (picture.pts, picture.time_base or Fraction(0), picture.duration, picture.pict_type)
    try:
        picture.pts, picture.time_base, picture.duration, picture.pict_type = tick, TIME_BASE, 0, 0
        yield picture
    finally:
        picture.pts, picture.time_base, picture.duration, picture.pict_type = before
