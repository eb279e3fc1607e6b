"""Drops the video frames a detector or classifier could not use, before it has to look at them."""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from streamfilter.config import Settings
    from streamfilter.errors import StreamFilterError
    from streamfilter.filter import StreamFilter
    from streamfilter.frame import Cause, Decision, Frame, Reason, Signs, StreamEvent
    from streamfilter.metrics import StreamStatus, Summary
    from streamfilter.pipeline import run
    from streamfilter.scorer import Scorer, shipped_models
    from streamfilter.sinks import RecordsSink, SinkOptions, open_sink
    from streamfilter.sources import LiveSource, Source, SourceInfo, open_source, plan_inputs
    from streamfilter.spec import ModelSpec
    from streamfilter.stream_config import LiveSettings, StreamConfig
    from streamfilter.streams import Streams

_ROOMS = {
    "Cause": "frame",
    "Decision": "frame",
    "Frame": "frame",
    "LiveSettings": "stream_config",
    "LiveSource": "sources",
    "ModelSpec": "spec",
    "Reason": "frame",
    "RecordsSink": "sinks",
    "Scorer": "scorer",
    "Settings": "config",
    "Signs": "frame",
    "SinkOptions": "sinks",
    "Source": "sources",
    "SourceInfo": "sources",
    "StreamConfig": "stream_config",
    "StreamEvent": "frame",
    "StreamFilter": "filter",
    "StreamFilterError": "errors",
    "StreamStatus": "metrics",
    "Streams": "streams",
    "Summary": "metrics",
    "open_sink": "sinks",
    "open_source": "sources",
    "plan_inputs": "sources",
    "run": "pipeline",
    "shipped_models": "scorer",
}

__all__ = [
    "Cause",
    "Decision",
    "Frame",
    "LiveSettings",
    "LiveSource",
    "ModelSpec",
    "Reason",
    "RecordsSink",
    "Scorer",
    "Settings",
    "Signs",
    "SinkOptions",
    "Source",
    "SourceInfo",
    "StreamConfig",
    "StreamEvent",
    "StreamFilter",
    "StreamFilterError",
    "StreamStatus",
    "Streams",
    "Summary",
    "__version__",
    "open_sink",
    "open_source",
    "plan_inputs",
    "run",
    "shipped_models",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, so that `import streamfilter` stays fast."""
    if name not in _ROOMS:
        raise AttributeError(f"module 'streamfilter' has no attribute {name!r}")
    value = getattr(import_module(f"streamfilter.{_ROOMS[name]}"), name)
    globals()[name] = value
    return value
