"""Drops the video frames a detector or classifier could not use, before it has to look at them."""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from streamfilter.audit import Audit, audit_records
    from streamfilter.calibration import (
        Calibration,
        Choice,
        Goal,
        Judged,
        Sampling,
        Table,
        calibrate,
        choose_threshold,
        describe_threshold,
        judge_frames,
        tabulate_frames,
    )
    from streamfilter.canary import CanaryEstimate
    from streamfilter.canary_monitor import CanaryMonitor
    from streamfilter.config import Settings
    from streamfilter.drift import Drift
    from streamfilter.errors import CalibrationError, StreamFilterError
    from streamfilter.filter import StreamFilter
    from streamfilter.frame import Cause, Decision, Frame, Reason, Signs, StreamEvent
    from streamfilter.metrics import StreamStatus, Summary
    from streamfilter.pipeline import run
    from streamfilter.profile import Profile
    from streamfilter.scorer import Scorer, shipped_models
    from streamfilter.sinks import RecordsSink, SinkOptions, open_sink
    from streamfilter.sources import LiveSource, Source, SourceInfo, open_source, plan_inputs
    from streamfilter.spec import ModelSpec
    from streamfilter.stream_config import LiveSettings, StreamConfig
    from streamfilter.streams import Streams
    from streamfilter.trust import Trust

_ROOMS = {
    "Audit": "audit",
    "Calibration": "calibration",
    "CalibrationError": "errors",
    "CanaryEstimate": "canary",
    "CanaryMonitor": "canary_monitor",
    "Choice": "calibration",
    "Cause": "frame",
    "Decision": "frame",
    "Drift": "drift",
    "Frame": "frame",
    "Goal": "calibration",
    "Judged": "calibration",
    "LiveSettings": "stream_config",
    "LiveSource": "sources",
    "ModelSpec": "spec",
    "Profile": "profile",
    "Reason": "frame",
    "RecordsSink": "sinks",
    "Sampling": "calibration",
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
    "Table": "calibration",
    "Trust": "trust",
    "audit_records": "audit",
    "calibrate": "calibration",
    "choose_threshold": "calibration",
    "describe_threshold": "calibration",
    "judge_frames": "calibration",
    "open_sink": "sinks",
    "open_source": "sources",
    "plan_inputs": "sources",
    "run": "pipeline",
    "shipped_models": "scorer",
    "tabulate_frames": "calibration",
}

__all__ = [
    "Audit",
    "Calibration",
    "CalibrationError",
    "CanaryEstimate",
    "CanaryMonitor",
    "Cause",
    "Choice",
    "Decision",
    "Drift",
    "Frame",
    "Goal",
    "Judged",
    "LiveSettings",
    "LiveSource",
    "ModelSpec",
    "Profile",
    "Reason",
    "RecordsSink",
    "Sampling",
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
    "Table",
    "Trust",
    "__version__",
    "audit_records",
    "calibrate",
    "choose_threshold",
    "describe_threshold",
    "judge_frames",
    "open_sink",
    "open_source",
    "plan_inputs",
    "run",
    "shipped_models",
    "tabulate_frames",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, so that `import streamfilter` stays fast."""
    if name not in _ROOMS:
        raise AttributeError(f"module 'streamfilter' has no attribute {name!r}")
    value = getattr(import_module(f"streamfilter.{_ROOMS[name]}"), name)
    globals()[name] = value
    return value
