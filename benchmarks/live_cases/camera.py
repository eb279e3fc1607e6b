"""Clips as cameras would send them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av

FPS = 25


def as_camera(source: Path, target: Path, width: int, gop: int, count: int) -> Path:
    """Encode a clip as H.264 without B-frames, repeated until it has so many frames.

    One slice a picture: the server would repeat the parameter sets before each slice of a keyframe, which splits it.

    Args:
        source: the clip.
        target: the MP4 file to write.
        width: wider pictures are shrunk to it, pixels.
        gop: distance of keyframes in frames.
        count: how many frames.
    """
    pictures = _pictures(source, width)
    options = {"preset": "veryfast", "g": str(gop), "keyint_min": str(gop), "sc_threshold": "0", "bf": "0", "crf": "23",
               "threads": "1"}  # fmt: skip
    with av.open(str(target), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = pictures[0].width, pictures[0].height, "yuv420p"
        for index in range(count):
            # There and back again: a cut would be a keyframe of its own.
            place = index % (2 * len(pictures) - 2)
            frame = pictures[place if place < len(pictures) else 2 * len(pictures) - 2 - place]
            frame.pts, frame.time_base, frame.pict_type = index, Fraction(1, FPS), 0
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return target


def _pictures(source: Path, width: int, most: int = 400) -> list[av.VideoFrame]:
    with av.open(str(source)) as container:
        pictures = []
        for frame in container.decode(video=0):
            height = 2 * round(frame.height * width / frame.width / 2)
            pictures.append(frame.reformat(width, height, "yuv420p") if frame.width > width else frame)
            if len(pictures) == most:
                break
        return pictures
