"""One connect to a live stream: how FFmpeg is asked for it, and what its refusals mean."""

from __future__ import annotations

import errno
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from streamfilter.address import mask
from streamfilter.errors import InputError
from streamfilter.sources.base import MAX_PIXELS
from streamfilter.sources.container import reason
from streamfilter.stream_config import LiveSettings

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream

log = logging.getLogger(__name__)

SCHEMES = ("rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "srt", "udp", "rtp", "v4l2")
"""Addresses of live streams."""
V4L2_PREFIX = "/dev/video"
HARDWARE = ("cuda", "vaapi", "qsv", "videotoolbox", "d3d11va", "vulkan")
PROTOCOLS = {"http": "http,https,tcp,tls,crypto,data,httpproxy", "rtsp": "rtsp,rtsps,rtp,srtp,udp,tcp,tls,http,https"}
"""What a stream of a scheme may open in its turn; a playlist must not reach files."""


class ConnectionRefused(InputError):
    """A connect that failed in a way that another try will hardly mend."""


@dataclass(frozen=True, eq=False)
class Connection:
    """An open stream and what decodes it."""

    container: InputContainer
    stream: VideoStream
    decoder: VideoCodecContext
    is_playlist: bool
    """Whether it comes in bursts (HLS) that have to be paced."""


def is_live_address(text: str) -> bool:
    """Whether an input is the address of a live stream."""
    return text.startswith(V4L2_PREFIX) or (text.partition("://")[0].lower() in SCHEMES and "://" in text)


def connect(uri: str, settings: LiveSettings) -> Connection:
    """Open a live stream, one way or, for RTSP with `auto`, another.

    Raises:
        ConnectionRefused: the server refuses us, or it has nothing that can be decoded.
        InputError: no connect came about; the message says why.
    """
    import av

    scheme = "v4l2" if uri.startswith(V4L2_PREFIX) else uri.partition("://")[0].lower()
    ways = _transports(scheme, settings.transport)
    logs: list[tuple[int, str, str]] = []
    for way in ways:
        started = time.monotonic()
        try:
            with av.logging.Capture() as logs:
                container = _open(uri, scheme, way, settings)
        except av.FFmpegError as error:
            if way != ways[-1] and error.errno == errno.EPROTONOSUPPORT:
                log.info("%s: not by %s (%s), trying %s", mask(uri), way, reason(error), ways[-1])
                continue
            is_late = time.monotonic() - started >= settings.open_timeout_seconds
            raise _refusal(uri, error, logs, settings, is_late) from error
        except ValueError as error:
            raise ConnectionRefused(f"{mask(uri)} cannot be opened: {error}") from error
        if len(ways) > 1:
            log.info("%s: transport auto chose %s", mask(uri), way)
        return _prepared(container, uri, settings)
    raise AssertionError("a transport is tried")


def _transports(scheme: str, chosen: str) -> tuple[str, ...]:
    if not scheme.startswith("rtsp"):
        return ("",)
    return ("tcp", "udp") if chosen == "auto" else (chosen,)


def _open(uri: str, scheme: str, transport: str, settings: LiveSettings) -> InputContainer:
    import av
    from av.codec.hwaccel import HWAccel

    options = {"max_pixels": str(MAX_PIXELS), "analyzeduration": "1000000", "fpsprobesize": "0"}
    if transport:
        options["rtsp_transport"] = transport
        options["buffer_size"] = str(4 * 2**20)
    family = "http" if scheme.startswith("http") else "rtsp"
    if scheme.startswith(("http", "rtsp")):
        options["protocol_whitelist"] = PROTOCOLS[family]
    if scheme.startswith("http") and not _is_playlist(uri):
        options["use_wallclock_as_timestamps"] = "1"
    hardware = settings.decoder if settings.decoder in HARDWARE else None
    return av.open(
        uri.removeprefix("v4l2://"),
        format="v4l2" if scheme == "v4l2" else None,
        timeout=(settings.open_timeout_seconds, settings.stall_seconds),
        options=options,
        metadata_errors="replace",
        hwaccel=HWAccel(hardware, allow_software_fallback=False) if hardware else None,
    )


def _prepared(container: InputContainer, uri: str, settings: LiveSettings) -> Connection:
    try:
        stream = _video_of(container, uri)
        decoder = _decoder_of(stream, uri, settings)
    except BaseException:
        container.close()
        raise
    return Connection(container, stream, decoder, _is_playlist(uri))


def _video_of(container: InputContainer, uri: str) -> VideoStream:
    if not container.streams.video:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise ConnectionRefused(f"{mask(uri)} has no video (only {kinds}); give the address of a stream with video")
    stream = container.streams.video[0]
    context = stream.codec_context
    if context is None:
        raise ConnectionRefused(f"{mask(uri)} has video of a codec that has no decoder here; set the camera to H.264")
    if context.width * context.height > MAX_PIXELS:
        size = f"{context.width}x{context.height}"
        raise ConnectionRefused(
            f"{mask(uri)} sends {size}, over the bound of {MAX_PIXELS} pixels; lower its resolution"
        )
    return stream


def _decoder_of(stream: VideoStream, uri: str, settings: LiveSettings) -> VideoCodecContext:
    import av

    context = stream.codec_context
    if settings.decoder is not None and settings.decoder not in HARDWARE:
        try:
            own = av.CodecContext.create(settings.decoder, "r")
        except ValueError as error:
            raise ConnectionRefused(
                f"no decoder {settings.decoder!r} here for {mask(uri)}; see `ffmpeg -decoders`"
            ) from error
        own.extradata = context.extradata
        context = own  # type: ignore[assignment]
    context.options = {**context.options, "max_pixels": str(MAX_PIXELS)}
    # One thread: what the decoder complains of is then known to be of this packet, and no frame waits for another.
    context.thread_type, context.thread_count = "SLICE", 1
    return context


def _refusal(
    uri: str, error: av.FFmpegError, logs: list[tuple[int, str, str]], settings: LiveSettings, is_late: bool
) -> InputError:
    """What a failed connect means; `is_late` when the time was up, whatever FFmpeg made of the half it had."""
    import av

    name = mask(uri)
    if isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError):
        return ConnectionRefused(f"{name} refuses the user or password (401/403); check them")
    if isinstance(error, av.error.HTTPNotFoundError):
        return InputError(f"{name} is not there (404); check the path")
    if isinstance(error, av.error.ExitError | av.error.TimeoutError) or is_late:
        return InputError(
            f"{name} did not answer within {settings.open_timeout_seconds:g} s; check address and network"
        )
    if isinstance(error, av.error.ConnectionRefusedError):
        return InputError(f"{name} refuses the connection; check that the server runs and the port is right")
    said = [message.strip() for level, _, message in logs if level <= av.logging.ERROR]
    detail = f"{reason(error)}: {mask(said[-1])}" if said else reason(error)
    return InputError(f"{name} cannot be opened ({detail}); check the address")


def _is_playlist(uri: str) -> bool:
    return Path(uri.partition("?")[0]).suffix.lower() in (".m3u8", ".m3u")
