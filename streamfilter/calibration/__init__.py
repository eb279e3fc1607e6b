"""A threshold that means something for one's own consumer and camera: judged frames, blocks, a bound, a profile."""

from streamfilter.calibration.calibrate import Calibrated, Collected, Interrupted, calibrate, judge_frames
from streamfilter.calibration.choose import (
    Choice,
    Goal,
    Judged,
    Table,
    choose_threshold,
    describe_threshold,
    tabulate_frames,
)
from streamfilter.calibration.collect import Sampling
from streamfilter.calibration.job import Calibration

__all__ = [
    "Calibrated",
    "Calibration",
    "Choice",
    "Collected",
    "Goal",
    "Interrupted",
    "Judged",
    "Sampling",
    "Table",
    "calibrate",
    "choose_threshold",
    "describe_threshold",
    "judge_frames",
    "tabulate_frames",
]
