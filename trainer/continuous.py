"""Continuous utility of a distorted picture for one network, and the AQuA-style opinion score."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from streamfilter.consumers.detections import Detections
from streamfilter.consumers.matching import Objects, flatten, matches
from streamfilter.errors import ConfigError, ShapeError

Values = npt.NDArray[np.float32]


def detection_confidence(truth: Sequence[Objects], found: Sequence[Detections], iou: float = 0.5) -> Values:
    """phi_i of a detector: the best score it gives anything that is really there.

    Args:
        truth: N times the objects of the picture.
        found: N times the detections on it.
        iou: least intersection over union with an object of the same category, 0-1.

    Returns:
        (N,) float32, 0-1; 0 where no detection matches an object.

    Raises:
        ShapeError: the sequences disagree in N.

    Source: Khan et al. 2022, eq. (1), where phi_i is the confidence network i gives the ground truth. The paper does
        not say which of several detections counts: we take the best, as its eq. (6) needs only one.
    """
    if len(truth) != len(found):
        raise ShapeError(f"expected one length, got {len(truth)} and {len(found)}")
    detections = flatten(found)
    right, _ = matches(detections, flatten(truth), iou)
    best = np.zeros(len(truth), dtype=np.float32)
    np.maximum.at(best, detections.rows[right], detections.scores[right])
    return best


def continuous_utility(
    confidence: npt.NDArray[np.floating], confidence_pristine: npt.NDArray[np.floating], rejection: float = 0.5
) -> Values:
    """Continuous utility of each distorted picture for one network.

    f(phi, phi') = (phi - phi_rec) / (1 - (phi' - phi_rec))   (2)

    It has the sign of phi - phi_rec: negative where the prediction on I would be rejected, 0 exactly at phi_rec. It
    rises with phi. A surer pristine decision (phi') moves it away from 0, to either side. The denominator lies between
    phi_rec and 1 + phi_rec, so it is never 0; the range is -1 (phi = 0, phi' = 1) to 1 / phi_rec - 1 (phi = phi' = 1),
    which is -1 to 1 for phi_rec = 0.5. I' itself reaches the top only with phi' = 1: with phi' = 0.9 it has 0.67.

    Args:
        confidence: (N,) phi, the confidence of the ground truth on the distorted picture I, 0-1; NaN stays NaN.
        confidence_pristine: (N,) phi', the same on the pristine picture I'.
        rejection: phi_rec, below which a prediction is rejected, between 0 and 1.

    Returns:
        (N,) float32, -1 to 1 / phi_rec - 1.

    Raises:
        ShapeError: the arrays disagree in N.
        ConfigError: `rejection` is not between 0 and 1 (both excluded).

    Source: Khan et al. 2022, eq. (2).
    """
    if not 0 < rejection < 1:
        raise ConfigError(f"rejection {rejection}: wanted a confidence between 0 and 1, both excluded")
    if confidence.ndim != 1 or confidence.shape != confidence_pristine.shape:
        raise ShapeError(f"expected two arrays of one length, got {confidence.shape} and {confidence_pristine.shape}")
    phi, pristine = confidence.astype(np.float64), confidence_pristine.astype(np.float64)
    return np.asarray((phi - rejection) / (1 - (pristine - rejection)), dtype=np.float32)


def opinion_score(
    correct_probability: npt.NDArray[np.floating], correct_rank: npt.NDArray[np.floating], depth: int = 10
) -> Values:
    """What one classifier thinks of each distorted picture: MCOS is the mean of this over classifiers.

    score = (p_S(I) + max(0, 1 - (rank_S(I) - 1) / R)) / 2

    Args:
        correct_probability: (N,) probability of the right class S on I, 0-1; NaN where there is no S.
        correct_rank: (N,) place of S among the classes on I, 1 = top; NaN where there is no S.
        depth: R, the place after which a rank is worth nothing more: 1 at the top, 0 from place R + 1 on.

    Returns:
        (N,) float32, 0-1.

    Raises:
        ShapeError: the arrays disagree in N.
        ConfigError: `depth` is under 1.

    Source: AQuA (arXiv 2101.09752) averages a class-confidence and a class-rank term over its classifiers. It published
        no code; the linear rank term with R = 10, and equal weights, are our reading.
    """
    if depth < 1:
        raise ConfigError(f"rank depth {depth}: wanted at least 1")
    if correct_probability.ndim != 1 or correct_probability.shape != correct_rank.shape:
        raise ShapeError(f"expected two arrays of one length, got {correct_probability.shape} and {correct_rank.shape}")
    rank_term = np.clip(1 - (correct_rank.astype(np.float64) - 1) / depth, 0, None)
    return np.asarray((correct_probability.astype(np.float64) + rank_term) / 2, dtype=np.float32)
