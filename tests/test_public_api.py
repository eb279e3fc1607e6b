"""The public door: what it names is there, sorted, documented."""

import streamfilter


def test_all_is_sorted_and_real() -> None:
    assert streamfilter.__all__ == sorted(streamfilter.__all__)
    assert all(getattr(streamfilter, name) is not None for name in streamfilter.__all__)


def test_everything_public_is_documented() -> None:
    undocumented = [name for name in streamfilter.__all__ if not (getattr(streamfilter, name).__doc__ or "").strip()]
    assert undocumented == []


def test_the_door_is_exactly_this() -> None:
    assert set(streamfilter.__all__) == {
        "Calibration",
        "CalibrationError",
        "Choice",
        "Audit",
        "CanaryEstimate",
        "CanaryMonitor",
        "Cause",
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
        "__version__",
        "calibrate",
        "choose_threshold",
        "describe_threshold",
        "judge_frames",
        "Trust",
        "audit_records",
        "open_sink",
        "open_source",
        "plan_inputs",
        "run",
        "shipped_models",
        "tabulate_frames",
    }
