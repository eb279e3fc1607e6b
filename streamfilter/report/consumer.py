"""What the user's own consumer said about the frames: JSON lines beside the records."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np

from streamfilter.errors import ConfigError, InputError
from streamfilter.report.clips import Clip
from streamfilter.report.columns import Bools, Floats, Ints, shown
from streamfilter.report.discard import MARKED, errors_left, ideal, shares
from streamfilter.report.records import STDIN, Problem, json_lines, opened
from streamfilter.report.rule import Rule

MAX_BOXES = 100
"""Boxes drawn on one frame, the highest-scored ones."""
UNKNOWN = -1

Key = tuple[str, int]


@dataclass(frozen=True, eq=False)
class Verdicts:
    """Whether the consumer was wrong, frame by frame."""

    inputs: Mapping[str, int]
    """Input -> its number in the keys."""
    keys: Ints
    """(M,) sorted; input number and index in one."""
    wrong: Ints
    """(M,) 1 wrong, 0 right, as the keys."""

    def of(self, clip: Clip) -> Ints:
        """(N,) 1 wrong, 0 right, -1 not known."""
        numbers = np.array([self._number(name) for name in clip.columns.inputs], np.int64)[clip.columns.input]
        keys = _keys(numbers, clip.columns.index)
        places = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where((self.keys[places] == keys) & (numbers >= 0), self.wrong[places], UNKNOWN)

    def _number(self, name: str) -> int:
        return self.inputs.get(name, self.inputs.get(PurePath(name).name, -1))


def read_verdicts(path: str) -> tuple[Verdicts, list[Problem]]:
    """The verdicts of a file of consumer outputs: one JSON object a line with `input`, `index` and `error`.

    Args:
        path: the file. An input may be named as in the records, or by its file name alone.

    Returns:
        The verdicts, and what is wrong with the file.

    Raises:
        ConfigError: the path is standard input.
        InputError: it cannot be read, or no line is such an object.
    """
    if path == STDIN:
        raise ConfigError("the consumer's outputs are read twice, so they cannot come from standard input: name a file")
    inputs: dict[str, int] = {}
    numbers, indices, wrong = array("q"), array("q"), array("b")
    bad = 0
    with opened(path) as file:
        for value, _ in json_lines(file):
            if not isinstance(value, dict) or not _is_verdict(value):
                bad += 1
                continue
            numbers.append(inputs.setdefault(value["input"], len(inputs)))
            indices.append(value["index"])
            wrong.append(value["error"])
    if not wrong:
        raise InputError(
            f"{shown(path)} holds no consumer outputs: a line is {{'input': ..., 'index': 0, 'error': false}}"
        )
    keys = _keys(np.array(numbers, np.int64), np.array(indices, np.int64))
    order = np.argsort(keys, kind="stable")
    told = [Problem(f"{shown(path)}: {bad} lines are no consumer outputs and were left out")] if bad else []
    return Verdicts(inputs, keys[order], np.array(wrong, np.int64)[order]), told


def read_boxes(path: str, wanted: Collection[Key]) -> dict[Key, dict[str, list[dict[str, Any]]]]:
    """Detections of some frames: `detections`, and `reference` where the line has it.

    Args:
        path: the file that `read_verdicts` has read.
        wanted: input and index; an input by its file name alone fits as well.
    """
    names = {key: key for key in wanted} | {(PurePath(name).name, index): (name, index) for name, index in wanted}
    found = {}
    with opened(path) as file:
        for value, _ in json_lines(file):
            if isinstance(value, dict) and _is_verdict(value):
                key = names.get((value["input"], value["index"]))
                lists = {name: _boxes(value[name]) for name in ("reference", "detections") if name in value}
                if key is not None and lists:
                    found[key] = lists
    return found


def discard_figures(clips: Sequence[Clip], verdicts: Verdicts, rule: Rule) -> dict[str, Any] | None:
    """Error against discard over all frames the consumer was asked about, as JSON values.

    Returns:
        `frames` judged and scored, `errors` among them, `shares`, `curves` (task -> error left), `ideal`, `marked`
        (share -> name -> error left), and `filter`: what the filter did. None when no frame is both scored and judged.
    """
    parts = [_judged(clip, verdicts, rule) for clip in clips]
    if not parts or not sum(len(wrong) for wrong, _, _ in parts):
        return None
    wrong = np.concatenate([part[0] for part in parts])
    keep = np.concatenate([part[1] for part in parts])
    tasks = rule.tasks(clips[0].columns)
    scores = {task: np.concatenate([part[2][task] for part in parts]) for task in tasks}
    marked = {
        share: {task: float(errors_left(values, wrong, np.array([share]))[0]) for task, values in scores.items()}
        | {"ideal": float(ideal(wrong, np.array([share]))[0])}
        for share in MARKED
    }
    return {
        "frames": len(wrong),
        "errors": float(wrong.mean()),
        "shares": shares().tolist(),
        "curves": {task: errors_left(values, wrong, shares()).tolist() for task, values in scores.items()},
        "ideal": ideal(wrong, shares()).tolist(),
        "marked": marked,
        "filter": _as_filtered(wrong, keep),
    }


def _judged(clip: Clip, verdicts: Verdicts, rule: Rule) -> tuple[Floats, Bools, dict[str, Floats]]:
    """Of the frames that are judged and scored: whether wrong, whether kept, and the utility for each task."""
    wrong = verdicts.of(clip)
    columns = clip.columns
    rows = np.flatnonzero((wrong != UNKNOWN) & np.isfinite(rule.margins(columns)))
    utility = {task: columns.utility[task][rows].astype(np.float64) for task in rule.tasks(columns)}
    return wrong[rows].astype(np.float64), columns.keep[rows], utility


def _as_filtered(wrong: Floats, keep: Bools) -> dict[str, float | int | None]:
    right = wrong == 0
    return {
        "discarded": float(1 - keep.mean()),
        "error": float(wrong[keep].mean()) if keep.any() else None,
        "errors_dropped": int(np.count_nonzero(~keep & ~right)),
        "errors_kept": int(np.count_nonzero(keep & ~right)),
        "right_dropped": int(np.count_nonzero(~keep & right)),
        "right": int(np.count_nonzero(right)),
    }


def _is_verdict(value: dict[str, Any]) -> bool:
    index = value.get("index")
    return (
        isinstance(value.get("input"), str)
        and type(index) is int
        and 0 <= index < 2**40
        and isinstance(value.get("error"), bool)
    )


def _keys(numbers: Ints, indices: Ints) -> Ints:
    return numbers * 2**40 + indices


def _boxes(value: object) -> list[dict[str, Any]]:
    """The boxes of a list that can be drawn, highest score first; anything else in it is left out."""
    items = value if isinstance(value, list) else []
    boxes = [box for item in items if (box := _box(item)) is not None]
    return sorted(boxes, key=lambda box: -box["score"])[:MAX_BOXES]


def _box(item: object) -> dict[str, Any] | None:
    if not isinstance(item, dict):
        return None
    corners, score = item.get("box"), item.get("score", 1.0)
    is_box = isinstance(corners, list) and len(corners) == 4 and all(_is_number(corner) for corner in corners)
    if not is_box or not _is_number(score):
        return None
    return {
        "label": shown(str(item.get("label", "")), 60),
        "score": float(score),
        "box": [float(c) for c in corners or ()],
    }


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and abs(value) < 1e7  # type: ignore[arg-type]


def tell(verdicts: Verdicts, clips: Sequence[Clip]) -> Iterator[str]:
    """What the reader has to know about how the outputs fit the records."""
    judged = sum(int(np.count_nonzero(verdicts.of(clip) != UNKNOWN)) for clip in clips)
    frames = sum(map(len, clips))
    if judged < frames:
        yield f"the consumer's outputs tell of {judged:,} of {frames:,} frames"
