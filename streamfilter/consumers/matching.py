"""Boxes of many pictures compared at once: which detection is of which object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamfilter.consumers.detections import Detections
from streamfilter.errors import ShapeError

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Objects:
    """The G ground-truth objects of one picture.

    Raises:
        ShapeError: boxes and categories disagree in G, or boxes are not (G, 4).
    """

    boxes: npt.NDArray[np.float32]
    """(G, 4) float32, xyxy, fractions of the whole picture, 0-1."""
    category_ids: npt.NDArray[np.int64]
    """(G,) int64 COCO category ids."""

    def __post_init__(self) -> None:
        if self.category_ids.ndim != 1 or self.boxes.shape != (len(self.category_ids), 4):
            raise ShapeError(f"expected (G, 4) boxes, got {self.boxes.shape} for {self.category_ids.shape} categories")


@dataclass(frozen=True, eq=False)
class Flat:
    """The K boxes of N pictures in one array, in the pictures' order."""

    boxes: npt.NDArray[np.float32]
    """(K, 4) float32, xyxy, in the unit of what was flattened."""
    category_ids: Indices
    """(K,) int64 categories."""
    rows: Indices
    """(K,) int64: which picture each box is of, 0 to N - 1."""
    scores: npt.NDArray[np.float32]
    """(K,) float32 confidences, 0-1; 1 for objects."""


def flatten(pictures: Sequence[Objects | Detections], confidence: float = 0) -> Flat:
    """The boxes of all pictures; detections with a score under `confidence` are left out."""
    boxes = np.concatenate([np.zeros((0, 4), np.float32), *(one.boxes for one in pictures)])
    category_ids = np.concatenate([np.zeros(0, np.int64), *(one.category_ids for one in pictures)])
    rows = np.repeat(np.arange(len(pictures)), [len(one.category_ids) for one in pictures])
    scored = [one.scores for one in pictures if isinstance(one, Detections)]
    scores = np.concatenate(scored) if scored else np.ones(len(rows), np.float32)
    kept = scores >= confidence
    return Flat(boxes[kept], category_ids[kept], rows[kept], scores[kept])


def matches(found: Flat, objects: Flat, iou: float) -> tuple[Indices, Indices]:
    """Each pair of a detection and an object of its picture with equal category and enough overlap, by object."""
    found_keys, object_keys = _keys(found, objects)
    order = np.argsort(object_keys, kind="stable")
    left, right = pairs(found_keys, object_keys[order])
    right = order[right]
    matching = box_iou(found.boxes[left], objects.boxes[right]) >= iou
    left, right = left[matching], right[matching]
    by_object = np.argsort(right, kind="stable")
    return left[by_object], right[by_object]


def _keys(*sides: Flat) -> tuple[Indices, ...]:
    """For each box of each side one number, equal where picture and category are."""
    known = np.concatenate([side.category_ids for side in sides])
    low = known.min(initial=0)
    span = known.max(initial=0) - low + 1
    return tuple(side.rows * span + (side.category_ids - low) for side in sides)


def pairs(left: Indices, right: Indices) -> tuple[Indices, Indices]:
    """All (i, j) with left[i] == right[j]; `right` is in ascending order."""
    first = np.searchsorted(right, left, "left")
    counts = np.searchsorted(right, left, "right") - first
    before = np.cumsum(counts) - counts
    return np.repeat(np.arange(len(left)), counts), np.arange(counts.sum()) + np.repeat(first - before, counts)


def box_iou(left: npt.NDArray[np.float32], right: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """IoU of xyxy boxes: (..., 4) and (..., 4) broadcast to (...) float64, 0-1; 0 where both are empty."""
    a, b = left.astype(np.float64), right.astype(np.float64)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    intersection = np.clip(sides, 0, None).prod(axis=-1)
    union = _area(a) + _area(b) - intersection
    return np.asarray(np.divide(intersection, union, out=np.zeros_like(union), where=union > 0))


def _area(boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(np.clip(boxes[..., 2:] - boxes[..., :2], 0, None).prod(axis=-1))
