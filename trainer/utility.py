"""Utility of a distorted picture for one network, and for several: pure functions of what the networks said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamfilter.errors import ShapeError
from trainer.networks.base import Detections

Utilities = npt.NDArray[np.int8]
Indices = npt.NDArray[np.int64]
USEFUL, NON_USEFUL, LEFT_OUT = 1, 0, -1


@dataclass(frozen=True, eq=False)
class Objects:
    """The G ground-truth objects of one picture.

    Raises:
        ShapeError: boxes and categories disagree in G, or boxes are not (G, 4).
    """

    boxes: npt.NDArray[np.float32]
    """(G, 4) float32, xyxy, fractions of the whole picture, 0-1."""
    category_ids: npt.NDArray[np.int64]
    """(G,) int64 COCO category ids."""

    def __post_init__(self) -> None:
        if self.category_ids.ndim != 1 or self.boxes.shape != (len(self.category_ids), 4):
            raise ShapeError(f"expected (G, 4) boxes, got {self.boxes.shape} for {self.category_ids.shape} categories")


def classification_utility(
    reference_class: npt.NDArray[np.int32],
    predicted_pristine: npt.NDArray[np.int32],
    predicted: npt.NDArray[np.int32],
    correct_probability: npt.NDArray[np.float32],
    high: float = 0.9,
    low: float = 0.1,
) -> Utilities:
    """Binary utility of each distorted picture for one classifier.

    U = 1 if argmax p(I) = argmax p(I') = S and p_S(I) > T_H; 0 if p(I') is right, p(I) wrong and p_S(I) < T_L.   (5)

    Args:
        reference_class: (N,) int32 right class S, -1 when there is none.
        predicted_pristine: (N,) int32 top class on the pristine picture I'.
        predicted: (N,) int32 top class on the distorted picture I.
        correct_probability: (N,) float32 probability of S on I, 0-1, NaN when there is no S.
        high: T_H, 0-1.
        low: T_L, 0-1.

    Returns:
        (N,) int8: 1 useful, 0 non-useful, -1 left out.

    Raises:
        ShapeError: the arrays disagree in N.

    Source: Khan et al. 2022, eq. (5) and section IV (T_H = 0.9, T_L = 0.1).
    """
    shapes = {array.shape for array in (reference_class, predicted_pristine, predicted, correct_probability)}
    if len(shapes) != 1 or reference_class.ndim != 1:
        raise ShapeError(f"expected four arrays of one length, got {sorted(shapes)}")
    pristine_right = (predicted_pristine == reference_class) & (reference_class >= 0)
    right = predicted == reference_class
    utilities = np.full(reference_class.shape, LEFT_OUT, dtype=np.int8)
    utilities[pristine_right & right & (correct_probability > high)] = USEFUL
    utilities[pristine_right & ~right & (correct_probability < low)] = NON_USEFUL
    return utilities


def detection_utility(
    truth: Sequence[Objects],
    pristine: Sequence[Detections],
    distorted: Sequence[Detections],
    confidence: float = 0.5,
    iou: float = 0.5,
    count_wrong_pristine: bool = False,
) -> Utilities:
    """Binary utility of each distorted picture for one detector.

    U = 1 if an outcome on I' and one on I are the same (category, IoU >= iou) and both match the same ground-truth
    object (category, IoU >= iou), each with a score >= confidence; else 0.   (6)

    Args:
        truth: N times the objects of the picture.
        pristine: N times the detections on the pristine picture I'.
        distorted: N times the detections on the distorted picture I.
        confidence: least score of a detection, 0-1.
        iou: least intersection over union of two boxes that are the same, 0-1.
        count_wrong_pristine: whether a picture on which the detector is right about nothing even when pristine is 0;
            it is left out otherwise.

    Returns:
        (N,) int8: 1 useful, 0 non-useful, -1 left out.

    Raises:
        ShapeError: the sequences disagree in N.

    Source: Khan et al. 2022, eq. (6) and section IV. There every picture that is not useful is 0; by default we leave
        out those whose pristine decision is already wrong, so that only the distortion's effect is labelled, as in (5).
    """
    if not len(truth) == len(pristine) == len(distorted):
        raise ShapeError(f"expected one length, got {len(truth)}, {len(pristine)} and {len(distorted)}")
    objects = _flatten(truth)
    before, after = _flatten(pristine, confidence), _flatten(distorted, confidence)
    before_right, object_before = _matches(before, objects, iou)
    after_right, object_after = _matches(after, objects, iou)
    left, right = _pairs(object_before, object_after)
    left, right = before_right[left], after_right[right]
    same = box_iou(before.boxes[left], after.boxes[right]) >= iou
    utilities = np.full(len(truth), NON_USEFUL if count_wrong_pristine else LEFT_OUT, dtype=np.int8)
    utilities[before.rows[before_right]] = NON_USEFUL
    utilities[before.rows[left[same]]] = USEFUL
    return utilities


def combine(utilities: npt.NDArray[np.int8]) -> Utilities:
    """The label several networks agree on.

    Args:
        utilities: (N, M) int8, a column a network: 1, 0 or -1.

    Returns:
        (N,) int8: 1 where all say 1, 0 where all say 0, -1 elsewhere.

    Raises:
        ShapeError: `utilities` is not (N, M) with M >= 1.

    Source: Khan et al. 2022, eq. (3) with O = unanimity, section IV.
    """
    if utilities.ndim != 2 or utilities.shape[1] == 0:
        raise ShapeError(f"expected (N, M) utilities with M >= 1, got {utilities.shape}")
    labels = np.full(len(utilities), LEFT_OUT, dtype=np.int8)
    labels[(utilities == USEFUL).all(axis=1)] = USEFUL
    labels[(utilities == NON_USEFUL).all(axis=1)] = NON_USEFUL
    return labels


def box_iou(left: npt.NDArray[np.float32], right: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """IoU of xyxy boxes: (..., 4) and (..., 4) broadcast to (...) float64, 0-1; 0 where both are empty."""
    a, b = left.astype(np.float64), right.astype(np.float64)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    intersection = np.clip(sides, 0, None).prod(axis=-1)
    union = _area(a) + _area(b) - intersection
    return np.asarray(np.divide(intersection, union, out=np.zeros_like(union), where=union > 0))


def _area(boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(np.clip(boxes[..., 2:] - boxes[..., :2], 0, None).prod(axis=-1))


@dataclass(frozen=True, eq=False)
class _Flat:
    """The boxes of N pictures in one array, in the pictures' order."""

    boxes: npt.NDArray[np.float32]
    category_ids: Indices
    rows: Indices
    """Which picture each box is of."""


