"""Opening video containers: what PyAV says about bad files, in one line each."""

from __future__ import annotations

import logging
import math
import os
import stat
import struct
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, cast

from streamfilter.address import mask
from streamfilter.errors import InputError, InputNotFoundError
from streamfilter.frame import FULL_RANGE
from streamfilter.sources.base import MAX_PIXELS, SourceInfo

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.sidedata.sidedata import SideData
    from av.video.stream import VideoStream

log = logging.getLogger(__name__)

UNSPECIFIED = 2
KNOWN_MATRICES = (0, 1, UNSPECIFIED, 4, 5, 6, 7, 9)
KNOWN_RANGES = (0, 1, 2)
"""Colour matrices and ranges, by their numbers in ITU-T H.273, that swscale can do something with."""
THREADS_A_CORE, MOST_THREADS = 4, 16
"""Of a file's decoder. FFmpeg takes one more than there are cores, which then wait for one another and for the frames
before: with more of them no core is idle."""
LARGE_PIXELS = 3840 * 2160
"""Larger frames are decoded by as many threads as FFmpeg takes, for each holds a frame."""
PLAYLISTS = (b"#EXTM3U", b"ffconcat", b"<?xml", b"<MPD")
"""A playlist could open any file, itself included, so none is followed."""


def open_container(name: str) -> InputContainer:
    """A container PyAV can read, or a line that says why not.

    Raises:
        InputNotFoundError: there is no such file.
        InputError: it is empty, unreadable, a playlist, or nothing FFmpeg knows.
    """
    import av

    _check_file(name)
    try:
        # `file:` and the whitelist keep a hostile name or playlist from reaching the network or other protocols.
        return av.open(
            f"file:{name}",
            mode="r",
            options={"max_pixels": str(MAX_PIXELS)},
            container_options={"protocol_whitelist": "file"},
            metadata_errors="replace",
        )
    except av.InvalidDataError as error:
        raise InputError(_why_not_video(name)) from error
    except (av.FFmpegError, ValueError) as error:
        raise InputError(f"cannot open {name} as a video ({reason(error)}); check the file") from error


def _check_file(name: str) -> None:
    try:
        status = os.stat(name)
        head = b""
        if stat.S_ISREG(status.st_mode):
            with open(name, "rb") as file:
                head = file.read(16)
    except FileNotFoundError as error:
        raise InputNotFoundError(f"no such file: {mask(name)}; check the path") from error
    except PermissionError as error:
        raise InputError(f"no permission to read {mask(name)}; change its mode or run as its owner") from error
    except (OSError, ValueError) as error:
        raise InputError(f"cannot open {mask(name)} ({reason(error)}); check the path") from error
    if stat.S_ISREG(status.st_mode) and status.st_size == 0:
        raise InputError(f"{name} is empty (0 bytes); fetch or record it again")
    if head.startswith(PLAYLISTS):
        raise InputError(f"{name} is a playlist, not a video; give the files it names")


def _why_not_video(name: str) -> str:
    with open(name, "rb") as file:
        is_mp4 = file.read(12)[4:8] == b"ftyp"
    if is_mp4:
        return (
            f"{name} is an MP4 whose index (moov) is missing, as when a recording was cut off; fetch or record it again"
        )
    return f"{name} is not a video or picture that can be read, whatever its name says; check the file"


def video_stream(container: InputContainer, name: str) -> VideoStream:
    """The first video stream that is no cover picture, set to decode with as many threads as help.

    Raises:
        InputError: there is none, its codec is unknown, or its frames are larger than `MAX_PIXELS`.
    """
    import av

    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        covers = len(container.streams.video)
        kinds = sorted({stream.type for stream in container.streams if covers == 0 or stream.type != "video"})
        held = ", ".join([*kinds, *(["a cover picture"] if covers else [])])
        only = f" (only {held})" if held else ", nor any other"
        raise InputError(f"{name} holds no video stream{only}; give a file with video")
    stream = streams[0]
    context = stream.codec_context
    if context is None:
        raise InputError(f"{name} has video of an unknown codec; convert it to H.264 first")
    if context.width * context.height > MAX_PIXELS:
        raise InputError(
            f"{name} declares frames of {context.width}x{context.height}, over the bound of {MAX_PIXELS} pixels; "
            "scale it down first"
        )
    context.options = {**context.options, "max_pixels": str(MAX_PIXELS)}
    stream.thread_type = "AUTO"
    if context.width * context.height <= LARGE_PIXELS:
        context.thread_count = min(MOST_THREADS, THREADS_A_CORE * (os.cpu_count() or 1))
    return stream


