"""Fig. 2 (b): mAP when pictures predicted non-useful are replaced by their pristine versions, or missed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamfilter.consumers.detections import Detections
from trainer.columns import detections_of, truth_of
from trainer.judge.coco import Versions
from trainer.judge.discarding import lowest, share_of_gain
from trainer.judge.rows import Floats

DRAWS = 3
DISTORTED, PRISTINE, MISSED = 0, 1, 2
NOTHING = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
Bools = npt.NDArray[np.bool_]


def versions_of(distorted: pa.Table, pristine: pa.Table) -> Versions:
    """Each row's detections on the distorted picture, on the pristine one, and none."""
    return Versions(
        truth_of(distorted), [detections_of(distorted), detections_of(pristine), [NOTHING] * distorted.num_rows]
    )


def average_precision(versions: Versions, discarded: Bools, instead: int) -> float:
    """mAP when these pictures stand in another version."""
    return versions.average_precision(np.where(discarded, instead, DISTORTED))


def ideal_order(versions: Versions) -> Floats:
    """(N,) the less, the sooner the picture should be replaced: what it loses to the distortion, negated.

    What a picture adds to the mAP is `Versions.quality`; the best choice itself cannot be computed, as pictures meet in
    each category's ranking, so that `judge_network` takes the best choice it has seen.
    """
    return versions.quality(DISTORTED) - versions.quality(PRISTINE)


def judge_network(versions: Versions, scores: Mapping[str, Floats], discarded: Mapping[str, Bools]) -> dict[str, Any]:
    """Before, after, ideal and every scorer at each model's discard share.

    Args:
        versions: one network's.
        scores: scorer -> (N,) scores.
        discarded: model -> (N,) rows it predicts non-useful.

    Returns:
        before, pristine (all replaced), and for each model: replaced, missed, ideal, and for random and every scorer at
        the same share replaced, missed and share_of_gain; None where a score is NaN.
    """
    count = len(next(iter(discarded.values())))
    before = average_precision(versions, np.zeros(count, dtype=bool), PRISTINE)
    found: dict[str, Any] = {
        "before": before,
        "pristine": average_precision(versions, np.ones(count, dtype=bool), PRISTINE),
        "models": {},
    }
    order = ideal_order(versions)
    for model, rows in discarded.items():
        number = int(rows.sum())
        draws = [_both(versions, lowest(np.zeros(count), number, seed)) for seed in range(DRAWS)]
        scorers: dict[str, Any] = {"random": {key: float(np.mean([draw[key] for draw in draws])) for key in draws[0]}}
        for name, values in scores.items():
            known = not np.isnan(values).any()
            chosen = rows if name == model else lowest(values, number)
            scorers[name] = _both(versions, chosen) if known else {"replaced": None, "missed": None}
        reached = [one["replaced"] for one in scorers.values() if one["replaced"] is not None]
        ideal = max(average_precision(versions, lowest(order, number), PRISTINE), *reached)
        for one in scorers.values():
            after = one["replaced"]
            one["share_of_gain"] = None if after is None else share_of_gain(before, after, ideal)
        found["models"][model] = {"ideal": ideal, **scorers[model], "scorers": scorers}
    return found


def _both(versions: Versions, discarded: Bools) -> dict[str, Any]:
    return {
        "replaced": average_precision(versions, discarded, PRISTINE),
        "missed": average_precision(versions, discarded, MISSED),
    }


def mean_share(networks: Sequence[Mapping[str, Any]], model: str, scorer: str) -> float | None:
    """Mean over the networks of the share of the ideal gain, None where no network has one."""
    shares = [one["models"][model]["scorers"][scorer]["share_of_gain"] for one in networks]
    known = [share for share in shares if share is not None]
    return float(np.mean(known)) if known else None
