"""Sinks: what takes the frames once their fate is decided."""

from __future__ import annotations

import sys
from pathlib import Path

from streamfilter.address import mask
from streamfilter.errors import OutputError
from streamfilter.sinks._base import Sink, SinkOptions
from streamfilter.sinks._encoders import FORMATS
from streamfilter.sinks.callback import CallbackSink
from streamfilter.sinks.images import ImagesSink
from streamfilter.sinks.mjpeg import MjpegSink
from streamfilter.sinks.mqtt import MqttSink
from streamfilter.sinks.records import RecordsLog, RecordsSink
from streamfilter.sinks.rtsp import RtspSink
from streamfilter.sinks.video import VideoSink
from streamfilter.sinks.webhook import WebhookSink

__all__ = [
    "CallbackSink",
    "ImagesSink",
    "MjpegSink",
    "MqttSink",
    "RecordsLog",
    "RecordsSink",
    "RtspSink",
    "Sink",
    "SinkOptions",
    "VideoSink",
    "WebhookSink",
    "open_sink",
]


def open_sink(target: str, options: SinkOptions) -> Sink:
    """The sink for a path, ready to be written to.

    Args:
        target: `-` (raw MJPEG on standard output), a `.jsonl` file (records), a video file, a folder for pictures (one
            that exists, ends in `/` or has no suffix), or an address: `rtsp://` (publish), `http://` (webhook),
            `mqtt://`.
        options: how kept frames are compressed.

    Raises:
        OutputError: nothing can be written there; the message lists what can.
    """
    if target == "-":
        return _standard_output(options)
    path = Path(target)
    scheme = target.partition("://")[0].lower() if "://" in target else ""
    if scheme in ("rtsp", "rtsps"):
        return RtspSink(target, options)
    if scheme in ("http", "https"):
        return WebhookSink(target, options)
    if scheme in ("mqtt", "mqtts"):
        return MqttSink(target)
    if "://" not in target and target:
        if path.is_dir() or target.endswith("/") or not path.suffix:
            return ImagesSink(path, options)
        if path.suffix.lower() == ".jsonl":
            return RecordsSink(path)
        if path.suffix.lower() in FORMATS:
            return VideoSink(path, options)
    raise OutputError(
        f"cannot tell what to write to {mask(target)!r}: name a {', '.join(FORMATS)} (video) or .jsonl (records) "
        "file, a folder ending in / (pictures), - (raw MJPEG on standard output), or an rtsp://, http://, https:// or "
        "mqtt:// address"
    )


def _standard_output(options: SinkOptions) -> Sink:
    if sys.stdout.isatty():
        raise OutputError("standard output is a terminal: pipe the MJPEG into a program or a file")
    return MjpegSink(sys.stdout.buffer, options)
