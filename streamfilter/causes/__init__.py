"""Why a picture is of little use to machines, from what can be measured of it in about a millisecond."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streamfilter.causes.jpeg import is_coarse
from streamfilter.causes.model import NOTHING, CauseModel, shipped_model
from streamfilter.causes.sample import Sample, take
from streamfilter.causes.statistics import measure
from streamfilter.errors import PictureError
from streamfilter.frame import Cause, Frame

__all__ = ["NOTHING", "CauseModel", "Sample", "cause_of", "measure", "measure_frame", "shipped_model", "take"]

BLACK, WHITE = 32 / 255, 250 / 255
"""What 95 % of the pixels are under, or over, where light alone is the cause whatever else is measured."""


def cause_of(frame: Frame, model: CauseModel) -> Cause | None:
    """What makes a readable frame useless, as far as can be seen in it alone; None when nothing can.

    A JPEG file quantised so coarsely that nothing fine can be left of it needs no look, and a picture that is nearly
    all black or white no model.
    """
    if frame.jpeg is not None and is_coarse(frame.jpeg):
        return Cause.COMPRESSION
    measured = _measured(frame)
    if measured is None:
        return None
    if measured["luma_95"] < BLACK:
        return Cause.DARK
    if measured["luma_5"] > WHITE:
        return Cause.OVER_EXPOSED
    return model.causes(_row(measured)[None])[0]


def measure_frame(frame: Frame) -> npt.NDArray[np.float32] | None:
    """(F,) float32 statistics of a frame in the order of `measure`; None when it is too small or unreadable."""
    measured = _measured(frame)
    return None if measured is None else _row(measured)


def _measured(frame: Frame) -> dict[str, float] | None:
    try:
        sample = take(frame)
    except PictureError:
        return None
    return None if sample is None else measure(sample)


def _row(measured: dict[str, float]) -> npt.NDArray[np.float32]:
    return np.array([*measured.values()], np.float32)