def describe(container: InputContainer, stream: VideoStream) -> SourceInfo:
    """What the headers say about a stream."""
    duration = None
    if stream.duration is not None and stream.time_base is not None:
        duration = float(stream.duration * stream.time_base)
    elif container.duration is not None:
        duration = container.duration / 1_000_000
    return SourceInfo(
        frames_from_header=stream.frames or None,
        fps_from_header=float(stream.average_rate) if stream.average_rate else None,
        duration_seconds=duration,
        size_hw=(stream.height, stream.width),
    )


class Colours:
    """The colours of one input's frames, mended; the first odd ones are told of.

    Args:
        name: how messages call the input.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._has_told = False

    def mend(self, native: av.VideoFrame) -> None:
        """See `mend_colours`."""
        odd = mend_colours(native)
        if odd and not self._has_told:
            log.warning("%s: %s is not supported, taken as unspecified", self._name, odd)
            self._has_told = True


def mend_colours(native: av.VideoFrame) -> str | None:
    """Take colours that swscale cannot do anything with as unspecified.

    Returns:
        What they were; None when there was nothing to mend.
    """
    matrix, value_range = native.colorspace, native.color_range
    if value_range == 0 and native.format.name.startswith("yuvj"):
        native.color_range = FULL_RANGE
    if matrix in KNOWN_MATRICES and value_range in KNOWN_RANGES:
        return None
    native.colorspace = matrix if matrix in KNOWN_MATRICES else UNSPECIFIED
    native.color_range = value_range if value_range in KNOWN_RANGES else 0
    return f"colour matrix {matrix} or range {value_range}"


def orientation(native: av.VideoFrame) -> tuple[int, bool]:
    """The counter-clockwise turn that makes a frame upright, a multiple of 90 degrees; whether it is mirrored then.

    With (p, q) a stored pixel, q downwards, it is shown at x' = a p + c q, y' = b p + d q.

    Source: ISO/IEC 14496-12, 6.2.2 (the matrix); a negative determinant mirrors.
    """
    from av.sidedata.sidedata import SideDataContainer

    try:
        # Of `native.side_data` the frame and its side data would hold each other, and so the memory, for long.
        # PyAV's stubs leave out what it is made of.
        container = cast("Callable[[av.VideoFrame], Mapping[str, SideData]]", SideDataContainer)
        matrix = container(native).get("DISPLAYMATRIX")
    except ValueError:
        # Side data of a kind that PyAV does not know stands beside it.
        return round(native.rotation / 90) * 90 % 360, False
    if matrix is None:
        return 0, False
    a, b, _, c, d, *_ = struct.unpack("9i", bytes(matrix))
    is_mirrored = a * d - b * c < 0
    degrees = math.degrees(math.atan2(-b, -a if is_mirrored else a))
    return round(round(degrees) / 90) * 90 % 360, is_mirrored


def reason(error: Exception) -> str:
    """FFmpeg's words for an error, without number and file."""
    return getattr(error, "strerror", None) or str(error)


def why_undecodable(error: av.FFmpegError, stream: VideoStream) -> str:
    """FFmpeg's words for a packet that its decoder refuses; it has one word for what is wrong and what is too large."""
    if stream.codec_context.width:
        return reason(error)
    return f"{reason(error)} (of unknown size; frames of more than {MAX_PIXELS} pixels are not read)"
