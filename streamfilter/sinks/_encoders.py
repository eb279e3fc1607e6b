"""Which encoders and containers go together, and how each is told its quality."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from streamfilter.errors import OutputError
from streamfilter.sinks._base import SinkOptions
from streamfilter.sinks._clock import TIME_BASE

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream

FORMATS = {".mp4": "mp4", ".mkv": "matroska", ".mov": "mov", ".webm": "webm", ".ts": "mpegts"}
"""FFmpeg's name of the container for each suffix. AVI is left out: it has a frame rate and no time stamps."""
PIXEL_FORMAT = "yuv420p"
TRIAL_SIZE = 256
NOMINAL_FPS = 25
# FFmpeg's quantiser scale 3, times FF_QP2LAMBDA: near-transparent for the encoders that have no constant rate factor.
GOOD_QUANTISER = 3 * 118


@dataclass(frozen=True)
class _Quality:
    """How one encoder is told its quality."""

    key: str
    """The option that takes the constant rate factor."""
    worst: int
    """The largest value it allows."""
    others: dict[str, str] = field(default_factory=dict)
    """What else it needs, speed above all."""


_QUALITY = {
    "libx264": _Quality("crf", 51, {"preset": "veryfast"}),
    # Of a stream shorter than its reordering delay, x265 reads decoding times from memory it never wrote: no B-frames.
    "libx265": _Quality("crf", 51, {"preset": "veryfast", "bf": "0", "x265-params": "log-level=error"}),
    "libvpx-vp9": _Quality("crf", 63, {"deadline": "good", "cpu-used": "4", "row-mt": "1"}),
    "libsvtav1": _Quality("crf", 63, {"preset": "8"}),
    "libaom-av1": _Quality("crf", 63, {"cpu-used": "6", "row-mt": "1"}),
    "h264_nvenc": _Quality("cq", 51),
    "hevc_nvenc": _Quality("cq", 51),
    "av1_nvenc": _Quality("cq", 51),
}


def add_encoder(container: OutputContainer, options: SinkOptions, width: int, height: int) -> VideoStream:
    """A video stream that takes yuv420p frames stamped in ticks of 1/60000 s.

    Args:
        container: open for writing, without streams.
        options: the codec and the constant rate factor.
        width: pixels, even.
        height: pixels, even.

    Raises:
        OutputError: the constant rate factor is out of the encoder's range.
    """
    settings = _settings(options, container.format.name)
    stream = container.add_stream(
        options.codec, rate=NOMINAL_FPS, time_base=TIME_BASE, width=width, height=height, options=settings
    )
    video = cast("VideoStream", stream)
    video.codec_context.pix_fmt = PIXEL_FORMAT
    return video


def _settings(options: SinkOptions, container_format: str) -> dict[str, str]:
    # MPEG-TS has no edit list: reordered frames would come back later than they were stamped.
    settings = {"bf": "0"} if container_format == "mpegts" else {}
    quality = _QUALITY.get(_encoder_of(options.codec))
    if quality is None:
        return {**settings, "flags": "+qscale", "global_quality": str(GOOD_QUANTISER)}
    if options.crf > quality.worst:
        raise OutputError(f"crf {options.crf} is too large for {options.codec}; it takes 0-{quality.worst}")
    return {**settings, **quality.others, quality.key: str(options.crf)}


def _encoder_of(codec: str) -> str:
    """The encoder that FFmpeg takes for a codec's name: `libx264` for `h264`, itself for an encoder's own."""
    import av

    return av.Codec(codec, "w").name


def check_encoder(options: SinkOptions, suffix: str) -> None:
    """Encode one grey frame in memory and read it back, so that a bad choice fails before the work starts.

    Args:
        options: the codec and its settings.
        suffix: of the file, with the dot, lower case.

    Raises:
        OutputError: no such encoder, it does not run here, or this container cannot hold it.
    """
    import av

    try:
        is_video = av.Codec(options.codec, "w").type == "video"
    except av.codec.codec.UnknownCodecError:
        is_video = False
    if not is_video:
        raise OutputError(f"no video encoder {options.codec!r}; there are {', '.join(_usable())} and others")
    try:
        works = _try_encoder(options, FORMATS[suffix])
    except (av.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OutputError(_no_match(options.codec, suffix, reason)) from error
    if not works:
        raise OutputError(_no_match(options.codec, suffix, "it cannot be read back"))


def _usable() -> list[str]:
    import av

    return [name for name in _QUALITY if name in av.codecs_available]


def _no_match(codec: str, suffix: str, reason: str) -> str:
    return f"cannot write a {suffix} file with {codec} ({reason}); libx264 goes with .mp4, libvpx-vp9 with .webm"


def _try_encoder(options: SinkOptions, container_format: str) -> bool:
    import av

    memory = io.BytesIO()
    with av.open(memory, "w", format=container_format) as container:
        stream = add_encoder(container, options, TRIAL_SIZE, TRIAL_SIZE)
        grey = av.VideoFrame(TRIAL_SIZE, TRIAL_SIZE, PIXEL_FORMAT)
        grey.pts, grey.time_base = 0, TIME_BASE
        container.mux([*stream.encode(grey), *stream.encode(None)])
    memory.seek(0)
    with av.open(memory, "r", format=container_format) as written:
        return bool(written.streams.video) and next(written.decode(video=0), None) is not None
