"""Kept frames published to an RTSP server."""

from __future__ import annotations

import logging
import time

from streamfilter.address import mask
from streamfilter.errors import OutputError
from streamfilter.frame import Frame
from streamfilter.sinks._base import DEFAULTS, KeptFramesSink, SinkOptions
from streamfilter.sinks._clock import OutputClock
from streamfilter.sinks._pictures import common, converted, even, upright
from streamfilter.sinks._rtp import Encoder
from streamfilter.sinks._rtsp_session import Address, Connect, Session

log = logging.getLogger(__name__)

RETRY_SECONDS = 2.0
FIRST_CONNECT_SECONDS = 1.0
"""Longest wait of the writer for a connect, unless the one before it failed."""


class RtspSink(KeptFramesSink):
    """Encodes kept frames as H.264 without delay and publishes them (RTSP RECORD, over TCP) with their own time stamps.

    The server may come and go: while it is away frames are counted in `frames_lost` and dropped, and two seconds after
    each failure a new connect is tried beside the writer. A frame of another size starts a new session.

    Args:
        target: `rtsp://user:password@host:port/path`, or `rtsps://` for TLS, of any server that takes publishers; the
            password is never shown.
        options: quality of the encoder.

    Raises:
        ConfigError: the address has no host, or a port that is no number.
    """

    def __init__(self, target: str, options: SinkOptions = DEFAULTS) -> None:
        from av.video.reformatter import VideoReformatter

        super().__init__()
        self.frames_written = 0
        """Frames sent so far."""
        self.frames_lost = 0
        """Kept frames that no server was there to take."""
        self._address, self._options = Address.of(target), options
        self._where = mask(target)
        self._clock = OutputClock(self._where)
        self._scaler = VideoReformatter()
        self._encoder: Encoder | None = None
        self._connect: Connect | None = None
        self._next_try = 0.0
        self._failures = 0
        self._is_publishing = False

    def _write_kept(self, frame: Frame) -> None:
        import av

        tick = self._clock.tick(frame)
        was_sent = False
        try:
            if self._encoder is not None or time.monotonic() >= self._next_try:
                was_sent = self._send(frame, tick)
        except (av.FFmpegError, OSError) as error:
            self._break_off(error.strerror or str(error))
        self.frames_written += was_sent
        self.frames_lost += not was_sent

    def _send(self, frame: Frame, tick: int) -> bool:
        """Whether there was a server to send it to.

        Raises:
            av.FFmpegError: it cannot be encoded.
            OSError: the connect failed, or the server is gone.
        """
        encoder, session = self._publication(frame)
        if session is None:
            return False
        session.send(encoder.packets(converted(upright(frame), encoder.shape, self._scaler), tick))
        return True

    def _publication(self, frame: Frame) -> tuple[Encoder, Session | None]:
        """What frames of this size go through; no session while there is none.

        Raises:
            OSError: the connect failed.
        """
        height, width = map(even, frame.size_hw)
        if self._encoder is not None and (self._encoder.shape.width, self._encoder.shape.height) != (width, height):
            log.info("%s: frames are %dx%d now, a new session begins", self._where, width, height)
            self._hang_up()
        if self._encoder is None:
            self._encoder = Encoder(common(frame, upright(frame)), min(51, self._options.crf))
        if self._connect is None:
            self._connect = Connect(self._address, self._encoder.description(self._address.host))
            self._connect.wait(0 if self._failures else FIRST_CONNECT_SECONDS)
        session = self._connect.session()
        if session is not None and not self._is_publishing:
            self._is_publishing = True
            level = logging.WARNING if self._failures else logging.INFO
            log.log(level, "%s: publishing %dx%d after %d failed tries", self._where, width, height, self._failures)
            self._failures = 0
        return self._encoder, session

    def _break_off(self, why: str) -> None:
        self._next_try = time.monotonic() + RETRY_SECONDS
        self._failures += 1
        if self._failures == 1 or self._failures % 10 == 0:
            log.warning("%s: cannot publish (%s); next try in %g s", self._where, mask(why), RETRY_SECONDS)
        self._hang_up()

    def _hang_up(self) -> None:
        encoder, self._encoder = self._encoder, None
        connect, self._connect = self._connect, None
        self._is_publishing = False
        if connect is not None:
            connect.abandon()
        if encoder is not None:
            encoder.close()

    def _finish(self) -> None:
        self._hang_up()
        if self.frames_lost:
            log.warning("%s: %d kept frames could not be published", self._where, self.frames_lost)
        if not self.frames_written and self.frames_lost:
            raise OutputError(f"{self._where} never took a frame; check that the server runs and takes publishers")

    def _discard(self) -> None:
        self._hang_up()
