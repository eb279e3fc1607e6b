"""Small real media, made by the libraries that read them."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from PIL import Image

RGB = npt.NDArray[np.uint8]
CORNERS = np.array([[(255, 0, 0), (0, 255, 0)], [(0, 0, 255), (255, 255, 255)]], dtype=np.uint8)
"""Red top left, green top right, blue bottom left, white bottom right: tells every turn and mirror image apart."""


def corners(height: int = 96, width: int = 128) -> RGB:
    """(height, width, 3) uint8 RGB of four flat quarters in the colours of `CORNERS`."""
    rows = (np.arange(height) * 2 // height)[:, None]
    columns = (np.arange(width) * 2 // width)[None, :]
    return CORNERS[rows, columns]


def corner_colours(rgb: RGB) -> npt.NDArray[np.int64]:
    """(2, 2, 3): the colours near the four corners, rounded to 0 or 255."""
    height, width = rgb.shape[:2]
    picked = rgb[np.ix_([height // 8, height - 1 - height // 8], [width // 8, width - 1 - width // 8])]
    return np.where(picked > 127, 255, 0)


@cache
def photograph(height: int = 240, width: int = 320) -> RGB:
    """(height, width, 3) uint8 RGB of a real photograph that scikit-image ships."""
    import skimage.data

    picture = Image.fromarray(skimage.data.astronaut()).resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(picture)


def moving_pictures(count: int, height: int = 96, width: int = 128) -> list[RGB]:
    """`count` crops that wander over the photograph."""
    picture = photograph(height + 2 * count, width + 2 * count)
    return [picture[2 * i : 2 * i + height, 2 * i : 2 * i + width] for i in range(count)]


def write_video(
    path: Path,
    pictures: Sequence[RGB],
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    fps: int = 25,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    rotation_degrees: int = 0,
    is_mirrored: bool = False,
    pixel_aspect: Fraction | None = None,
    movflags: str = "",
    options: dict[str, str] | None = None,
) -> Path:
    """Encode pictures as a video, the container chosen by the suffix.

    Args:
        path: where to.
        pictures: (H, W, 3) uint8 RGB each, all of one size.
        codec: FFmpeg's name of the encoder.
        pix_fmt: what is encoded.
        fps: frames a second, when `pts` is None.
        pts: presentation times in units of `time_base`; None = 0, 1, 2 ... over `fps`.
        time_base: seconds a unit; None = 1 / fps.
        rotation_degrees: display matrix that asks players for this counter-clockwise turn.
        is_mirrored: the matrix also asks for left and right to be exchanged after it.
        pixel_aspect: width of a pixel over its height; None = not said.
        movflags: of the MP4 muxer, such as `faststart`.
        options: of the encoder.

    Returns:
        `path`.
    """
    base = time_base or Fraction(1, fps)
    with av.open(str(path), "w", options={"movflags": movflags} if movflags else {}) as container:
        stream = container.add_stream(codec, rate=fps, options=options or {})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.codec_context.time_base = base
        stream.time_base = base
        if pixel_aspect is not None:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        if rotation_degrees or is_mirrored:
            stream.set_display_rotation(rotation_degrees, hflip=is_mirrored)
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24").reformat(format=pix_fmt)
            frame.pts = index if pts is None else pts[index]
            frame.time_base = base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def loop_video(path: Path, times: int, out: Path) -> Path:
    """The same video several times over, its packets copied."""
    with av.open(str(path)) as source:
        packets = [packet for packet in source.demux(video=0) if packet.dts is not None]
        length = max(packet.pts + packet.duration for packet in packets) - min(packet.pts for packet in packets)
    with av.open(str(out), "w") as target:
        copy = None
        for turn in range(times):
            with av.open(str(path)) as source:
                stream = source.streams.video[0]
                copy = copy or target.add_stream_from_template(stream)
                for packet in source.demux(stream):
                    if packet.dts is None:
                        continue
                    packet.pts, packet.dts = packet.pts + turn * length, packet.dts + turn * length
                    packet.stream = copy
                    target.mux(packet)
    return out


def write_audio(path: Path, seconds: float = 0.5) -> Path:
    """A sine tone and nothing else."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        tone = 0.3 * np.sin(np.arange(int(48000 * seconds)) * 0.05).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(tone[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 48000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def cut(path: Path, keep: float, out: Path) -> Path:
    """The first part of a file, `keep` of its bytes."""
    data = path.read_bytes()
    out.write_bytes(data[: int(len(data) * keep)])
    return out


def jpeg_bytes(picture: RGB, quality: int = 90, **options: object) -> bytes:
    """A picture as a JPEG file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality, **options)
    return buffer.getvalue()


def exif_bytes(orientation: int = 1, thumbnail: bytes = b"") -> bytes:
    """An EXIF block for Pillow's `exif=`: an orientation, and a JPEG thumbnail in IFD1."""
    entry = struct.pack("<HHII", 0x0112, 3, 1, orientation)
    next_ifd = 8 + 2 + 12 + 4
    ifd0 = struct.pack("<H", 1) + entry + struct.pack("<I", next_ifd if thumbnail else 0)
    header = b"Exif\0\0II*\0" + struct.pack("<I", 8)
    if not thumbnail:
        return header + ifd0
    start = next_ifd + 2 + 2 * 12 + 4
    offset = struct.pack("<HHII", 0x0201, 4, 1, start)
    length = struct.pack("<HHII", 0x0202, 4, 1, len(thumbnail))
    return header + ifd0 + struct.pack("<H", 2) + offset + length + struct.pack("<I", 0) + thumbnail


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG file, with its checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bytes(width: int, height: int, depth: int, colour_type: int, rows: bytes) -> bytes:
    """A PNG file of raw rows, each led by its filter byte."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def bomb_png(width: int = 30_000, height: int = 30_000) -> bytes:
    """Under 200 bytes that are a valid PNG header for a huge picture."""
    return png_bytes(width, height, 8, 2, b"\0" * 100)
