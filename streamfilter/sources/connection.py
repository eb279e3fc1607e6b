"""One connect to a live stream: how FFmpeg is asked for it, and what its refusals mean."""

from __future__ import annotations

import errno
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from streamfilter.address import mask
from streamfilter.sources.base import MAX_PIXELS, ConnectionRefused
from streamfilter.sources.container import reason
from streamfilter.sources.decoders import HARDWARE, check_decoder, decoder_of, no_hardware_for, open_decoder
from streamfilter.sources.refusals import device_refusal, refusal
from streamfilter.stream_config import LiveSettings

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream

log = logging.getLogger(__name__)

SCHEMES = ("rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "srt", "udp", "rtp", "v4l2")
"""Addresses of live streams."""
V4L2_PREFIX = "/dev/video"
PROTOCOLS = {"http": "http,https,tcp,tls,crypto,data,httpproxy", "rtsp": "rtsp,rtsps,rtp,srtp,udp,tcp,tls,http,https"}
"""What a stream of a scheme may open in its turn; a playlist must not reach files."""
ANALYSIS_SECONDS = 1.0
RTMP_ANALYSIS_SECONDS = 0.3
"""How much of a stream is looked at for what it holds. RTMP says that there is audio even where there is none, and all
of this time is spent waiting for it."""
PATIENT_SHARE = 0.8
"""Share of the time for a connect that a stream is looked at which brought audio only, up to now: over RTMP the video
begins with the next keyframe."""


@dataclass(frozen=True, eq=False)
class Connection:
    """An open stream and what decodes it."""

    container: InputContainer
    stream: VideoStream
    decoder: VideoCodecContext
    is_playlist: bool
    """Whether it comes in bursts (HLS) that have to be paced."""
    is_complete: bool
    """Whether it is a playlist that nothing will be added to."""


def is_live_address(text: str) -> bool:
    """Whether an input is the address of a live stream."""
    return text.startswith(V4L2_PREFIX) or (text.partition("://")[0].lower() in SCHEMES and "://" in text)


def connect(uri: str, settings: LiveSettings) -> Connection:
    """Open a live stream, one way or, for RTSP with `auto`, another.

    Raises:
        ConnectionRefused: the server refuses us, or it has nothing that can be decoded.
        InputError: no connect came about; the message says why.
    """
    check_decoder(settings.decoder)
    scheme = "v4l2" if uri.startswith(V4L2_PREFIX) else uri.partition("://")[0].lower()
    container = _reach(uri, scheme, settings, RTMP_ANALYSIS_SECONDS if "rtmp" in scheme else ANALYSIS_SECONDS)
    if len(container.streams) and not container.streams.video:
        container.close()
        container = _reach(uri, scheme, settings, PATIENT_SHARE * settings.open_timeout_seconds)
    return _prepared(container, uri, settings)


def _reach(uri: str, scheme: str, settings: LiveSettings, analysis_seconds: float) -> InputContainer:
    import av

    ways = _transports(scheme, settings.transport)
    logs: list[tuple[int, str, str]] = []
    for way in ways:
        started = time.monotonic()
        try:
            with av.logging.Capture() as logs:
                container = _open(uri, scheme, way, settings, analysis_seconds)
        except av.FFmpegError as error:
            if way != ways[-1] and error.errno == errno.EPROTONOSUPPORT:
                log.info("%s: not by %s (%s), trying %s", mask(uri), way, reason(error), ways[-1])
                continue
            if scheme == "v4l2":
                raise device_refusal(_address(uri, scheme), error, logs) from error
            is_late = time.monotonic() - started >= settings.open_timeout_seconds
            raise refusal(uri, error, logs, settings.open_timeout_seconds, is_late) from error
        except ValueError as error:
            raise ConnectionRefused(f"{mask(uri)} cannot be opened: {error}") from error
        except RuntimeError as error:
            raise ConnectionRefused(no_hardware_for(settings.decoder or "", mask(uri))) from error
        if len(ways) > 1:
            log.info("%s: transport auto chose %s", mask(uri), way)
        return container
    raise AssertionError("a transport is tried")


def _transports(scheme: str, chosen: str) -> tuple[str, ...]:
    if not scheme.startswith("rtsp"):
        return ("",)
    return ("tcp", "udp") if chosen == "auto" else (chosen,)


def _address(uri: str, scheme: str) -> str:
    """What FFmpeg opens: it knows schemes in small letters only, and of devices just the path."""
    rest = uri.partition("://")[2]
    if scheme == "v4l2":
        return rest or uri
    return f"{scheme}://{rest}"


def _open(uri: str, scheme: str, transport: str, settings: LiveSettings, analysis_seconds: float) -> InputContainer:
    import av
    from av.codec.hwaccel import HWAccel

    analysis = f"{analysis_seconds * 1e6:.0f}"
    options = {"max_pixels": str(MAX_PIXELS), "analyzeduration": analysis, "fpsprobesize": "0"}
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
        _address(uri, scheme),
        format="v4l2" if scheme == "v4l2" else None,
        timeout=(settings.open_timeout_seconds, settings.stall_seconds),
        options=options,
        metadata_errors="replace",
        hwaccel=HWAccel(hardware, allow_software_fallback=False) if hardware else None,
    )


def _prepared(container: InputContainer, uri: str, settings: LiveSettings) -> Connection:
    try:
        stream = _video_of(container, uri)
        decoder = decoder_of(stream.codec_context, settings.decoder, mask(uri))
        decoder.options = {**decoder.options, "max_pixels": str(MAX_PIXELS)}
        # One thread: what the decoder complains of is then known to be of this packet, and no frame waits for another.
        decoder.thread_type, decoder.thread_count = "SLICE", 1
        open_decoder(decoder, settings.decoder, mask(uri))
    except BaseException:
        container.close()
        raise
    is_playlist = _is_playlist(uri)
    return Connection(container, stream, decoder, is_playlist, is_playlist and bool(container.duration))


def _video_of(container: InputContainer, uri: str) -> VideoStream:
    import av

    if not container.streams.video:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise ConnectionRefused(f"{mask(uri)} has no video (only {kinds}); give the address of a stream with video")
    stream = max(container.streams.video, key=_pixels)
    context = stream.codec_context
    if context is None:
        raise ConnectionRefused(f"{mask(uri)} has video of a codec that has no decoder here; set the camera to H.264")
    if context.width * context.height > MAX_PIXELS:
        size = f"{context.width}x{context.height}"
        raise ConnectionRefused(
            f"{mask(uri)} sends {size}, over the bound of {MAX_PIXELS} pixels; lower its resolution"
        )
    for other in container.streams:
        if other is not stream:
            # A playlist may name the same pictures in several sizes: the others are not fetched.
            other.discard = av.stream.Discard.all
    return stream


def _pixels(stream: VideoStream) -> int:
    return 0 if stream.codec_context is None else stream.codec_context.width * stream.codec_context.height


def _is_playlist(uri: str) -> bool:
    return Path(uri.partition("?")[0]).suffix.lower() in (".m3u8", ".m3u")
