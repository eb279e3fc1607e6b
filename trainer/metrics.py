"""How good a score is: accuracy, ranking, correlation, overlap and calibration figures, and the best threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import average_precision_score, balanced_accuracy_score, roc_auc_score, roc_curve

ECE_BINS = 15
LEAST_SCALE = 1e-3
LEAST_DOUBT = 1e-7
KEEP_SHARES = (0.8, 0.85, 0.9, 0.95, 0.99)
OVERLAP_BINS = 50
CHANCE_DRAWS = 500

Floats = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.integer[Any]]


def figures(probabilities: Floats, labels: Floats | Labels) -> dict[str, Any]:
    """Figures of a probability against 0/1 labels.

    Args:
        probabilities: (N,) probability of useful, 0-1; useful is predicted from 0.5 on.
        labels: (N,) 0 or 1.

    Returns:
        n0, n1, accuracy, balanced_accuracy, auroc, auprc (of the useful class) and ece; None where one class is absent.
    """
    truth = labels.astype(int)
    predicted = (probabilities >= 0.5).astype(int)
    both = 0 < truth.sum() < len(truth)
    return {
        "n0": int((truth == 0).sum()),
        "n1": int((truth == 1).sum()),
        "accuracy": float((predicted == truth).mean()),
        "balanced_accuracy": float(balanced_accuracy_score(truth, predicted)) if both else None,
        "auroc": float(roc_auc_score(truth, probabilities)) if both else None,
        "auprc": float(average_precision_score(truth, probabilities)) if both else None,
        "ece": expected_calibration_error(probabilities, labels),
    }


def expected_calibration_error(probabilities: Floats, labels: Floats | Labels, bins: int = ECE_BINS) -> float:
    """Mean gap between the probability and the share of useful pictures, over equally wide bins.

    ECE = sum_b n_b / N * |mean p in b - share of 1 in b|.

    Args:
        probabilities: (N,) probability of useful, 0-1.
        labels: (N,) 0 or 1.
        bins: number of bins on [0, 1].

    Source: Guo et al. 2017, eq. (3), on the probability of one class as there are two.
    """
    places = _places(probabilities, bins)
    gaps = np.bincount(places, weights=probabilities - labels, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def chance_calibration_error(probabilities: Floats, draws: int = CHANCE_DRAWS) -> tuple[float, float]:
    """What `expected_calibration_error` would be of these probabilities if they were true, for so few rows scatter.

    Args:
        probabilities: (N,) probability of useful, 0-1.
        draws: how often labels are drawn with these probabilities.

    Returns:
        Mean and 95th percentile over the draws; the same for the same probabilities.
    """
    random = np.random.default_rng(0)
    drawn = [
        expected_calibration_error(probabilities, (random.random(len(probabilities)) < probabilities).astype(int))
        for _ in range(draws)
    ]
    return float(np.mean(drawn)), float(np.quantile(drawn, 0.95))


def thresholds_to_keep(probabilities: Floats, labels: Floats) -> dict[str, float | None]:
    """The highest thresholds that still keep these shares of the useful pictures; None without useful pictures.

    Args:
        probabilities: (N,) probability of useful, 0-1.
        labels: (N,) 0 or 1.
    """
    useful = probabilities[labels > 0]
    return {
        f"{share:g}": float(np.quantile(useful, 1 - share, method="lower")) if len(useful) else None
        for share in KEEP_SHARES
    }


def auroc(scores: Floats, labels: Floats | Labels) -> float | None:
    """Area under the ROC curve; None where one class is absent or a score is NaN.

    Args:
        scores: (N,) higher is more useful.
        labels: (N,) 0 or 1.
    """
    if not _judgeable(scores, labels):
        return None
    return float(roc_auc_score(labels.astype(int), scores))


def balanced_accuracy(scores: Floats, labels: Floats | Labels, threshold: float = 0.5) -> float | None:
    """Mean of the shares of useful and of non-useful rows told right when useful is predicted from `threshold` on.

    Args:
        scores: (N,) higher is more useful.
        labels: (N,) 0 or 1.
        threshold: least score of a row predicted useful.

    Returns:
        0-1; None where one class is absent or a score is NaN.
    """
    if not _judgeable(scores, labels):
        return None
    return float(balanced_accuracy_score(labels.astype(int), scores >= threshold))


def best_threshold(scores: Floats, labels: Floats | Labels) -> dict[str, float | None]:
    """What the best threshold on a score reaches on these very rows.

    Args:
        scores: (N,) higher is more useful.
        labels: (N,) 0 or 1.

    Returns:
        balanced_accuracy, threshold (useful from this score on; None when nothing is best called useful) and auroc; all
        None where one class is absent or a score is NaN.
    """
    if not _judgeable(scores, labels):
        return {"balanced_accuracy": None, "threshold": None, "auroc": None}
    false_positive, true_positive, thresholds = roc_curve(labels.astype(int), scores, drop_intermediate=False)
    balanced = (true_positive + 1 - false_positive) / 2
    best = int(balanced.argmax())
    return {
        "balanced_accuracy": float(balanced[best]),
        "threshold": float(thresholds[best]) if np.isfinite(thresholds[best]) else None,
        "auroc": auroc(scores, labels),
    }


def quality_oracle(quality: Floats, labels: Floats) -> dict[str, float | None]:
    """What the best threshold on the true JPEG quality reaches on these very rows, as `best_threshold`.

    Args:
        quality: (N,) JPEG quality, 101 for pristine.
        labels: (N,) 0 or 1.
    """
    return best_threshold(quality, labels)


def _judgeable(scores: Floats, labels: Floats | Labels) -> bool:
    return bool(0 < (labels > 0).sum() < len(labels) and not np.isnan(scores).any())


def correlations(scores: Floats, values: Floats) -> dict[str, float | None]:
    """Rank and linear correlation of a score with a continuous utility.

    Args:
        scores: (N,) higher is more useful.
        values: (N,) utilities; rows where it is NaN do not count.

    Returns:
        srcc (Spearman) and plcc (Pearson, without a fitted curve between them); None where either side is constant, a
        score is NaN or fewer than two rows count.
    """
    known = ~np.isnan(values)
    left, right = scores[known], values[known]
    if len(left) < 2 or np.isnan(left).any() or np.ptp(left) == 0 or np.ptp(right) == 0:
        return {"srcc": None, "plcc": None}
    return {"srcc": float(spearmanr(left, right).statistic), "plcc": float(pearsonr(left, right).statistic)}


def overlap_coefficient(scores: Floats, labels: Floats | Labels, bins: int = OVERLAP_BINS) -> float | None:
    """How much of the histograms of useful and non-useful rows lies on each other: 0 apart, 1 the same.

    OVL = sum_b min(share of the useful rows in b, share of the non-useful rows in b), over bins that each hold an equal
    number of the two classes' rows together, so that it does not depend on the score's scale or tails.

    Args:
        scores: (N,) higher is more useful.
        labels: (N,) 0 or 1.
        bins: number of bins; equal scores share one.

    Returns:
        0-1; None where one class is absent or a score is NaN.
    """
    if not _judgeable(scores, labels):
        return None
    edges = np.quantile(scores, np.linspace(0, 1, bins + 1)[1:-1])
    places = np.searchsorted(edges, scores, side="right")
    sides = [np.bincount(places[side], minlength=bins) / side.sum() for side in (labels > 0, labels <= 0)]
    return float(np.minimum(*sides).sum())


def reliability(probabilities: Floats, labels: Floats | Labels, bins: int = ECE_BINS) -> list[dict[str, float | int]]:
    """The points of a reliability diagram: for each bin that holds rows, count, mean_probability and share_useful.

    Args:
        probabilities: (N,) probability of useful, 0-1.
        labels: (N,) 0 or 1.
        bins: number of equally wide bins on [0, 1].
    """
    places = _places(probabilities, bins)
    points: list[dict[str, float | int]] = []
    for place in np.unique(places):
        here = places == place
        means = {"mean_probability": float(probabilities[here].mean()), "share_useful": float(labels[here].mean())}
        points.append({"count": int(here.sum()), **means})
    return points


def _places(probabilities: Floats, bins: int) -> npt.NDArray[np.int64]:
    return np.minimum((probabilities * bins).astype(np.int64), bins - 1)


def fit_platt(logits: Floats, labels: Floats) -> tuple[float, float]:
    """Scale and bias that make sigmoid(scale * logit + bias) a probability.

    The targets are (N1 + 1) / (N1 + 2) and 1 / (N0 + 2) rather than 1 and 0, so that separable rows give finite values;
    the scale stays positive, so that the order of the scores does not change.

    Args:
        logits: (N,) logits.
        labels: (N,) 0 or 1.

    Source: Platt 1999, section 2.2.
    """
    ones = float(labels.sum())
    zeros = len(labels) - ones
    target = np.where(labels > 0, (ones + 1) / (ones + 2), 1 / (zeros + 2))

    def loss(parameters: Floats) -> tuple[float, Floats]:
        score = parameters[0] * logits + parameters[1]
        error = 1 / (1 + np.exp(-np.clip(score, -500, 500))) - target
        value = float((np.logaddexp(0, score) - target * score).mean())
        return value, np.array([(error * logits).mean(), error.mean()])

    bounds = [(LEAST_SCALE, None), (None, None)]
    found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=bounds)
    return float(found.x[0]), float(found.x[1])


def even_point(probabilities: Floats, labels: Floats | Labels) -> float | None:
    """The probability from which a row is more likely useful than not where the classes count alike.

    Args:
        probabilities: (N,) 0-1.
        labels: (N,) 0 or 1.

    Returns:
        A threshold for other rows, from a logistic fit with the prior odds taken out; None where a class is absent.
    """
    if not _judgeable(probabilities, labels):
        return None
    bounded = np.clip(probabilities, LEAST_DOUBT, 1 - LEAST_DOUBT)
    useful = np.asarray(labels, dtype=np.float64)
    scale, bias = fit_platt(np.log(bounded / (1 - bounded)), useful)
    prior = np.log(useful.sum() / (1 - useful).sum())
    return float(1 / (1 + np.exp((bias - prior) / scale)))


def cross_fitted(logits: Floats, labels: Floats, first_half: Sequence[bool] | npt.NDArray[np.bool_]) -> Floats:
    """Calibrated probabilities of rows that took no part in their own calibration.

    Args:
        logits: (N,) logits.
        labels: (N,) 0 or 1.
        first_half: (N,) which half each row is in; each is judged with what was fitted on the other.

    Returns:
        (N,) float64 probabilities, 0-1.
    """
    first = np.asarray(first_half, dtype=bool)
    probabilities = np.zeros(len(logits))
    for half in (first, ~first):
        scale, bias = fit_platt(logits[~half].astype(np.float64), labels[~half]) if (~half).any() else (1.0, 0.0)
        probabilities[half] = 1 / (1 + np.exp(-np.clip(scale * logits[half] + bias, -500, 500)))
    return probabilities
