"""A profile to change and to write."""

from dataclasses import replace
from pathlib import Path

from streamfilter.profile import Bound, Profile

QUANTILES = tuple(step / 20 for step in range(21))


def make_profile(**changes: object) -> Profile:
    """A valid profile, but for the changes."""
    profile = Profile(
        model="brightness",
        model_sha256="0123456789abcdef" * 4,
        task="detection",
        thresholds={"detection": 0.7},
        bound=Bound("keep_useful", 0.95, 0.95, 120, 10.0, 4210, 0.991, 0.18),
        inputs=("camera.mp4",),
        consumer="detector.onnx",
        scores={"detection": QUANTILES},
        made="2026-03-01T09:30:00+00:00",
        command="streamfilter calibrate camera.mp4",
    )
    return replace(profile, **changes)  # type: ignore[arg-type]


def write_profile(path: Path, **changes: object) -> Path:
    """The same as a file."""
    path.write_text(make_profile(**changes).to_toml(), encoding="utf-8")
    return path
