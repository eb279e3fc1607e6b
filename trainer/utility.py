"""Utility of a distorted picture for one network, and for several: pure functions of what the networks said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamfilter.errors import ShapeError
from trainer.networks.base import Detections

Utilities = npt.NDArray[np.int8]
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
    rows = zip(truth, pristine, distorted, strict=True)
    wrong_pristine = NON_USEFUL if count_wrong_pristine else LEFT_OUT
    return np.array([_detection_utility(*row, confidence, iou, wrong_pristine) for row in rows], dtype=np.int8)


def _detection_utility(
    truth: Objects, pristine: Detections, distorted: Detections, confidence: float, iou: float, wrong_pristine: int
) -> int:
    before, after = _confident(pristine, confidence), _confident(distorted, confidence)
    before_right = same_outcome(before, truth, iou)
    if not before_right.any():
        return wrong_pristine
    both_right = before_right.astype(int) @ same_outcome(after, truth, iou).astype(int).T > 0
    return USEFUL if (both_right & same_outcome(before, after, iou)).any() else NON_USEFUL


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


def same_outcome(left: Objects | Detections, right: Objects | Detections, iou: float) -> npt.NDArray[np.bool_]:
    """Which of K boxes are the same outcome as which of G: (K, G) bool, equal category and IoU >= iou."""
    same_category = left.category_ids[:, np.newaxis] == right.category_ids[np.newaxis, :]
    return np.asarray(same_category & (box_iou(left.boxes, right.boxes) >= iou), dtype=np.bool_)


def box_iou(left: npt.NDArray[np.float32], right: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Intersection over union of (K, 4) and (G, 4) xyxy boxes: (K, G) float64, 0-1; 0 where both are empty."""
    a, b = left.astype(np.float64)[:, np.newaxis], right.astype(np.float64)[np.newaxis]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    intersection = np.clip(sides, 0, None).prod(axis=-1)
    union = _area(a) + _area(b) - intersection
    return np.asarray(np.divide(intersection, union, out=np.zeros_like(union), where=union > 0))


def _area(boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    area: npt.NDArray[np.float64] = np.clip(boxes[..., 2:] - boxes[..., :2], 0, None).prod(axis=-1)
    return area


def _confident(detections: Detections, confidence: float) -> Objects:
    kept = detections.scores >= confidence
    return Objects(detections.boxes[kept], detections.category_ids[kept])
