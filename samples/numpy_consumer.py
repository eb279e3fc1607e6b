"""Kept frames into a numpy loop, here the mean brightness over time: python samples/numpy_consumer.py CLIP"""

import sys

import numpy as np

from streamfilter import Frame, StreamFilter


def consume(clip: str, stream_filter: StreamFilter) -> list[tuple[float | None, float]]:
    """(pts_seconds, mean brightness in 0-255) of each kept frame, first to last."""
    series: list[tuple[float | None, float]] = []

    def brightness(frame: Frame) -> None:
        series.append((frame.pts_seconds, float(np.mean(frame.rgb))))

    summary = stream_filter.pass_to(clip, brightness)
    print(f"{len(series)} of {summary.frames_read} frames kept", *summary.failures, sep="; ", file=sys.stderr)
    return series


def main() -> None:
    for seconds, brightness in consume(sys.argv[1], StreamFilter()):
        time = "     -" if seconds is None else f"{seconds:6.2f}"
        print(f"{time} s  {brightness:5.1f}")


if __name__ == "__main__":
    main()
