"""Live streams: RTSP cameras, MJPEG and HLS over HTTP, RTMP, MPEG-TS, V4L2; connected anew as often as it takes."""

from __future__ import annotations

import logging
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from streamfilter.address import mask
from streamfilter.errors import InputError
from streamfilter.frame import Frame, Signs, StreamEvent
from streamfilter.sources.base import ConnectionRefused, DecoderRefused, SourceInfo
from streamfilter.sources.connection import Connection, connect
from streamfilter.sources.container import Colours, orientation, reason
from streamfilter.sources.decoders import check_first_frame
from streamfilter.sources.timeline import Timeline
from streamfilter.stream_config import LiveSettings

if TYPE_CHECKING:
    import av

MAX_ERRORS_IN_A_ROW = 500
"""After so many undecodable packets without one frame between them a stream is connected anew."""
STEADY_SECONDS = 5.0
"""A connection that held this long starts the back-off from its beginning."""
JITTER = 0.2
MACROBLOCK = 16
LOSS = re.compile(r"missed -?\d+ packets|bad cseq|dropping old packet")
"""What FFmpeg's RTP reader says when packets are missing; it hands on what is left without a word elsewhere."""
CONCEALED = re.compile(r"concealing (\d+) DC, (\d+) AC, (\d+) MV errors")

LogLines = list[tuple[int, str, str]]


