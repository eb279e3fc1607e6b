"""Labels against numbers worked by hand."""

import numpy as np
import pytest

from streamfilter.consumers.matching import box_iou
from streamfilter.errors import ShapeError
from trainer.networks import Detections
from trainer.utility import Objects, classification_utility, detection_utility


@pytest.mark.parametrize(
    ("reference", "pristine", "predicted", "probability", "utility"),
    [
        (3, 3, 3, 0.95, 1),
        (3, 3, 3, 0.9, -1),
        (3, 3, 3, 0.5, -1),
        (3, 3, 8, 0.05, 0),
        (3, 3, 8, 0.1, -1),
        (3, 3, 8, 0.4, -1),
        (3, 5, 5, 0.01, -1),
        (3, 5, 3, 0.99, -1),
        (3, 5, 8, 0.01, -1),
        (-1, 3, 3, np.nan, -1),
        (-1, -1, -1, 0.99, -1),
    ],
    ids=lambda value: str(value),
)
def test_classification_by_equation_5(reference, pristine, predicted, probability, utility):
    one = [np.array([value], np.int32) for value in (reference, pristine, predicted)]
    assert classification_utility(*one, np.array([probability], np.float64)).tolist() == [utility]


def test_classification_margins_can_be_switched_off():
    classes = np.array([3, 3], np.int32)
    utilities = classification_utility(
        classes, classes, np.array([3, 8], np.int32), np.array([0.4, 0.3], np.float32), high=0, low=1
    )
    assert utilities.tolist() == [1, 0]
    assert utilities.dtype == np.int8


def test_classification_refuses_arrays_of_different_length():
    with pytest.raises(ShapeError, match="one length"):
        classification_utility(*(np.zeros(n, np.int32) for n in (2, 2, 3)), np.zeros(2, np.float32))


CAT, DOG = 17, 18
LEFT = [0.0, 0.0, 0.4, 0.4]
LEFT_IOU_60 = [0.1, 0.0, 0.5, 0.4]
LEFT_IOU_45 = [0.15, 0.0, 0.55, 0.4]
RIGHT = [0.6, 0.6, 1.0, 1.0]


def seen(*found: tuple[list[float], float, int]) -> Detections:
    boxes = np.array([box for box, _, _ in found], np.float32).reshape(-1, 4)
    return Detections(
        boxes, np.array([score for _, score, _ in found], np.float32), np.array([c for *_, c in found], np.int64)
    )


def there(*objects: tuple[list[float], int]) -> Objects:
    boxes = np.array([box for box, _ in objects], np.float32).reshape(-1, 4)
    return Objects(boxes, np.array([category for _, category in objects], np.int64))


CAT_LEFT = there((LEFT, CAT))
DETECTION_CASES = {
    "found on both": (CAT_LEFT, seen((LEFT, 0.9, CAT)), seen((LEFT, 0.6, CAT)), 1),
    "score exactly at the bound": (CAT_LEFT, seen((LEFT, 0.5, CAT)), seen((LEFT, 0.5, CAT)), 1),
    "too unsure when distorted": (CAT_LEFT, seen((LEFT, 0.9, CAT)), seen((LEFT, 0.49, CAT)), 0),
    "lost when distorted": (CAT_LEFT, seen((LEFT, 0.9, CAT)), seen(), 0),
    "another category when distorted": (CAT_LEFT, seen((LEFT, 0.9, CAT)), seen((LEFT, 0.9, DOG)), 0),
    "moved a little": (CAT_LEFT, seen((LEFT, 0.9, CAT)), seen((LEFT_IOU_60, 0.9, CAT)), 1),
    "moved too far": (CAT_LEFT, seen((LEFT, 0.9, CAT)), seen((LEFT_IOU_45, 0.9, CAT)), 0),
    "both right but not the same box": (
        there((LEFT_IOU_60, CAT)),
        seen((LEFT, 0.9, CAT)),
        seen(([0.2, 0.0, 0.6, 0.4], 0.9, CAT)),
        0,
    ),
    "another object found instead": (
        there((LEFT, CAT), (RIGHT, CAT)),
        seen((LEFT, 0.9, CAT)),
        seen((RIGHT, 0.9, CAT)),
        0,
    ),
    "one of two is enough": (
        there((LEFT, CAT), (RIGHT, DOG)),
        seen((LEFT, 0.9, CAT), (RIGHT, 0.9, DOG)),
        seen((RIGHT, 0.7, DOG)),
        1,
    ),
    "same mistake on both": (CAT_LEFT, seen((LEFT, 0.9, DOG)), seen((LEFT, 0.9, DOG)), -1),
    "found only when distorted": (CAT_LEFT, seen(), seen((LEFT, 0.9, CAT)), -1),
    "nothing there": (there(), seen((LEFT, 0.9, CAT)), seen((LEFT, 0.9, CAT)), -1),
}


@pytest.mark.parametrize(("truth", "pristine", "distorted", "utility"), DETECTION_CASES.values(), ids=DETECTION_CASES)
def test_detection_by_equation_6(truth, pristine, distorted, utility):
    assert detection_utility([truth], [pristine], [distorted]).tolist() == [utility]
    counted = detection_utility([truth], [pristine], [distorted], count_wrong_pristine=True)
    assert counted.tolist() == [max(utility, 0)]


def test_detections_are_only_compared_within_their_picture():
    truths, pristines, distorteds, utilities = zip(*DETECTION_CASES.values(), strict=True)
    assert detection_utility(truths, pristines, distorteds).tolist() == list(utilities)
    assert detection_utility(truths[::-1], pristines[::-1], distorteds[::-1]).tolist() == list(utilities[::-1])
    assert detection_utility([], [], []).shape == (0,)


def test_detection_bounds_can_be_changed():
    case = ([CAT_LEFT], [seen((LEFT, 0.9, CAT))], [seen((LEFT_IOU_60, 0.4, CAT))])
    assert detection_utility(*case, confidence=0.3).tolist() == [1]
    assert detection_utility(*case, confidence=0.3, iou=0.7).tolist() == [0]


def test_detection_refuses_sequences_of_different_length():
    with pytest.raises(ShapeError, match="one length"):
        detection_utility([CAT_LEFT], [seen()], [])


def test_iou_by_hand():
    boxes = np.array([LEFT, LEFT_IOU_60, LEFT_IOU_45, RIGHT, [0.2, 0.2, 0.2, 0.2]], np.float32)
    assert box_iou(boxes[0], boxes) == pytest.approx([1, 0.6, 0.25 / 0.55, 0, 0], abs=1e-6)
    assert box_iou(boxes[4], boxes[4]) == 0
    assert box_iou(boxes[:, np.newaxis], boxes[:2]).shape == (5, 2)
