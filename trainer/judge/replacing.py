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


def judge_network(
    versions: Versions, scores: Mapping[str, Floats], discarded: Mapping[str, Bools], shares: Sequence[float] = ()
) -> dict[str, Any]:
    """Before, after, ideal and every scorer at each model's discard share, and at these.

    Args:
        versions: one network's.
        scores: scorer -> (N,) scores.
        discarded: model -> (N,) rows it predicts non-useful.
        shares: discarded shares, 0-1, rounded to whole rows.

    Returns:
        before, pristine (all replaced), and for each model: replaced, missed, ideal, and for random and every scorer at
        the same share replaced, missed and share_of_gain; None where a score is NaN. The same for each of `shares`,
        in their order, but for what a model itself discards.
    """
    count = len(versions)
    before = average_precision(versions, np.zeros(count, dtype=bool), PRISTINE)
    order = ideal_order(versions)

    def at(number: int, own: Mapping[str, Bools]) -> dict[str, Any]:
        draws = [_both(versions, lowest(np.zeros(count), number, seed)) for seed in range(DRAWS)]
        scorers: dict[str, Any] = {"random": {key: float(np.mean([draw[key] for draw in draws])) for key in draws[0]}}
        for name, values in scores.items():
            known = not np.isnan(values).any()
            chosen = own[name] if name in own else lowest(values, number)
            scorers[name] = _both(versions, chosen) if known else {"replaced": None, "missed": None}
        reached = [one["replaced"] for one in scorers.values() if one["replaced"] is not None]
        ideal = max(average_precision(versions, lowest(order, number), PRISTINE), *reached)
        for one in scorers.values():
            after = one["replaced"]
            one["share_of_gain"] = None if after is None else share_of_gain(before, after, ideal)
        return {"ideal": ideal, "scorers": scorers}

    models = {}
    for model, rows in discarded.items():
        found = at(int(rows.sum()), {model: rows})
        models[model] = {**found["scorers"][model], **found}
    return {
        "before": before,
        "pristine": average_precision(versions, np.ones(count, dtype=bool), PRISTINE),
        "models": models,
        "shares": [at(round(share * count), {}) for share in shares],
    }


def _both(versions: Versions, discarded: Bools) -> dict[str, Any]:
    return {
        "replaced": average_precision(versions, discarded, PRISTINE),
        "missed": average_precision(versions, discarded, MISSED),
    }


def mean_share(discards: Sequence[Mapping[str, Any]], scorer: str) -> float | None:
    """Mean over the networks of the share of the ideal gain at one discard, None where no network has one."""
    shares = [one["scorers"][scorer]["share_of_gain"] for one in discards]
    known = [share for share in shares if share is not None]
    return float(np.mean(known)) if known else None
