"""Video files: anything PyAV opens."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from streamfilter.frame import Frame
from streamfilter.sources.container import (
    Colours,
    describe,
    open_container,
    orientation,
    reason,
    video_stream,
    why_undecodable,
)
from streamfilter.sources.endings import is_cut, is_whole_avi

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

log = logging.getLogger(__name__)

MAX_ERRORS_IN_A_ROW = 500
"""After so many undecodable packets without one frame between them the rest is given up."""
CLOSE_TIMEOUT_SECONDS = 5.0
SHORTFALL_SECONDS = 0.5
"""A file ends early when its frames stop this long before the duration in its header."""


class VideoSource:
    """The first video stream of a file, frames untouched as the decoder gave them.

    Raises:
        InputNotFoundError: there is no such file.
        InputError: it is empty, unreadable, not a video, without a video stream, of an unknown codec, or its frames are
            larger than `MAX_PIXELS`.
    """

    is_live = False

    def __init__(self, path: str | Path) -> None:
        self.name = str(path)
        self.failure: str | None = None
        self._lock = threading.Lock()
        self._closed = False
        self._colours = Colours(self.name)
        self._index = 0
        self._packets_read = 0
        self._errors_in_a_row = 0
        self._end_seconds = 0.0
        self._end_bytes = 0
        self._cut_packet: av.Packet[VideoStream] | None = None
        self._container = open_container(self.name)
        try:
            self._stream = video_stream(self._container, self.name)
            self.info = describe(self._container, self._stream)
            self._tick_seconds = self._stream.time_base or Fraction(0)
        except BaseException:
            self._container.close()
            raise
        self._demuxer = self._container.demux(self._stream)

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames in presentation order, with the container's own time stamps."""
        try:
            while (frames := self._step()) is not None:
                yield from frames
        finally:
            self.close()

    def seek(self, pts_seconds: float) -> None:
        """Begin at the last keyframe at or before this time, or at the first; to be called before iterating.

        Indices start at 0 all the same. A file that cannot be sought in begins at its start.
        """
        import av

        with suppress(av.FFmpegError):
            self._container.seek(max(0, int(pts_seconds / self._tick_seconds)), stream=self._stream)

    def close(self) -> None:
        """End the iteration and close the file; harmless when repeated, safe from another thread."""
        self._closed = True
        if self._lock.acquire(timeout=CLOSE_TIMEOUT_SECONDS):
            try:
                self._drain()
                self._container.close()
            finally:
                self._lock.release()
        else:
            log.warning("%s is still being read, so it is left open", self.name)

    def _drain(self) -> None:
        """Let the decoder's threads end their work.

        PyAV frees a decoder while it holds Python's lock; a thread that logs meanwhile waits for it, both for ever.
        """
        import av

        if self._packets_read > 0:
            with suppress(av.FFmpegError):
                self._stream.decode(None)

    def _step(self) -> list[Frame] | None:
        """The frames one packet gives, often none yet; None at the end."""
        with self._lock:
            if self._closed:
                return None
            packet = self._read_packet()
            if packet is not None:
                return self._decode_packet(packet)
            self._closed = True
            frames = self._decode(None)
            if self._cut_packet is not None:
                frames.append(self._problem("its data is cut short"))
            self.failure = self.failure or self._early_end()
            return frames

    def _read_packet(self) -> av.Packet[VideoStream] | None:
        import av

        if self.failure is not None:
            return None
        try:
            return next(self._demuxer, None)
        except av.FFmpegError as error:
            self.failure = self._ends_early(reason(error))
            return None

    def _decode_packet(self, packet: av.Packet[VideoStream]) -> list[Frame]:
        if not packet.size:
            return []
        self._packets_read += 1
        self._end_bytes = (packet.pos or 0) + packet.size
        if packet.pts is not None:
            end = (packet.pts + (packet.duration or 0)) * self._tick_seconds
            self._end_seconds = max(self._end_seconds, float(end))
        waiting, self._cut_packet = self._cut_packet, None
        frames = [] if waiting is None else self._decode(waiting)
        if packet.is_corrupt:
            # The last packet of a cut file would make the decoder drop the good frames it still holds.
            self._cut_packet = packet
            return frames
        return frames + self._decode(packet)

    def _decode(self, packet: av.Packet[VideoStream] | None) -> list[Frame]:
        import av

        try:
            decoded = self._stream.decode(packet)
        except av.FFmpegError as error:
            return self._count_error(packet, error)
        if decoded:
            self._errors_in_a_row = 0
        return [self._frame(native) for native in decoded]

    def _count_error(self, packet: av.Packet[VideoStream] | None, error: av.FFmpegError) -> list[Frame]:
        if packet is None:
            return [self._problem(why_undecodable(error, self._stream)) for _ in range(self._packets_held())]
        self._errors_in_a_row += 1
        if self._errors_in_a_row >= MAX_ERRORS_IN_A_ROW:
            self.failure = self._ends_early(f"{self._errors_in_a_row} packets in a row could not be decoded")
        return [self._problem(why_undecodable(error, self._stream))]

    def _packets_held(self) -> int:
        """How many packets the decoder's threads had in hand when it failed at the end; 0 where it cannot be told."""
        held = self._packets_read - self._index - (self._cut_packet is not None)
        # With fields or hidden frames there are far more packets than frames.
        return held if 0 < held <= self._stream.codec_context.thread_count else 0

    def _frame(self, native: av.VideoFrame) -> Frame:
        pts_seconds = None if native.pts is None else float(native.pts * self._tick_seconds)
        self._colours.mend(native)
        rotation, is_mirrored = orientation(native)
        return Frame(
            self.name, self._next_index(), pts_seconds, native=native, rotation_degrees=rotation,
            is_mirrored=is_mirrored, pixel_aspect=self._stream.sample_aspect_ratio,
        )  # fmt: skip

    def _problem(self, problem: str) -> Frame:
        return Frame(self.name, self._next_index(), problem=f"cannot be decoded: {problem}")

    def _next_index(self) -> int:
        self._index += 1
        return self._index - 1

    def _ends_early(self, detail: str) -> str:
        return f"{self.name} ends early after {self._index} frames ({detail}); fetch or record it again"

    def _early_end(self) -> str | None:
        if self._cut_packet is not None:
            return self._ends_early("its last frame is cut short")
        promised = _packets_promised(self._container, self._stream, self.name)
        if self._packets_read < promised:
            return self._ends_early(f"its header promises {promised}")
        promised_seconds = _seconds_promised(self._container, self._stream)
        if self._end_seconds < promised_seconds - SHORTFALL_SECONDS:
            return self._ends_early(f"at {self._end_seconds:.2f} s, its header promises {promised_seconds:.2f} s")
        if is_cut(self.name, self._container.format.name, self._end_bytes):
            return self._ends_early("its last packet is cut short")
        if self._index == 0:
            return f"{self.name} gave no frame at all; fetch or record it again"
        return None


def _packets_promised(container: InputContainer, stream: VideoStream, name: str) -> int:
    if "mp4" in container.format.name:
        # An edit list hides frames from its index but not from the count in its header.
        return len(stream.index_entries)
    if container.format.name == "avi" and is_whole_avi(name):
        # Its count holds frames that repeat the one before in no bytes at all; FFmpeg leaves them out.
        return 0
    return stream.frames


def _seconds_promised(container: InputContainer, stream: VideoStream) -> float:
    if container.format.name == "mxf":
        return float((stream.duration or 0) * (stream.time_base or 0))
    if "matroska" not in container.format.name:
        return 0.0
    for key, text in stream.metadata.items():
        if key.upper().startswith("DURATION"):
            return _seconds(text)
    if container.duration is None or len(container.streams) > 1:
        return 0.0
    return container.duration / 1_000_000


def _seconds(text: str) -> float:
    """`00:01:02.500000000` as 62.5; 0 when it is something else."""
    try:
        hours, minutes, seconds = (float(part) for part in text.split(":"))
    except ValueError:
        return 0.0
    return hours * 3600 + minutes * 60 + seconds
