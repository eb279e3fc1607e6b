"""Rows of the label table: every network is asked about the pristine picture and its distorted versions."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from streamfilter.consumers.detections import Detections, Floats
from streamfilter.distort import PRISTINE, Distortion, apply
from streamfilter.frame import RGB
from trainer.networks import Network
from trainer.pictures import Item
from trainer.tables import LEAST_SCORE, MOST_DETECTIONS
from trainer.utility import Objects

PRISTINE_CONFIDENCE = 0.5
Row = dict[str, Any]
T = TypeVar("T")
R = TypeVar("R")


def rows_of(
    item: Item,
    rgb: RGB,
    content_hash: str,
    distortions: Sequence[Distortion],
    networks: Sequence[Network],
    augmentation: int = 0,
) -> list[Row]:
    """The table's rows of one picture, pristine first, the networks in order within each distortion.

    Args:
        item: the picture and its truth; without one, each network's own pristine decision is its reference.
        rgb: (H, W, 3) uint8, RGB, HWC, 0-255, upright and already augmented.
        content_hash: digest of the picture's file.
        distortions: what to do to it; the pristine version is added.
        networks: of one task.
        augmentation: the seed `rgb` was augmented with, 0 for none.
    """
    versions = [Distortion(PRISTINE), *(one for one in distortions if one.kind != PRISTINE)]
    pictures = [apply(rgb, version) for version in versions]
    rows = []
    for network in networks:
        predicted = network.predict(pictures)
        outcomes = (
            _detection_outcomes(predicted, item.objects)
            if isinstance(predicted, list)
            else _classification_outcomes(predicted, item.class_index)
        )
        for version, outcome in zip(versions, outcomes, strict=True):
            common = {"picture": item.picture, "content_hash": content_hash, "split": item.split}
            distortion = {"distortion": version.kind, "strength": version.strength}
            rows.append({**common, **distortion, "network": network.name, "augmentation": augmentation, **outcome})
    return [row for index in range(len(versions)) for row in rows[index :: len(versions)]]


def _classification_outcomes(probabilities: Floats, class_index: int | None) -> list[Row]:
    predicted, top = probabilities.argmax(axis=1), probabilities.max(axis=1)
    if class_index is None:
        class_index = int(predicted[0]) if top[0] >= PRISTINE_CONFIDENCE else -1
    if class_index < 0:
        correct, ranks = np.full(len(predicted), np.nan), [None] * len(predicted)
    else:
        correct, ranks = probabilities[:, class_index], _ranks(probabilities, class_index).tolist()
    names = ("predicted_class", "correct_probability", "top_probability", "correct_rank")
    return [
        {"reference_class": class_index, **dict(zip(names, values, strict=True))}
        for values in zip(predicted, correct, top, ranks, strict=True)
    ]


def _ranks(probabilities: Floats, class_index: int) -> npt.NDArray[np.int64]:
    """(N,) int64 place of a class among all, 1 = top; of equal ones the lower index comes first, as in `argmax`."""
    correct = probabilities[:, class_index, np.newaxis]
    ties = probabilities[:, :class_index] == correct
    ranks: npt.NDArray[np.int64] = 1 + (probabilities > correct).sum(axis=1) + ties.sum(axis=1)
    return ranks


def _detection_outcomes(detections: Sequence[Detections], objects: Objects | None) -> list[Row]:
    if objects is None:
        sure = detections[0].scores >= PRISTINE_CONFIDENCE
        objects = Objects(detections[0].boxes[sure], detections[0].category_ids[sure])
    truth = {"truth_boxes": objects.boxes.ravel(), "truth_category_ids": objects.category_ids}
    return [{**_kept(one), **truth} for one in detections]


def _kept(detections: Detections) -> dict[str, npt.NDArray[Any]]:
    best = np.argsort(-detections.scores, kind="stable")[:MOST_DETECTIONS]
    best = best[detections.scores[best] >= LEAST_SCORE]
    return {
        "boxes": detections.boxes[best].ravel(),
        "scores": detections.scores[best],
        "category_ids": detections.category_ids[best],
    }


def in_order(ask: Callable[[T], R], items: Iterable[T], workers: int) -> Generator[R, None, None]:
    """`map` over a thread pool: results in the items' order, at most `4 * workers` of them waiting.

    When the consumer stops early, or one call fails, what has not begun is cancelled and what has begun is awaited.
    """
    pool = ThreadPoolExecutor(workers)
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(ask, item))
            if len(waiting) >= 4 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def progress(answers: Iterable[R], task: str, total: int, done: int, show: bool) -> Iterable[R]:
    """`answers` as they come, with a bar on standard error when `show`: pictures done of `total`, rate, time left."""
    from tqdm import tqdm

    bar: Iterable[R] = tqdm(
        answers, desc=task, total=total, initial=done, unit=" pictures", mininterval=1, disable=not show
    )
    return bar
