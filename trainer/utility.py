"""Binary utility of a distorted picture for one network: pure functions of what the network said."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from streamfilter.consumers.detections import Detections
from streamfilter.consumers.matching import Objects, box_iou, flatten, matches, pairs
from streamfilter.errors import ShapeError

__all__ = ["LEFT_OUT", "NON_USEFUL", "USEFUL", "Objects", "Utilities", "classification_utility", "detection_utility"]

Utilities = npt.NDArray[np.int8]
USEFUL, NON_USEFUL, LEFT_OUT = 1, 0, -1


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
    objects = flatten(truth)
    before, after = flatten(pristine, confidence), flatten(distorted, confidence)
    before_right, object_before = matches(before, objects, iou)
    after_right, object_after = matches(after, objects, iou)
    left, right = pairs(object_before, object_after)
    left, right = before_right[left], after_right[right]
    same = box_iou(before.boxes[left], after.boxes[right]) >= iou
    utilities = np.full(len(truth), NON_USEFUL if count_wrong_pristine else LEFT_OUT, dtype=np.int8)
    utilities[before.rows[before_right]] = NON_USEFUL
    utilities[before.rows[left[same]]] = USEFUL
    return utilities
