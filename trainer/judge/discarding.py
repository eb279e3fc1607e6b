"""What is left when the lowest-scored rows are discarded: pure functions of scores and errors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.integrate import trapezoid

from trainer.judge.rows import Floats

SHARES = (0.05, 0.1, 0.2, 0.3)
MOST = 0.3
STEPS = 61


def errors_kept(scores: Floats, errors: Floats, shares: Floats) -> Floats:
    """Mean error of the rows kept when the lowest-scored are discarded.

    Rows of equal score are discarded in random order: the figure is its expectation. A share between two whole numbers
    of rows discards part of a row.

    Args:
        scores: (N,) higher is more useful.
        errors: (N,) error of each row.
        shares: (S,) discarded shares, 0 to under 1.

    Returns:
        (S,) mean errors.
    """
    left = np.concatenate([[0.0], np.cumsum(_expected_in_order(scores, errors))])
    discarded = np.asarray(shares) * len(errors)
    gone = np.interp(discarded, np.arange(len(left)), left)
    return np.asarray((left[-1] - gone) / (len(errors) - discarded))


def _expected_in_order(scores: Floats, errors: Floats) -> Floats:
    """(N,) errors in ascending order of score, each the mean of the rows that share its score."""
    _, places = np.unique(scores, return_inverse=True)
    means = np.bincount(places, weights=errors) / np.bincount(places)
    return means[np.sort(places)]


def partial_auc(scores: Floats, errors: Floats, most: float = MOST) -> float | None:
    """How much of what the ideal order gains a score gains, over all discarded shares up to `most`.

    (A_random - A_score) / (A_random - A_ideal), A the area under the error-versus-discard curve; random keeps the error
    as it is, ideal discards the largest errors first. 0 is random, 1 ideal; under 0 is worse than random.

    Args:
        scores: (N,) higher is more useful.
        errors: (N,) error of each row.
        most: largest discarded share.

    Returns:
        None where a score is NaN or nothing can be gained.
    """
    shares = np.linspace(0, most, STEPS)
    if np.isnan(scores).any():
        return None
    ideal = trapezoid(errors.mean() - errors_kept(-errors, errors, shares), shares)
    if ideal <= 0:
        return None
    return float(trapezoid(errors.mean() - errors_kept(scores, errors, shares), shares) / ideal)


def lowest(scores: Floats, count: int, seed: int = 0) -> npt.NDArray[np.bool_]:
    """(N,) the `count` rows of the lowest score; among equal ones, a seeded choice."""
    order = np.lexsort((np.random.default_rng(seed).random(len(scores)), scores))
    chosen = np.zeros(len(scores), dtype=bool)
    chosen[order[:count]] = True
    return chosen


def share_of_gain(before: float, after: float, ideal: float) -> float | None:
    """Share of the ideal gain that was reached; None where there is nothing to gain."""
    return (after - before) / (ideal - before) if ideal > before else None
