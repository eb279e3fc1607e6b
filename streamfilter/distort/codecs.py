"""What coding and transport do: JPEG, H.264 and H.265 by really encoding, a decoder's guesses for lost packets."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from streamfilter.distort.chance import random_of
from streamfilter.errors import PictureError
from streamfilter.frame import RGB

if TYPE_CHECKING:
    import av

FRAMES = 4
"""Of the clip a still picture becomes; the last one is the result."""
PAN = 0.03
"""How far the clip's view moves in all, as a share of the shorter side."""
LOSSY_PAN = 0.15
LEAST_SIDE = 64
"""Smaller pictures are padded for the encoders."""
SLICES = 12
START_CODE = b"\x00\x00\x01"
CODED_SLICES = (1, 5)
"""NAL unit types of slices: of a predicted frame, and of a keyframe."""

X264 = {"preset": "veryfast", "tune": "zerolatency", "g": "250", "bf": "0", "threads": "1"}
X265 = {"preset": "ultrafast", "tune": "zerolatency"}


def jpeg(rgb: RGB, quality: float) -> RGB:
    """Baseline JPEG with libjpeg's quantisation tables and 4:2:0 chroma, there and back."""
    import cv2

    flags = [
        cv2.IMWRITE_JPEG_QUALITY,
        int(quality),
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    ]
    encoded_whole, encoded = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), flags)
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if encoded_whole else None
    if decoded is None:
        raise PictureError(f"a {rgb.shape[1]}x{rgb.shape[0]} picture cannot be written as JPEG")
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def h264(rgb: RGB, qp: float) -> RGB:
    """The last frame of a short pan over the picture, coded by x264 at a constant quantiser."""
    return _last_of(rgb, "libx264", {**X264, "qp": f"{qp:.0f}"})


def h265(rgb: RGB, qp: float) -> RGB:
    """The last frame of a short pan over the picture, coded by x265 at a constant quantiser."""
    parameters = f"qp={qp:.0f}:keyint=250:bframes=0:pools=none:frame-threads=1:log-level=none"
    return _last_of(rgb, "libx265", {**X265, "x265-params": parameters})


def loss(rgb: RGB, percent: float) -> RGB:
    """What an H.264 decoder shows of a faster pan when `percent` of its packets are lost, the keyframe's as well.

    A packet is a slice, as on RTP; at least one is lost. The decoder fills the holes from what lies around or before.
    """
    clip = _pan(rgb, LOSSY_PAN, random_of(rgb, "pan"))
    units = _encode(clip, "libx264", {**X264, "qp": "24", "slices": str(SLICES)})
    kept = _lose(units, percent / 100, random_of(rgb, "loss"))
    return _decode(kept, "libx264", rgb.shape)


def _last_of(rgb: RGB, codec: str, options: dict[str, str]) -> RGB:
    clip = _pan(rgb, PAN, random_of(rgb, "pan"))
    return _decode(_encode(clip, codec, options), codec, rgb.shape)


def _pan(rgb: RGB, share: float, random: np.random.Generator) -> list[RGB]:
    """Frames of even size that move to the picture in a straight line; the last is the picture, padded if need be."""
    height, width = rgb.shape[:2]
    far = max(2, round(share * min(height, width)))
    angle = random.uniform(0, 2 * np.pi)
    padding = ((far, far + _missing(height)), (far, far + _missing(width)), (0, 0))
    large = np.pad(rgb, padding, mode="edge")
    tall, wide = height + _missing(height), width + _missing(width)
    left_to_go = np.linspace(1, 0, FRAMES)
    tops = far + np.rint(far * np.sin(angle) * left_to_go).astype(int)
    lefts = far + np.rint(far * np.cos(angle) * left_to_go).astype(int)
    return [large[top : top + tall, left : left + wide] for top, left in zip(tops, lefts, strict=True)]


def _missing(side: int) -> int:
    """Pixels to add to a side so that encoders take it."""
    return max(LEAST_SIDE - side, 0) if side < LEAST_SIDE else side % 2


def _encode(clip: Sequence[RGB], codec: str, options: dict[str, str]) -> list[bytes]:
    """One Annex B access unit a frame."""
    import av

    encoder: Any = av.CodecContext.create(codec, "w")
    encoder.height, encoder.width = clip[0].shape[:2]
    encoder.pix_fmt, encoder.time_base, encoder.framerate = "yuv420p", Fraction(1, 25), Fraction(25)
    encoder.options = options
    units = []
    try:
        for index, rgb in enumerate(clip):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), "rgb24").reformat(format="yuv420p")
            frame.pts = index
            units += [bytes(packet) for packet in encoder.encode(frame)]
        units += [bytes(packet) for packet in encoder.encode(None)]
    except (av.FFmpegError, ValueError) as error:
        raise PictureError(f"a {clip[0].shape[1]}x{clip[0].shape[0]} picture cannot be coded by {codec}") from error
    return units


def _decode(units: Sequence[bytes], codec: str, shape: tuple[int, ...]) -> RGB:
    """The last picture the decoder shows, cut to `shape`; broken units are passed over as in a live stream."""
    import av

    logging.getLogger("libav").setLevel(logging.CRITICAL)
    decoder: Any = av.CodecContext.create({"libx264": "h264", "libx265": "hevc"}[codec], "r")
    decoder.options = {"flags": "+output_corrupt"}
    decoder.thread_count = 1
    shown: av.VideoFrame | None = None
    for packet in [*(av.Packet(unit) for unit in units if unit), None]:
        try:
            for frame in decoder.decode(packet):
                shown = frame
        except av.FFmpegError:
            continue
    if shown is None:
        raise PictureError(f"nothing of a {shape[1]}x{shape[0]} picture could be decoded from {codec}")
    return np.ascontiguousarray(shown.to_ndarray(format="rgb24")[: shape[0], : shape[1]])


def _lose(units: Sequence[bytes], share: float, random: np.random.Generator) -> list[bytes]:
    """The access units without a random share of their slices."""
    split = [[START_CODE + part for part in unit.split(START_CODE)[1:]] for unit in units]
    slices = [
        (index, place)
        for index, parts in enumerate(split)
        for place, unit in enumerate(parts)
        if unit[len(START_CODE)] & 0x1F in CODED_SLICES
    ]
    count = min(len(slices), max(1, round(share * len(slices))))
    lost = {slices[place] for place in random.permutation(len(slices))[:count]}
    return [
        b"".join(unit for place, unit in enumerate(parts) if (index, place) not in lost)
        for index, parts in enumerate(split)
    ]