def _flatten(pictures: Sequence[Objects | Detections], confidence: float = 0) -> _Flat:
    boxes = np.concatenate([np.zeros((0, 4), np.float32), *(one.boxes for one in pictures)])
    category_ids = np.concatenate([np.zeros(0, np.int64), *(one.category_ids for one in pictures)])
    rows = np.repeat(np.arange(len(pictures)), [len(one.category_ids) for one in pictures])
    scores = [one.scores for one in pictures if isinstance(one, Detections)]
    if not scores:
        return _Flat(boxes, category_ids, rows)
    kept = np.concatenate(scores) >= confidence
    return _Flat(boxes[kept], category_ids[kept], rows[kept])


def _matches(found: _Flat, objects: _Flat, iou: float) -> tuple[Indices, Indices]:
    """Each pair of a detection and an object of its picture with equal category and enough overlap, by object."""
    left, right = _pairs(found.rows, objects.rows)
    matching = found.category_ids[left] == objects.category_ids[right]
    left, right = left[matching], right[matching]
    matching = box_iou(found.boxes[left], objects.boxes[right]) >= iou
    left, right = left[matching], right[matching]
    by_object = np.argsort(right, kind="stable")
    return left[by_object], right[by_object]


def _pairs(left: Indices, right: Indices) -> tuple[Indices, Indices]:
    """All (i, j) with left[i] == right[j]; `right` is in ascending order."""
    first = np.searchsorted(right, left, "left")
    counts = np.searchsorted(right, left, "right") - first
    before = np.cumsum(counts) - counts
    return np.repeat(np.arange(len(left)), counts), np.arange(counts.sum()) + np.repeat(first - before, counts)