class LiveSource:
    """Frames of one live stream, for as long as it is wanted.

    Nothing is opened before the first frame is asked for. Whatever breaks is told as an event and tried again after a
    growing pause; the iteration ends when the source is closed, when the server refuses us for good, or when the
    reconnects allowed are used up, and then `failure` says why. A playlist that is complete from the start is a
    recording and ends with its last frame.

    Args:
        uri: address of the stream; passwords in it are never shown.
        settings: time-outs, back-off, transport, decoder.
        name: how frames and messages call it; None = the address, masked.
        on_event: called, in the reading thread, with what happens to the connection.
    """

    is_live = True

    def __init__(
        self,
        uri: str,
        settings: LiveSettings | None = None,
        name: str | None = None,
        on_event: Callable[[StreamEvent], None] = lambda event: None,
    ) -> None:
        # All of it now: while a thread imports it, another would meet modules that are half made.
        import av  # noqa: F401

        self.name = name or mask(uri)
        self.info = SourceInfo()
        self.failure: str | None = None
        self.reconnects = 0
        """Connects after the first one that succeeded."""
        self._uri = uri
        self._settings = settings or LiveSettings()
        self._on_event = on_event
        self._closed = threading.Event()
        self._index = 0
        self._connections = -1
        self._has_played = False
        self._timeline = Timeline()
        self._pending_loss = False
        self._colours = Colours(self.name)
        self._problem = ""

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames as they come, with a clock that runs on through reconnects."""
        _hear_ffmpeg()
        in_a_row, pauses = 0, 0
        while not self._closed.is_set():
            started, before = time.monotonic(), self._index
            try:
                yield from self._one_connection()
            except ConnectionRefused as error:
                if self._connections < 0 or isinstance(error, DecoderRefused):
                    self._give_up(str(error))
                    return
                self._problem = str(error)
            if self._closed.is_set():
                break
            if self._index > before:
                in_a_row = 0
            if time.monotonic() - started > STEADY_SECONDS and self._index > before:
                pauses = 0
            if self._settings.max_reconnects is not None and in_a_row >= self._settings.max_reconnects:
                self._give_up(f"{self._problem}; given up after {in_a_row} reconnects")
                return
            self._pause(pauses)
            in_a_row, pauses = in_a_row + 1, pauses + 1
        self._tell("closed", "")

    def close(self) -> None:
        """End the iteration; harmless when repeated, safe from another thread.

        What the thread that reads is waiting for ends by its own time-out.
        """
        self._closed.set()

    def _one_connection(self) -> Iterator[Frame]:
        """Frames of one connect, until it breaks; `_problem` then says why."""
        self._tell("connecting", "")
        try:
            connection = connect(self._uri, self._settings)
        except ConnectionRefused:
            raise
        except InputError as error:
            self._problem = str(error)
            return
        if connection.is_complete and self._connections >= 0:
            # A broadcast that has ended leaves its last minutes listed: they have been seen.
            connection.container.close()
            self._problem = f"{self.name} is over"
            return
        self._connections += 1
        self.reconnects = self._connections
        self._timeline.interrupt()
        context = connection.stream.codec_context
        self.info = SourceInfo(size_hw=(context.height, context.width))
        self._tell("connected", f"{connection.decoder.name} {context.width}x{context.height}")
        try:
            yield from self._frames(connection)
        finally:
            connection.container.close()
        if connection.is_complete:
            self._closed.set()

    def _frames(self, connection: Connection) -> Iterator[Frame]:
        import av

        errors, packets = 0, connection.container.demux(connection.stream)
        started = False
        with av.logging.Capture() as lines:
            while not self._closed.is_set():
                lines.clear()
                packet = self._read(packets)
                if packet is None:
                    return
                arrived = time.monotonic()
                self._pending_loss |= any(LOSS.search(message) for _, _, message in lines)
                lines.clear()
                try:
                    decoded = connection.decoder.decode(packet)
                except av.FFmpegError as error:
                    if not self._has_played:
                        check_first_frame(self._settings.decoder, self.name, error, lines)
                    errors += 1
                    yield self._unreadable(reason(error))
                    self._pending_loss = True
                    if errors >= MAX_ERRORS_IN_A_ROW:
                        self._problem = f"{self.name}: {errors} packets in a row could not be decoded"
                        return
                    continue
                for native in decoded:
                    errors = 0
                    if not started:
                        started = self._has_played = True
                        self._tell("playing", "")
                    yield self._frame(native, packet, arrived, lines, connection)

    def _read(self, packets: Iterator[av.Packet[av.VideoStream]]) -> av.Packet[av.VideoStream] | None:
        """The next packet; None when the connection has ended, with `_problem` saying how."""
        import av

        started = time.monotonic()
        try:
            packet = next(packets, None)
        except av.FFmpegError as error:
            is_stall = isinstance(error, av.error.ExitError)
            self._problem = self._stalled() if is_stall else f"{self.name} broke off ({reason(error)})"
            return None
        if packet is None or not packet.size:
            # A playlist whose server hangs comes to its end as well, once the time is up.
            is_stall = time.monotonic() - started >= self._settings.stall_seconds
            self._problem = self._stalled() if is_stall else f"{self.name} ended"
            return None
        return packet

    def _stalled(self) -> str:
        return f"{self.name} sent nothing for {self._settings.stall_seconds:g} s"

    def _frame(
        self,
        native: av.VideoFrame,
        packet: av.Packet[av.VideoStream],
        arrived: float,
        lines: LogLines,
        connection: Connection,
    ) -> Frame:
        pts = None if native.pts is None or native.time_base is None else float(native.pts * native.time_base)
        if connection.is_playlist and pts is not None:
            self._closed.wait(self._timeline.early_seconds(pts, arrived))
            arrived = time.monotonic()
        seconds, jumped = self._timeline.place(pts, arrived)
        self._colours.mend(native)
        concealed = _concealed_share(lines, native)
        signs = Signs(
            connection=self._connections,
            is_keyframe=bool(native.key_frame),
            gap=self._pending_loss or (jumped and not connection.is_playlist),
            errors=bool(native.is_corrupt or packet.is_corrupt or concealed or _complains(lines)),
            concealed_share=concealed,
        )
        self._pending_loss = False
        rotation, is_mirrored = orientation(native)
        return Frame(
            self.name, self._next_index(), seconds, native=native, rotation_degrees=rotation,
            is_mirrored=is_mirrored, arrived_seconds=arrived, signs=signs,
            pixel_aspect=connection.stream.sample_aspect_ratio,
        )  # fmt: skip

    def _unreadable(self, problem: str) -> Frame:
        arrived = time.monotonic()
        seconds, _ = self._timeline.place(None, arrived)
        signs = Signs(connection=self._connections, gap=self._pending_loss, errors=True)
        return Frame(
            self.name, self._next_index(), seconds, problem=f"cannot be decoded: {problem}",
            arrived_seconds=arrived, signs=signs,
        )  # fmt: skip

    def _next_index(self) -> int:
        self._index += 1
        return self._index - 1

    def _pause(self, pauses: int) -> None:
        """Wait before the next connect, longer each time; over at once when closed."""
        longest = self._settings.max_backoff_seconds
        seconds = min(longest, self._settings.backoff_seconds * 2 ** min(pauses, 30))
        seconds *= random.uniform(1 - JITTER, 1 + JITTER)
        self._tell("waiting", f"{mask(self._problem)}; next try in {seconds:.1f} s")
        self._closed.wait(seconds)

    def _give_up(self, line: str) -> None:
        self.failure = mask(line)
        self._tell("failed", self.failure)

    def _tell(self, kind: str, detail: str) -> None:
        self._on_event(StreamEvent(self.name, kind, detail))


def _hear_ffmpeg() -> None:
    """Let FFmpeg's own lines through to whoever captures them: they alone say that packets are missing."""
    import av

    if av.logging.get_level() is None:
        logging.getLogger("libav").setLevel(logging.CRITICAL)
        av.logging.set_skip_repeated(False)
        av.logging.set_level(av.logging.INFO)


def _complains(lines: LogLines) -> bool:
    import av

    return any(level <= av.logging.ERROR for level, _, _ in lines)


def _concealed_share(lines: LogLines, native: av.VideoFrame) -> float:
    """Share of the macroblocks that the decoder says it made up."""
    found = [CONCEALED.search(message) for _, _, message in lines]
    blocks = -(-native.width // MACROBLOCK) * -(-native.height // MACROBLOCK)
    made_up = sum(max(int(match[1]), int(match[3])) for match in found if match is not None)
    return min(1.0, made_up / max(1, blocks))
