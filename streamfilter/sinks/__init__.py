"""Sinks: what takes the frames once their fate is decided."""

from __future__ import annotations

from pathlib import Path

from streamfilter.errors import OutputError
from streamfilter.sinks._base import Sink, SinkOptions
from streamfilter.sinks._targets import Outputs, check_target, clashes, kind_of
from streamfilter.sinks._whole import standard_output
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
    "Outputs",
    "RecordsLog",
    "RecordsSink",
    "RtspSink",
    "Sink",
    "SinkOptions",
    "VideoSink",
    "WebhookSink",
    "check_target",
    "clashes",
    "open_sink",
    "standard_output",
]


def open_sink(target: str | Path, options: SinkOptions) -> Sink:
    """The sink for a path, ready to be written to.

    Args:
        target: `-` (raw MJPEG on standard output), a `.jsonl` file (records), a video file, a folder for pictures (one
            that exists, ends in `/` or has no suffix), or an address: `rtsp://` (publish), `http://` (webhook),
            `mqtt://`.
        options: how kept frames are compressed.

    Raises:
        ConfigError: an address is wrong.
        OutputError: nothing can be written there; the message lists what can.
    """
    target = str(target)
    match kind_of(target):
        case "standard output":
            return _standard_output(options)
        case "rtsp":
            return RtspSink(target, options)
        case "web":
            return WebhookSink(target, options)
        case "mqtt":
            return MqttSink(target)
        case "pictures":
            return ImagesSink(Path(target), options)
        case "records":
            return RecordsSink(Path(target))
        case "video":
            return VideoSink(Path(target), options)


def _standard_output(options: SinkOptions) -> Sink:
    stream = standard_output()
    if stream.isatty():
        raise OutputError("standard output is a terminal: pipe the MJPEG into a program or a file")
    return MjpegSink(stream.buffer, options)
