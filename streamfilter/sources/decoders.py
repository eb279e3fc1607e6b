"""What decodes a live stream: FFmpeg's own choice, a decoder by name, or hardware; never another than was asked for."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from streamfilter.sources.base import ConnectionRefused, DecoderRefused
from streamfilter.sources.container import reason

if TYPE_CHECKING:
    import av
    from av.codec.codec import Codec
    from av.video.codeccontext import VideoCodecContext

HARDWARE = ("cuda", "vaapi", "qsv", "videotoolbox", "d3d11va", "vulkan")
"""What FFmpeg calls hardware that helps one of its own decoders."""
NOT_SET_UP = "Failed setup for format"
"""How FFmpeg says that hardware does not take a stream on: only with its first keyframe does it ask."""
USUAL_CODEC = "h264"
"""What cameras send: hardware is tried with it before the stream is there, and its decoders are listed."""


def check_decoder(name: str | None) -> None:
    """See that a decoder exists, before anything is connected to.

    Args:
        name: FFmpeg's name of it, or one of `HARDWARE`; None = FFmpeg's choice.

    Raises:
        ConnectionRefused: this FFmpeg has none of that name, or the hardware cannot be had; it lists those there are.
    """
    if name in HARDWARE:
        _prove_hardware(name)
    elif name is not None and _codec(name) is None:
        raise ConnectionRefused(f"this FFmpeg has no decoder {name!r}; {_listed(USUAL_CODEC)}")


def decoder_of(context: VideoCodecContext, name: str | None, stream_name: str) -> VideoCodecContext:
    """What decodes an open stream.

    Args:
        context: as the container brings it, with the hardware in it that was asked for.
        name: FFmpeg's name of a decoder, or one of `HARDWARE`; None = FFmpeg's choice.
        stream_name: how messages call the stream.

    Raises:
        ConnectionRefused: the decoder does not exist, is for another codec, or cannot be opened here.
    """
    import av

    if name is None:
        return context
    if name in HARDWARE:
        if not context.is_hwaccel:
            raise ConnectionRefused(no_hardware_for(name, stream_name))
        return context
    check_decoder(name)
    own = av.CodecContext.create(name, "r")
    if own.codec.id != context.codec.id:
        raise ConnectionRefused(
            f"decoder {name} does not decode {stream_name}, which is {context.codec.canonical_name}; "
            f"{_listed(context.codec.name)}"
        )
    own.extradata = context.extradata
    return own  # type: ignore[return-value]


def open_decoder(decoder: VideoCodecContext, name: str | None, stream_name: str) -> None:
    """Open a decoder that was asked for by name; FFmpeg's choice opens with the first packet.

    Raises:
        ConnectionRefused: what it needs is missing here, such as a driver.
    """
    import av

    if name is None:
        return
    with av.logging.Capture() as logs:
        try:
            decoder.open(strict=False)
        except av.FFmpegError as error:
            why = _why(error, logs)
            told = f"decoder {name} cannot be had here for {stream_name} ({why}); {_listed(decoder.codec.name, name)}"
            raise ConnectionRefused(told) from error


def check_first_frame(
    name: str | None, stream_name: str, error: av.FFmpegError, logs: list[tuple[int, str, str]]
) -> None:
    """See that hardware is not why a stream cannot be decoded from its first frame on.

    Args:
        name: the decoder that was asked for.
        stream_name: how messages call the stream.
        error: what FFmpeg raised.
        logs: what it said meanwhile: level, component, message.

    Raises:
        DecoderRefused: the hardware does not take the stream on, or a library of it is missing.
    """
    if name in HARDWARE and any(NOT_SET_UP in message for _, _, message in logs):
        told = f"decoder {name} cannot decode {stream_name} here ({_why(error, logs)}); {_listed(USUAL_CODEC, name)}"
        raise DecoderRefused(told) from error


def no_hardware_for(name: str, stream_name: str) -> str:
    """The line for a stream that the hardware does not decode."""
    return f"decoder {name} does not decode {stream_name}; {_listed(USUAL_CODEC, name)}"


@functools.cache
def _prove_hardware(name: str) -> None:
    import av
    from av.codec.hwaccel import HWAccel

    if name not in _hardware(USUAL_CODEC):
        raise ConnectionRefused(f"this FFmpeg has no decoder {name!r} built in; {_listed(USUAL_CODEC)}")
    with av.logging.Capture() as logs:
        try:
            av.CodecContext.create(USUAL_CODEC, "r", hwaccel=HWAccel(name, allow_software_fallback=False))
        except av.FFmpegError as error:
            told = f"decoder {name} cannot be had here ({_why(error, logs)}); {_listed(USUAL_CODEC, name)}"
            raise ConnectionRefused(told) from error


def _why(error: av.FFmpegError, logs: list[tuple[int, str, str]]) -> str:
    """FFmpeg's first complaint: what follows it only hands it on."""
    import av

    said = [message.strip() for level, _, message in logs if level <= av.logging.ERROR]
    return said[0] if said else reason(error)


def _listed(codec: str, refused: str = "") -> str:
    """The decoders there are for a codec but for the one refused, as the end of a message."""
    import av

    wanted = av.Codec(codec, "r")
    found = [(name, other) for name in sorted(av.codecs_available) if (other := _codec(name)) is not None]
    names = [name for name, other in found if other.id == wanted.id] + _hardware(codec)
    others = ", ".join(name for name in names if name != refused)
    return f"for {wanted.canonical_name} there are {others}; leave it out for FFmpeg's choice"


def _hardware(codec: str) -> list[str]:
    """Hardware built in for one of FFmpeg's own decoders; whether this machine has it is another matter."""
    import av

    built_in = {config.device_type.name for config in av.Codec(codec, "r").hardware_configs if config.is_supported}
    return [name for name in HARDWARE if name in built_in]


def _codec(name: str) -> Codec | None:
    """The video decoder of that name, if there is one."""
    import av
    from av.codec.codec import UnknownCodecError

    try:
        codec = av.Codec(name, "r")
    except UnknownCodecError:
        return None
    return codec if codec.type == "video" else None
