"""Continuous utility and opinion score against numbers worked by hand."""

import numpy as np
import pytest

from streamfilter.consumers.matching import Objects
from streamfilter.errors import ConfigError, ShapeError
from tests.test_utility import CAT, CAT_LEFT, DOG, LEFT, LEFT_IOU_45, LEFT_IOU_60, RIGHT, seen, there
from trainer.continuous import continuous_utility, detection_confidence, opinion_score
from trainer.networks import Detections
from trainer.utility import LEFT_OUT, NON_USEFUL, USEFUL, classification_utility, detection_utility


@pytest.mark.parametrize(
    ("phi", "pristine", "rejection", "utility"),
    [
        (1, 1, 0.5, 1),
        (0, 1, 0.5, -1),
        (0.5, 0.8, 0.5, 0),
        (0.9, 0.9, 0.5, 0.4 / 0.6),
        (0.2, 0.9, 0.5, -0.5),
        (0.3, 0.3, 0.5, -0.2 / 1.2),
        (1, 0, 0.5, 0.5 / 1.5),
        (1, 1, 0.25, 3),
        (0, 1, 0.25, -1),
        (1, 1, 0.8, 0.25),
        (np.nan, 0.9, 0.5, np.nan),
        (0.9, np.nan, 0.5, np.nan),
    ],
)
def test_equation_2(phi, pristine, rejection, utility):
    found = continuous_utility(np.array([phi], np.float32), np.array([pristine], np.float32), rejection)
    assert found.tolist() == pytest.approx([utility], nan_ok=True, abs=1e-6)
    assert found.dtype == np.float32


@pytest.mark.parametrize("rejection", [0.001, 0.1, 0.5, 0.9, 0.999])
def test_equation_2_keeps_its_range_and_sign(rejection):
    phi, pristine = (grid.ravel() for grid in np.meshgrid(np.linspace(0, 1, 41), np.linspace(0, 1, 41)))
    utility = continuous_utility(phi, pristine, rejection)
    assert utility.min() == pytest.approx(-1)
    assert utility.max() == pytest.approx(1 / rejection - 1)
    assert (np.sign(utility) == np.sign((phi - rejection).astype(np.float32))).all()
    assert (np.diff(utility.reshape(41, 41), axis=1) > 0).all()


@pytest.mark.parametrize("rejection", [0, 1, -0.1, 1.5, np.nan])
def test_equation_2_refuses_a_rejection_that_is_none(rejection):
    with pytest.raises(ConfigError, match="between 0 and 1"):
        continuous_utility(np.ones(2), np.ones(2), rejection)


def test_shapes_must_agree():
    with pytest.raises(ShapeError, match="one length"):
        continuous_utility(np.ones(2), np.ones(3))
    with pytest.raises(ShapeError, match="one length"):
        opinion_score(np.ones(2), np.ones(3))
    with pytest.raises(ShapeError, match="one length"):
        detection_confidence([CAT_LEFT], [])


CONFIDENCE_CASES = [
    (CAT_LEFT, seen((LEFT, 0.3, CAT)), 0.3),
    (CAT_LEFT, seen((LEFT, 0.3, CAT), (LEFT_IOU_60, 0.7, CAT), (LEFT_IOU_45, 0.9, CAT)), 0.7),
    (CAT_LEFT, seen((LEFT, 0.9, DOG)), 0),
    (CAT_LEFT, seen(), 0),
    (there((LEFT, CAT), (RIGHT, DOG)), seen((LEFT, 0.6, CAT), (RIGHT, 0.8, DOG), (RIGHT, 0.95, CAT)), 0.8),
    (there(), seen((LEFT, 0.9, CAT)), 0),
]


def test_detection_confidence_by_hand():
    truth, found, best = zip(*CONFIDENCE_CASES, strict=True)
    assert detection_confidence(truth, found).tolist() == pytest.approx(list(best))
    assert detection_confidence(truth[::-1], found[::-1]).tolist() == pytest.approx(list(best[::-1]))
    assert detection_confidence(truth[1:2], found[1:2], iou=0.4).tolist() == pytest.approx([0.9])
    assert detection_confidence([], []).shape == (0,)


@pytest.mark.parametrize(
    ("probability", "rank", "depth", "score"),
    [
        (1, 1, 10, 1),
        (0.6, 1, 10, 0.8),
        (0.2, 4, 10, (0.2 + 0.7) / 2),
        (0.2, 4, 3, 0.1),
        (0.02, 11, 10, 0.01),
        (0, 500, 10, 0),
        (0.4, 2, 1, 0.2),
        (np.nan, np.nan, 10, np.nan),
    ],
)
def test_opinion_score(probability, rank, depth, score):
    found = opinion_score(np.array([probability], np.float32), np.array([rank], np.float64), depth)
    assert found.tolist() == pytest.approx([score], nan_ok=True)


def test_opinion_score_refuses_a_depth_of_none():
    with pytest.raises(ConfigError, match="at least 1"):
        opinion_score(np.ones(1), np.ones(1), 0)


def test_classification_labels_and_the_sign_of_the_continuous_utility_agree():
    """With T_L <= phi_rec <= T_H a useful picture is above 0 and a non-useful one below."""
    random = np.random.default_rng(1)
    classes = [random.integers(0, 3, 5000).astype(np.int32) for _ in range(3)]
    phi, before = random.uniform(0, 1, (2, 5000)).astype(np.float32)
    for low, rejection, high in [(0.1, 0.5, 0.9), (0.5, 0.5, 0.5), (0.2, 0.3, 0.3)]:
        labels = classification_utility(*classes, phi, high, low)
        utility = continuous_utility(phi, before, rejection)
        assert {LEFT_OUT, NON_USEFUL, USEFUL} == set(labels.tolist())
        assert (utility[labels == USEFUL] > 0).all()
        assert (utility[labels == NON_USEFUL] < 0).all()


def scene(random: np.random.Generator, count: int) -> tuple[Objects, Detections]:
    """Objects in a 3 x 3 grid, and detections near some of them."""
    corners = random.integers(0, 3, (count, 2)) / 3
    boxes = np.concatenate([corners, corners + 0.3], axis=1).astype(np.float32)
    categories = random.integers(1, 3, count)
    seen_boxes = (boxes + random.normal(0, 0.04, boxes.shape)).astype(np.float32)
    return Objects(boxes, categories), Detections(
        seen_boxes, random.uniform(0, 1, count).astype(np.float32), categories
    )


def test_detection_labels_and_the_sign_of_the_continuous_utility_agree():
    """A useful picture is not under 0, so one under 0 is not useful; a non-useful one may be above: another object."""
    random = np.random.default_rng(2)
    truth, pristine = zip(*(scene(random, int(random.integers(0, 4))) for _ in range(2000)), strict=True)
    distorted = [
        Detections(one.boxes, (one.scores * random.uniform(0, 1.4)).clip(0, 1).astype(np.float32), one.category_ids)
        for one in pristine
    ]
    labels = detection_utility(truth, pristine, distorted)
    utility = continuous_utility(detection_confidence(truth, distorted), detection_confidence(truth, pristine))
    assert {LEFT_OUT, NON_USEFUL, USEFUL} == set(labels.tolist())
    assert (utility[labels == USEFUL] >= 0).all()
    assert (labels[utility < 0] != USEFUL).all()
    another = ([there((LEFT, CAT), (RIGHT, CAT))], [seen((LEFT, 0.9, CAT))], [seen((RIGHT, 0.8, CAT))])
    assert detection_utility(*another).tolist() == [NON_USEFUL]
    assert detection_confidence(another[0], another[2]).tolist() == pytest.approx([0.8])
