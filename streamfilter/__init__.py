"""Drops the video frames a detector or classifier could not use, before it has to look at them."""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from streamfilter.config import Settings
    from streamfilter.errors import StreamFilterError
    from streamfilter.filter import StreamFilter
    from streamfilter.frame import Decision, Frame, Reason
    from streamfilter.metrics import Summary
    from streamfilter.pipeline import run
    from streamfilter.scorer import Scorer, shipped_models
    from streamfilter.sinks import SinkOptions, open_sink
    from streamfilter.sources import open_source
    from streamfilter.spec import ModelSpec

_ROOMS = {
    "Decision": "frame",
    "Frame": "frame",
    "ModelSpec": "spec",
    "Reason": "frame",
    "Scorer": "scorer",
    "Settings": "config",
    "SinkOptions": "sinks",
    "StreamFilter": "filter",
    "StreamFilterError": "errors",
    "Summary": "metrics",
    "open_sink": "sinks",
    "open_source": "sources",
    "run": "pipeline",
    "shipped_models": "scorer",
}

__all__ = [
    "Decision",
    "Frame",
    "ModelSpec",
    "Reason",
    "Scorer",
    "Settings",
    "SinkOptions",
    "StreamFilter",
    "StreamFilterError",
    "Summary",
    "__version__",
    "open_sink",
    "open_source",
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
