"""A user's own answers, as Python objects or JSON, checked and turned into ours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from streamfilter.consumers.detections import Detections
from streamfilter.consumers.verdict import Answer, Label
from streamfilter.errors import ConsumerError


class Categories:
    """A number for each label met, texts and numbers alike."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}

    def __getitem__(self, label: object) -> int:
        """The label's number.

        Raises:
            ConsumerError: it is neither text nor a number.
        """
        if isinstance(label, bool) or not isinstance(label, str | int | np.integer):
            raise ConsumerError(f"label {label!r}, expected text or a whole number")
        return self._ids.setdefault(f"{type(label) is str}{label}", len(self._ids))


def read_answer(given: object, categories: Categories) -> Answer:
    """What a consumer returned, as detections or a class.

    Args:
        given: a list of `(label, score, box)` or `{"label", "score", "box"}`, the box xyxy in pixels; or one
            `(label, score)` or `{"label", "score"}`.
        categories: numbers the labels.

    Raises:
        ConsumerError: it is none of these, or holds values out of range.
    """
    if isinstance(given, Mapping):
        _expect(given, ("label", "score"))
        return Label(categories[given["label"]], _score(given["score"]))
    if isinstance(given, tuple) and len(given) == 2 and not isinstance(given[0], tuple | list | Mapping):
        return Label(categories[given[0]], _score(given[1]))
    if isinstance(given, list | tuple):
        return _detections([_fields(one) for one in given], categories)
    raise ConsumerError(f"it returned {_short(given)}, expected a list of (label, score, box) or one (label, score)")


def _fields(one: object) -> tuple[Any, Any, Any]:
    if isinstance(one, Mapping):
        _expect(one, ("label", "score", "box"))
        return one["label"], one["score"], one["box"]
    if isinstance(one, list | tuple) and len(one) == 3:
        return one[0], one[1], one[2]
    raise ConsumerError(f"a detection is {_short(one)}, expected (label, score, box)")


def _detections(found: Sequence[tuple[Any, Any, Any]], categories: Categories) -> Detections:
    return Detections(
        np.array([_box(box) for _, _, box in found], np.float32).reshape(-1, 4),
        np.array([_score(score) for _, score, _ in found], np.float32),
        np.array([categories[label] for label, _, _ in found], np.int64),
    )


def _expect(given: Mapping[Any, Any], keys: Sequence[str]) -> None:
    lacking = [key for key in keys if key not in given]
    if lacking:
        raise ConsumerError(f"{_short(given)} lacks {', '.join(lacking)}")


def _score(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real | np.number) or not 0 <= float(value) <= 1:
        raise ConsumerError(f"score {_short(value)}, expected a number from 0 to 1")
    return float(value)


def _box(box: object) -> list[float]:
    try:
        corners = [float(side) for side in box]  # type: ignore[attr-defined]
    except (TypeError, ValueError) as error:
        raise ConsumerError(f"box {_short(box)}, expected four numbers (left, top, right, bottom)") from error
    if len(corners) != 4 or not all(map(math.isfinite, corners)):
        raise ConsumerError(f"box {_short(box)}, expected four numbers (left, top, right, bottom)")
    if corners[2] < corners[0] or corners[3] < corners[1]:
        raise ConsumerError(f"box {_short(box)}: right is left of left, or bottom above top")
    return corners


def _short(value: object) -> str:
    text = repr(value).replace("\n", " ")
    return text if len(text) <= 80 else f"{text[:77]}..."
