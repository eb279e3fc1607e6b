"""What each network got wrong on each row, and what of it with confidence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamfilter.consumers.detections import Detections
from streamfilter.consumers.matching import Objects, box_iou
from trainer.columns import detections_of, truth_of
from trainer.judge.rows import Evidence
from trainer.utility import detection_utility

Bools = npt.NDArray[np.bool_]
CONFIDENT = 0.5
LEAST_IOU = 0.5


def with_truth(evidence: Evidence) -> Evidence:
    """The rows whose picture has a right answer: a reference class, or at least one ground-truth object."""
    table = evidence.distorted[0]
    if evidence.task == "classification":
        return evidence.take(table["reference_class"].to_numpy() >= 0)
    return evidence.take(np.array([len(one.category_ids) > 0 for one in truth_of(table)], dtype=bool))


def wrong(evidence: Evidence) -> Bools:
    """(N, M) whether each network is wrong on the distorted picture.

    Classification: its top class is not the reference. Detection: none of its detections with a score of at least 0.5
    matches a ground-truth object in category with an IoU of at least 0.5.
    """
    is_wrong = _class_wrong if evidence.task == "classification" else _nothing_right
    return np.stack([is_wrong(table) for table in evidence.distorted], axis=1)


def confident_errors(evidence: Evidence) -> Bools:
    """(N, M) whether each network makes an error with confidence on the distorted picture.

    Classification: its top class is wrong with a probability of at least 0.5. Detection: one of its detections with a
    score of at least 0.5 matches no ground-truth object of its category with an IoU of at least 0.5.
    """
    columns = []
    for table in evidence.distorted:
        if evidence.task == "classification":
            columns.append(_class_wrong(table) & (table["top_probability"].to_numpy() >= CONFIDENT))
        else:
            columns.append(phantoms(truth_of(table), detections_of(table)))
    return np.stack(columns, axis=1)


def _class_wrong(table: pa.Table) -> Bools:
    return np.asarray(table["predicted_class"].to_numpy() != table["reference_class"].to_numpy())


def _nothing_right(table: pa.Table) -> Bools:
    found = detections_of(table)
    utilities = detection_utility(truth_of(table), found, found, CONFIDENT, LEAST_IOU, count_wrong_pristine=True)
    return np.asarray(utilities == 0)


def phantoms(truth: Sequence[Objects], detections: Sequence[Detections]) -> Bools:
    """(N,) whether a confident detection matches no object of its category.

    Args:
        truth: N times the objects of the picture.
        detections: N times what was detected.
    """
    return np.array([_has_phantom(*pair) for pair in zip(truth, detections, strict=True)], dtype=bool)


def _has_phantom(objects: Objects, found: Detections) -> bool:
    sure = found.scores >= CONFIDENT
    same = found.category_ids[sure][:, None] == objects.category_ids
    overlapping = box_iou(found.boxes[sure][:, None], objects.boxes[None]) >= LEAST_IOU
    return bool((~(same & overlapping).any(axis=1)).any())
