"""Whether a consumer can still use a degraded frame: its decision on the original frame is taken as right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streamfilter.config import not_in
from streamfilter.consumers.detections import Detections
from streamfilter.consumers.matching import flatten, matches
from streamfilter.errors import ConfigError, ConsumerError


@dataclass(frozen=True)
class Label:
    """A classifier's decision."""

    category_id: int
    score: float
    """Confidence, 0-1."""


Answer = Detections | Label


@dataclass(frozen=True)
class Verdict:
    """What one frame is worth to a consumer."""

    useful: bool | None
    """Whether it still decides rightly; None when it decided nothing on the original frame."""
    errors: int
    """Confident errors: things it asserts that are not in its decision on the original frame."""
    task: str | None = None
    """`classification` or `detection`; None when it does not show."""


@dataclass(frozen=True)
class Bars:
    """What counts as asserted, and as the same.

    Raises:
        ConfigError: values are out of range; all of them are listed.
    """

    confidence: float = 0.5
    """Least score of what a consumer asserts, 0-1."""
    iou: float = 0.5
    """Least intersection over union of two boxes that are the same, 0-1."""

    def __post_init__(self) -> None:
        problems = [not_in("consumer confidence", self.confidence, 0, 1), not_in("consumer IoU", self.iou, 0, 1)]
        if any(problems):
            raise ConfigError("; ".join(problem for problem in problems if problem))


def compare(reference: Answer, answer: Answer, bars: Bars) -> Verdict:
    """What a frame is worth, by the answers on its original and on itself.

    A classifier's frame is useful when the class is the same, without margins (5); another class with a score at or
    over the confidence is an error. A detector's frame is useful when at least one object is the same on both: equal
    category, IoU and both scores at or over the bars (6); it is left out when the original has no confident object.
    Each confident detection that matches none of the original's, of equal category with enough overlap and at least
    half the confidence, is an error: an object whose score only wavers about the bar is none.

    Raises:
        ConsumerError: one answer is a class, the other one detections.

    Source: Khan et al. 2022, eq. (5) and (6) with the decision on the original frame as the ground truth.
    """
    if isinstance(reference, Label) and isinstance(answer, Label):
        same = answer.category_id == reference.category_id
        return Verdict(same, int(not same and answer.score >= bars.confidence), "classification")
    if isinstance(reference, Detections) and isinstance(answer, Detections):
        return _compare_detections(reference, answer, bars)
    raise ConsumerError("the consumer gave a class for one frame and detections for another; it must give one kind")


def _compare_detections(reference: Detections, answer: Detections, bars: Bars) -> Verdict:
    asserted = flatten([answer], bars.confidence)
    sure, likely = flatten([reference], bars.confidence), flatten([reference], bars.confidence / 2)
    kept, _ = matches(asserted, sure, bars.iou)
    known, _ = matches(asserted, likely, bars.iou)
    errors = len(asserted.scores) - len(np.unique(known))
    return Verdict(bool(len(kept)) if len(sure.scores) else None, errors, "detection")
