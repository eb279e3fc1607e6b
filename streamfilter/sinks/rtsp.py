"""Kept frames published to an RTSP server."""

from __future__ import annotations

import logging
import time
from fractions import Fraction
from typing import TYPE_CHECKING

from streamfilter.errors import OutputError
from streamfilter.frame import Frame
from streamfilter.sinks._base import DEFAULTS, KeptFramesSink, SinkOptions
from streamfilter.sinks._clock import TIME_BASE, OutputClock
from streamfilter.sinks._encoders import PIXEL_FORMAT
from streamfilter.sinks._network import masked
from streamfilter.sinks._pictures import Picture, common, converted, even, stamped, upright

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 5.0
RETRY_SECONDS = 2.0
KEYFRAME_SECONDS = 2.0
NOMINAL_FPS = 25
ENCODER = {"preset": "veryfast", "tune": "zerolatency", "forced-idr": "1"}


class RtspSink(KeptFramesSink):
    """Encodes kept frames as H.264 without delay and publishes them (RTSP RECORD, over TCP) with their own time stamps.

    The server may come and go: while it is away frames are counted in `frames_lost` and dropped, and every two seconds
    a new connect is tried. A frame of another size starts a new session.

    Args:
        target: `rtsp://host:port/path`, of any server that takes publishers; a password in it is never shown.
        options: quality of the encoder.
    """

    def __init__(self, target: str, options: SinkOptions = DEFAULTS) -> None:
        from av.video.reformatter import VideoReformatter

        super().__init__()
        self.frames_written = 0
        """Frames sent so far."""
        self.frames_lost = 0
        """Kept frames that no server was there to take."""
        self._target, self._options = target, options
        self._where = masked(target)
        self._clock = OutputClock(self._where)
        self._scaler = VideoReformatter()
        self._output: tuple[OutputContainer, VideoStream, Picture] | None = None
        self._next_try = 0.0
        self._key_at: int | None = None

    def _write_kept(self, frame: Frame) -> None:
        import av

        tick = self._clock.tick(frame)
        try:
            if not self._is_connected(frame):
                self.frames_lost += 1
                return
            assert self._output is not None
            container, stream, shape = self._output
            ready = converted(upright(frame), shape, self._scaler)
            with stamped(ready, tick, self._kind(tick)) as picture:
                packets = stream.encode(picture)
            container.mux(packets)
            self.frames_written += 1
        except (av.FFmpegError, OSError) as error:
            self.frames_lost += 1
            self._break_off(error.strerror or str(error))

    def _is_connected(self, frame: Frame) -> bool:
        height, width = map(even, frame.size_hw)
        if self._output is not None and (self._output[2].width, self._output[2].height) == (width, height):
            return True
        if self._output is not None:
            log.info("%s: frames are %dx%d now, a new session begins", self._where, width, height)
            self._hang_up()
        if time.monotonic() < self._next_try:
            return False
        self._output = self._connect(common(upright(frame)))
        self._key_at = None
        return True

    def _connect(self, shape: Picture) -> tuple[OutputContainer, VideoStream, Picture]:
        import av

        # Over TCP no packet is lost; the server's players choose for themselves.
        container = av.open(
            self._target, "w", format="rtsp", options={"rtsp_transport": "tcp"}, timeout=TIMEOUT_SECONDS
        )
        settings = {**ENCODER, "crf": str(min(51, self._options.crf))}
        stream = container.add_stream(
            "libx264",
            rate=NOMINAL_FPS,
            time_base=TIME_BASE,
            width=shape.width,
            height=shape.height,
            options=settings,
        )
        stream.codec_context.pix_fmt = PIXEL_FORMAT
        try:
            container.start_encoding()
        except BaseException:
            container.close()
            raise
        log.info("%s: publishing %dx%d", self._where, shape.width, shape.height)
        return container, stream, shape

    def _kind(self, tick: int) -> int:
        """Picture type: a keyframe every two seconds of the stream's own time, so that players can join."""
        import av

        if self._key_at is None or (tick - self._key_at) * TIME_BASE >= Fraction(KEYFRAME_SECONDS):
            self._key_at = tick
            return int(av.video.frame.PictureType.I)
        return int(av.video.frame.PictureType.NONE)

    def _break_off(self, why: str) -> None:
        self._next_try = time.monotonic() + RETRY_SECONDS
        log.warning("%s: cannot publish (%s); next try in %g s", self._where, why, RETRY_SECONDS)
        self._hang_up()

    def _hang_up(self) -> None:
        import av

        output, self._output = self._output, None
        if output is not None:
            try:
                output[0].close()
            except (av.FFmpegError, OSError) as error:
                log.debug("%s: while hanging up: %s", self._where, error)

    def _finish(self) -> None:
        self._hang_up()
        if self.frames_lost:
            log.warning("%s: %d kept frames could not be published", self._where, self.frames_lost)
        if not self.frames_written and self.frames_lost:
            raise OutputError(f"{self._where} never took a frame; check that the server runs and takes publishers")

    def _discard(self) -> None:
        self._hang_up()
