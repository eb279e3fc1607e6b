"""COCO's mAP of a set of pictures of which each can stand in one of several versions."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from streamfilter.consumers.detections import Detections
from streamfilter.consumers.matching import Objects
from trainer.judge.rows import Floats

MOST_DETECTIONS = 100
EVERY_AREA = (0.0, 1e10)
IOU_THRESHOLDS = 10
RECALLS = np.linspace(0, 1, 101)


class Versions:
    """N pictures with ground truth, each in V versions with their own detections.

    Every version is matched once by pycocotools' COCOeval, which matches each picture alone; a choice of versions only
    sums the matches up again, as COCOeval's `accumulate` does. Boxes stay fractions of the picture: IoU does not change
    with the scale, and areas are not told apart.
    """

    def __init__(self, truth: Sequence[Objects], versions: Sequence[Sequence[Detections]]) -> None:
        """Match every version.

        Args:
            truth: N times the objects of the picture.
            versions: V times N detections.
        """
        self._truth = truth
        self._matches: list[list[dict[str, Any] | None]] = [_evaluated(truth, one).evalImgs for one in versions]
        images = len(truth)
        self.categories = len(self._matches[0]) // images if images else 0
        starts = range(0, self.categories * images, images)
        self._found = [[_joined(one[start : start + images]) for one in self._matches] for start in starts]
        self._objects = [sum(map(_objects, self._matches[0][start : start + images])) for start in starts]

    def __len__(self) -> int:
        return len(self._truth)

    def average_precision(self, version: npt.NDArray[np.int64]) -> float:
        """mAP over IoU 0.50 to 0.95 and all categories that have an object, 0-1; NaN without any object.

        Args:
            version: (N,) which version each picture stands in.
        """
        values = []
        for found, objects in zip(self._found, self._objects, strict=True):
            chosen = [version[images] == place for place, (images, _, _) in enumerate(found)]
            images, scores, right = (
                np.concatenate([part[which][..., here] for part, here in zip(found, chosen, strict=True)], axis=-1)
                for which in range(3)
            )
            values.append(interpolated_precision(right[:, np.lexsort((images, -scores))], objects))
        return float(np.mean(values)) if values else float("nan")

    def quality(self, version: int) -> Floats:
        """(N,) share that each picture by itself adds to the mAP: its own AP in a category times its share of objects.

        q_p = 1/C sum_c n_pc / n_c AP_pc, with AP_pc the mean over IoU 0.50 to 0.95 of the AP of picture p alone.

        Args:
            version: which one.
        """
        images = len(self._truth)
        found = np.zeros(images)
        for category in range(self.categories):
            matches = self._matches[version][category * images : (category + 1) * images]
            objects = np.array([_objects(one) for one in matches])
            for place in np.flatnonzero(objects):
                own = single_precision(matches[place], int(objects[place]))
                found[place] += objects[place] / objects.sum() * own / self.categories
        return found


def interpolated_precision(right: Floats, objects: int) -> float:
    """COCO's AP of one category: the mean over IoU thresholds of the precision at 101 recalls.

    Args:
        right: (T, K) whether each detection is right at each IoU threshold, best score first.
        objects: how many objects there are, at least 1.
    """
    hits = np.cumsum(right, axis=1)
    precision = hits / (np.arange(1, right.shape[1] + 1) + np.spacing(1))
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    reached = np.concatenate([envelope, np.zeros((len(envelope), 1))], axis=1)
    lines = [line[np.searchsorted(hit / objects, RECALLS)] for line, hit in zip(reached, hits, strict=True)]
    return float(np.mean(lines))


def _objects(match: Any) -> int:
    return 0 if match is None else int((~np.asarray(match["gtIgnore"], dtype=bool)).sum())


def _joined(matches: Sequence[Any]) -> tuple[npt.NDArray[np.int64], Floats, Floats]:
    """(K,) picture and (K,) score of every detection of one category, and (T, K) whether it is right."""
    known = [(image, one) for image, one in enumerate(matches) if one is not None and len(one["dtScores"])]
    images = [np.full(len(one["dtScores"]), image) for image, one in known]
    right = [np.asarray(one["dtMatches"], dtype=np.float64) > 0 for _, one in known]
    return (
        np.concatenate([np.zeros(0, np.int64), *images]),
        np.concatenate([np.zeros(0), *(one["dtScores"] for _, one in known)]),
        np.concatenate([np.zeros((IOU_THRESHOLDS, 0)), *right], axis=1),
    )


def single_precision(match: Any, objects: int) -> float:
    """AP of one picture and category by itself, the mean over COCOeval's IoU thresholds.

    Args:
        match: an entry of COCOeval's `evalImgs`.
        objects: how many objects there are, at least 1.
    """
    order = np.argsort(-np.asarray(match["dtScores"]), kind="stable")
    right = (np.asarray(match["dtMatches"])[:, order] > 0).astype(np.float64)
    if not right.size:
        return 0.0
    precision = np.cumsum(right, axis=1) / np.arange(1, right.shape[1] + 1)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    return float((envelope * right).sum(axis=1).mean() / objects)


def _evaluated(truth: Sequence[Objects], detections: Sequence[Detections]) -> Any:
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(_coco(truth, truth), _coco(truth, detections), "bbox")
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [list(EVERY_AREA)], ["all"]
        evaluation.params.maxDets = [MOST_DETECTIONS]
        evaluation.evaluate()
    return evaluation


def _coco(truth: Sequence[Objects], pictures: Sequence[Objects | Detections]) -> Any:
    from pycocotools.coco import COCO

    annotations: list[dict[str, Any]] = []
    for image, picture in enumerate(pictures):
        scores = picture.scores if isinstance(picture, Detections) else np.ones(len(picture.category_ids))
        for box, category, score in zip(picture.boxes, picture.category_ids, scores, strict=True):
            left, top, right, bottom = map(float, box)
            sides = [left, top, right - left, bottom - top]
            annotations.append(
                {"id": len(annotations) + 1, "image_id": image, "category_id": int(category), "bbox": sides,
                 "area": sides[2] * sides[3], "score": float(score), "iscrowd": 0}
            )  # fmt: skip
    categories = sorted({int(category) for objects in truth for category in objects.category_ids})
    coco = COCO()
    coco.dataset = {
        "info": {},
        "images": [{"id": image} for image in range(len(truth))],
        "annotations": annotations,
        "categories": [{"id": category} for category in categories],
    }
    coco.createIndex()
    return coco
