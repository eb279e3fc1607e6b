"""Counters add up; figures of scores against numbers worked by hand and against scikit-learn and SciPy."""

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from streamfilter.frame import Decision, Reason, StreamEvent
from streamfilter.metrics import Summary
from trainer.metrics import (
    auroc,
    balanced_accuracy,
    best_threshold,
    chance_calibration_error,
    correlations,
    even_point,
    expected_calibration_error,
    overlap_coefficient,
    reliability,
)


def test_every_frame_is_counted_once() -> None:
    summary = Summary()
    for keep, reason, times in (
        (True, Reason.USEFUL, 3),
        (True, Reason.GAP_FLOOR, 1),
        (False, Reason.LOW_UTILITY, 5),
        (False, Reason.UNREADABLE, 2),
    ):
        for _ in range(times):
            summary.count(Decision(keep, reason))
    assert (summary.frames_read, summary.frames_kept, summary.dropped_by_reason.total()) == (11, 4, 7)
    assert summary.as_dict()["dropped_by_reason"] == {"low_utility": 5, "unreadable": 2}
    assert str(summary).startswith(
        "11 frames read, 4 kept (useful 3, gap_floor 1), 7 dropped (low_utility 5, unreadable 2)"
    )


def noisy(count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(5)
    labels = random.integers(0, 2, count)
    return np.round(labels + random.normal(0, 1, count), 1), labels


@pytest.mark.parametrize(
    ("low", "floor", "useful", "share"),
    [(95, 5, 0, "100%"), (180, 2, 18, "91%"), (89, 0, 0, ""), (170, 0, 30, ""), (0, 0, 500, "")],
)
def test_a_hint_where_the_score_turns_nearly_every_frame_away(low: int, floor: int, useful: int, share: str) -> None:
    summary = Summary()
    for reason, keep, number in (
        (Reason.LOW_UTILITY, False, low),
        (Reason.GAP_FLOOR, True, floor),
        (Reason.USEFUL, True, useful),
    ):
        for _ in range(number):
            summary.count(Decision(keep, reason))
    assert summary.hint.startswith(share)
    assert bool(summary.hint) == bool(share)
    assert not share or "streamfilter calibrate" in summary.hint
    summary.hear(StreamEvent("gate", "camera_covered", ""))
    assert not summary.hint


def test_ranking_and_accuracy_are_scikit_learns() -> None:
    scores, labels = noisy()
    assert auroc(scores, labels) == pytest.approx(roc_auc_score(labels, scores))
    assert balanced_accuracy(scores, labels, 0.3) == pytest.approx(balanced_accuracy_score(labels, scores >= 0.3))


def test_the_best_threshold_is_the_best_of_all() -> None:
    scores, labels = noisy()
    found = best_threshold(scores, labels)
    every = [balanced_accuracy_score(labels, scores >= one) for one in np.unique(scores)]
    assert found["balanced_accuracy"] == pytest.approx(max(every))
    assert balanced_accuracy(scores, labels, found["threshold"]) == pytest.approx(max(every))


@pytest.mark.parametrize(
    ("scores", "labels"), [([0.2, 0.4], [1, 1]), ([0.2, 0.4], [0, 0]), ([np.nan, 0.4], [0, 1]), ([], [])]
)
def test_what_cannot_be_judged_is_none(scores: list[float], labels: list[int]) -> None:
    given = np.array(scores), np.array(labels, dtype=np.int8)
    assert auroc(*given) is balanced_accuracy(*given) is overlap_coefficient(*given) is None
    assert best_threshold(*given) == {"balanced_accuracy": None, "threshold": None, "auroc": None}


def test_the_calibration_error_of_true_probabilities_is_that_of_chance() -> None:
    random = np.random.default_rng(3)
    probabilities = random.random(900)
    mean, high = chance_calibration_error(probabilities)
    assert (mean, high) == chance_calibration_error(probabilities)
    errors = [expected_calibration_error(probabilities, (random.random(900) < probabilities) * 1) for _ in range(400)]
    assert mean == pytest.approx(np.mean(errors), rel=0.05)
    assert np.mean(np.array(errors) > high) == pytest.approx(0.05, abs=0.04)
    assert chance_calibration_error(np.ones(9)) == (0, 0)


def test_the_even_point_of_a_calibrated_score_is_the_share_of_the_useful() -> None:
    random = np.random.default_rng(0)
    probabilities = random.beta(4, 2, 20_000)
    labels = (random.random(len(probabilities)) < probabilities).astype(int)
    assert even_point(probabilities, labels) == pytest.approx(labels.mean(), abs=0.02)
    assert even_point(probabilities, np.ones(len(probabilities))) is None
    assert 0 < even_point(np.array([0.0, 0.0, 1.0]), np.array([0, 0, 1])) < 1


def test_correlations_leave_unknown_utilities_out() -> None:
    random = np.random.default_rng(1)
    values = random.random(50)
    scores = np.exp(3 * values) + random.random(50)
    values[::7] = np.nan
    known = ~np.isnan(values)
    found = correlations(scores, values)
    assert found["srcc"] == pytest.approx(spearmanr(scores[known], values[known]).statistic)
    assert found["plcc"] == pytest.approx(pearsonr(scores[known], values[known]).statistic)
    assert correlations(np.ones(3), np.arange(3.0)) == {"srcc": None, "plcc": None}


def test_overlap_of_worked_numbers() -> None:
    scores, labels = np.array([1.0, 2, 3, 4, 5, 6, 7, 8]), np.array([0, 0, 0, 1, 0, 1, 1, 1])
    assert overlap_coefficient(scores, labels, bins=4) == pytest.approx(0 + 1 / 4 + 1 / 4 + 0)
    assert overlap_coefficient(np.exp(scores), labels, bins=4) == pytest.approx(0.5)
    assert overlap_coefficient(scores, np.arange(8) > 3, bins=4) == 0
    assert overlap_coefficient(np.ones(8), labels, bins=4) == 1


def test_reliability_of_worked_numbers_gives_the_calibration_error() -> None:
    probabilities, labels = np.array([0.1, 0.2, 0.7, 1.0]), np.array([0, 1, 1, 0])
    points = reliability(probabilities, labels, bins=2)
    assert [point["count"] for point in points] == [2, 2]
    assert [point["mean_probability"] for point in points] == pytest.approx([0.15, 0.85])
    assert [point["share_useful"] for point in points] == [0.5, 0.5]
    gaps = [abs(point["mean_probability"] - point["share_useful"]) * point["count"] / 4 for point in points]
    assert expected_calibration_error(probabilities, labels, bins=2) == pytest.approx(sum(gaps))
