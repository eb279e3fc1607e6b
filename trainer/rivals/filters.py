"""ffmpeg's blockdetect and blurdetect, with their default settings."""

from __future__ import annotations

import math

from streamfilter.errors import PictureError
from trainer.rivals.case import Case

WORST_BLOCK = 10_000.0
WORST_BLUR = 100.0
"""The filter follows an edge for at most 50 pixels to either side."""


def blockdetect(case: Case) -> float:
    """Minus `lavfi.block`: how much stronger gradients are on a grid than off it.

    A flat picture, whose figure is undefined, and figures beyond it get -`WORST_BLOCK`.
    """
    return -_metadata(case, "blockdetect", "lavfi.block", WORST_BLOCK)


def blurdetect(case: Case) -> float:
    """Minus `lavfi.blur`: mean width of the edges, pixels; a picture without an edge gets -`WORST_BLUR`."""
    return -_metadata(case, "blurdetect", "lavfi.blur", WORST_BLUR)


def _metadata(case: Case, name: str, key: str, worst: float) -> float:
    import av
    from av.filter import Graph

    height, width = case.grey.shape
    try:
        graph = Graph()
        graph.threads = 1
        source = graph.add("buffer", f"video_size={width}x{height}:pix_fmt=gray:time_base=1/25:pixel_aspect=1/1")
        sink = graph.add("buffersink")
        detector = graph.add(name)
        source.link_to(detector)
        detector.link_to(sink)
        graph.configure()
        frame = av.VideoFrame.from_ndarray(case.grey, format="gray")
        frame.pts = 0
        source.push(frame)
        value = float(sink.pull().metadata[key])
    except (av.FFmpegError, KeyError, ValueError) as error:
        raise PictureError(f"ffmpeg's {name} failed on a {width}x{height} picture: {error}") from error
    return min(value, worst) if math.isfinite(value) else worst
