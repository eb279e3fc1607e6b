"""Clips and pictures to measure with, made from photographs that scikit-image ships."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

FPS = 25
PHOTOGRAPHS = ("astronaut", "coffee", "chelsea", "rocket", "retina", "immunohistochemistry")
NOISE = 4.0
"""Standard deviation of a camera's noise, grey levels: without it 8 Mbit/s could not be spent."""
STEP = 3
"""Pixels a frame that the picture moves while the camera turns, at 1080p."""
PARTLY_SECONDS = 20
"""Length of a clip that is useless in part."""
STILL = 4
"""Seconds that the camera rests, and then turns."""

RGB = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ClipPlan:
    """A clip as a camera would record it."""

    name: str
    codec: str
    size_wh: tuple[int, int]
    megabits: float
    """A second."""
    options: dict[str, str]


CAMERA = {"preset": "veryfast", "g": "50", "bf": "0"}
H265 = {"preset": "superfast", "x265-params": "keyint=50:log-level=none"}
PLANS = {
    plan.name: plan
    for plan in (
        ClipPlan("1080p-h264", "libx264", (1920, 1080), 8, CAMERA),
        ClipPlan("1080p-h265", "libx265", (1920, 1080), 5, H265),
        ClipPlan("1080p-mjpeg", "mjpeg", (1920, 1080), 60, {}),
        ClipPlan("4k-h264", "libx264", (3840, 2160), 20, CAMERA),
        ClipPlan("4k-h265", "libx265", (3840, 2160), 12, H265),
        ClipPlan("4k-mjpeg", "mjpeg", (3840, 2160), 160, {}),
        ClipPlan("720p-h264", "libx264", (1280, 720), 4, CAMERA),
    )
}


def make_clip(plan: ClipPlan, seconds: float, folder: Path) -> Path:
    """Write a clip unless it is there: see `views`.

    Args:
        plan: size, codec, bit rate.
        seconds: its length.
        folder: where it goes.

    Returns:
        The file, Matroska.
    """
    target = folder / f"{plan.name}-{seconds:g}s.mkv"
    if target.is_file():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}")
    width, height = plan.size_wh
    with av.open(str(part), "w", format="matroska") as container:
        stream = container.add_stream(plan.codec, rate=FPS, options=plan.options)
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuvj420p" if plan.codec == "mjpeg" else "yuv420p"
        stream.bit_rate = int(plan.megabits * 1e6)
        for index, picture in enumerate(views(plan.size_wh, round(seconds * FPS))):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=stream.pix_fmt)
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    part.rename(target)
    return target


def views(size_wh: tuple[int, int], count: int, seed: int = 0) -> Iterator[RGB]:
    """Pictures of a camera that looks at a wall of photographs: `STILL` seconds at rest, then as many turning.

    A small photograph wanders across all the time, and each picture has new noise.

    Args:
        size_wh: of each, pixels.
        count: how many.
        seed: of the noise.

    Yields:
        (H, W, 3) uint8, RGB, HWC, 0-255.
    """
    rng = np.random.default_rng(seed)
    width, height = size_wh
    wall, thing = _wall(size_wh), _photograph("chelsea", height // 4)
    noise = rng.normal(0, NOISE, (height + 64, width + 64, 3)).astype(np.int16)
    room, step = wall.shape[1] - width, max(1, STEP * width // 1920)
    turned = 0
    for index in range(count):
        turned += step if index // (STILL * FPS) % 2 else 0
        left = _there_and_back(turned, room)
        picture = wall[:, left : left + width].astype(np.int16)
        at, top = _there_and_back(2 * index * step, width - thing.shape[1]), height // 3
        picture[top : top + thing.shape[0], at : at + thing.shape[1]] = thing
        down, side = rng.integers(0, 64, 2)
        picture += noise[down : down + height, side : side + width]
        yield np.clip(picture, 0, 255).astype(np.uint8)


def partly_useless(share: float, folder: Path) -> Path:
    """A 720p clip of which a share of the seconds is defocused beyond use."""
    target = folder / f"useless-{share:g}.mkv"
    if target.is_file():
        return target
    plan, part = PLANS["720p-h264"], target.with_name(f".{target.name}")
    folder.mkdir(parents=True, exist_ok=True)
    with av.open(str(part), "w", format="matroska") as container:
        stream = container.add_stream(plan.codec, rate=FPS, options=plan.options)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = (
            *plan.size_wh,
            "yuv420p",
            int(plan.megabits * 1e6),
        )
        for index, picture in enumerate(views(plan.size_wh, PARTLY_SECONDS * FPS)):
            is_useless = int(index * share) != int((index + 1) * share) if share < 1 else True
            shown = cv2.GaussianBlur(picture, (0, 0), 25) if is_useless else picture
            frame = av.VideoFrame.from_ndarray(np.asarray(shown, np.uint8), format="rgb24").reformat(format="yuv420p")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    part.rename(target)
    return target


def photographs(folder: Path, count: int) -> Path:
    """So many 12-megapixel JPEG files."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, picture in enumerate(views((4000, 3000), count)):
        path = folder / f"{index:03d}.jpg"
        if not path.is_file():
            Image.fromarray(picture).save(path, quality=90)
    return folder


def repeated(clip: Path, times: int, folder: Path) -> Path:
    """The clip's packets so many times one after another."""
    target = folder / f"{clip.stem}-x{times}.mkv"
    if times == 1 or target.is_file():
        return clip if times == 1 else target
    with av.open(str(target), "w") as container:
        stream, shift = None, 0
        for _ in range(times):
            with av.open(str(clip)) as source:
                inner = source.streams.video[0]
                stream = stream or container.add_stream_from_template(inner)
                end = shift
                for packet in source.demux(inner):
                    if packet.pts is None or packet.dts is None:
                        continue
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    end = max(end, packet.pts + (packet.duration or 0))
                    packet.stream = stream
                    container.mux(packet)
                shift = end
    return target


def _there_and_back(way: int, room: int) -> int:
    place = way % (2 * room)
    return place if place < room else 2 * room - place


def _wall(size_wh: tuple[int, int]) -> RGB:
    """Two rows of photographs side by side, twice as wide as the view."""
    width, height = size_wh
    rows = []
    for first in range(2):
        row: list[RGB] = []
        while sum(part.shape[1] for part in row) < 2 * width:
            row.append(_photograph(PHOTOGRAPHS[(first * 3 + len(row)) % len(PHOTOGRAPHS)], height // 2))
        rows.append(np.concatenate(row, axis=1)[:, : 2 * width])
    return np.concatenate(rows)


def _photograph(name: str, height: int) -> RGB:
    import skimage.data

    picture = getattr(skimage.data, name)()
    shape = (round(picture.shape[1] * height / picture.shape[0]), height)
    return np.asarray(cv2.resize(picture, shape, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
