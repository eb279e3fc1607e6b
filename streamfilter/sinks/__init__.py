"""Sinks: what takes the frames once their fate is decided."""

from __future__ import annotations

import sys
from pathlib import Path

from streamfilter.errors import OutputError
from streamfilter.sinks._base import Sink, SinkOptions
from streamfilter.sinks._encoders import FORMATS
from streamfilter.sinks.callback import CallbackSink
from streamfilter.sinks.images import ImagesSink
from streamfilter.sinks.mjpeg import MjpegSink
from streamfilter.sinks.records import RecordsSink
from streamfilter.sinks.video import VideoSink

__all__ = [
    "CallbackSink",
    "ImagesSink",
    "MjpegSink",
    "RecordsSink",
    "Sink",
    "SinkOptions",
    "VideoSink",
    "open_sink",
]


def open_sink(target: str, options: SinkOptions) -> Sink:
    """The sink for a path, ready to be written to.

    Args:
        target: `-` (raw MJPEG on standard output), a `.jsonl` file (records), a video file, or a folder for pictures:
            one that exists, ends in `/` or has no suffix.
        options: how kept frames are compressed.

    Raises:
        OutputError: nothing can be written there; the message lists what can.
    """
    if target == "-":
        return _standard_output(options)
    path = Path(target)
    if "://" not in target and target:
        if path.is_dir() or target.endswith("/") or not path.suffix:
            return ImagesSink(path, options)
        if path.suffix.lower() == ".jsonl":
            return RecordsSink(path)
        if path.suffix.lower() in FORMATS:
            return VideoSink(path, options)
    raise OutputError(
        f"cannot tell what to write to {target!r}: name a {', '.join(FORMATS)} (video) or .jsonl (records) file, "
        "a folder ending in / (pictures), or - (raw MJPEG on standard output)"
    )


def _standard_output(options: SinkOptions) -> Sink:
    if sys.stdout.isatty():
        raise OutputError("standard output is a terminal: pipe the MJPEG into a program or a file")
    return MjpegSink(sys.stdout.buffer, options)
