"""Records as columns: few bytes a frame, so that ten hours of video fit."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from streamfilter.address import mask

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

MAX_NAMES = 200
"""Different reasons, causes or tasks that are told apart, far more than there are."""
NUMBER, OPTIONAL_NAME = (int, float), (str, type(None))
FARTHEST_SECONDS = 1e11
"""A time stamp beyond this is none."""


@dataclass(frozen=True, eq=False)
class Columns:
    """N frames, a value each in every column, in the order they were recorded."""

    inputs: tuple[str, ...]
    """Every input by its number, as recorded."""
    reasons: tuple[str, ...]
    """Every reason by its number."""
    causes: tuple[str, ...]
    """Every cause by its number; number 0 is "", none."""
    input: Ints
    """(N,) numbers of the inputs."""
    index: Ints
    """(N,) positions in their inputs."""
    pts_seconds: Floats
    """(N,) the input's own time, seconds; NaN when it has none."""
    arrived: Floats
    """(N,) when a live frame came, seconds since 1970; NaN for files."""
    keep: Bools
    """(N,) whether the frame went on."""
    reason: Ints
    """(N,) numbers of the reasons."""
    spared: Ints
    """(N,) numbers of the reasons it would have been dropped for; -1 when it would not."""
    cause: Ints
    """(N,) numbers of the causes."""
    utility: Mapping[str, npt.NDArray[np.float32]]
    """Task -> (N,) utility in [0, 1], NaN when not scored."""

    def __len__(self) -> int:
        return len(self.index)

    def take(self, rows: Ints) -> Columns:
        """The same columns with these rows only, in this order."""
        return Columns(
            self.inputs, self.reasons, self.causes, self.input[rows], self.index[rows], self.pts_seconds[rows],
            self.arrived[rows], self.keep[rows], self.reason[rows], self.spared[rows], self.cause[rows],
            {task: values[rows] for task, values in self.utility.items()},
        )  # fmt: skip


class ColumnsBuilder:
    """Collects records one by one."""

    def __init__(self) -> None:
        self._inputs: dict[tuple[str, str], int] = {}
        self._reasons: dict[str, int] = {}
        self._causes: dict[str, int] = {"": 0}
        self._input, self._index = array("i"), array("q")
        self._pts, self._arrived = array("d"), array("d")
        self._keep, self._reason, self._spared, self._cause = array("b"), array("h"), array("h"), array("h")
        self._utility: dict[str, array[float]] = {}

    def __len__(self) -> int:
        return len(self._index)

    def add(self, fields: object, log: str = "") -> bool:
        """Take one record.

        Args:
            fields: what `sinks.records.record_fields` gives, or its JSON read back.
            log: which of several logs it lies in; the same input in two logs is two inputs.

        Returns:
            Whether it was a record; what is none is left out.
        """
        if not isinstance(fields, dict) or not _is_record(fields):
            return False
        get = fields.get
        utility, spared_for = get("utility") or {}, get("would_drop")
        reason = _number(self._reasons, fields["reason"])
        spared = _number(self._reasons, spared_for) if spared_for else -1
        cause = _number(self._causes, get("cause") or "")
        if reason is None or spared is None or cause is None or not self._has_room(utility):
            return False
        for task, values in self._utility.items():
            values.append(utility.get(task, math.nan))
        self._input.append(self._inputs.setdefault((log, fields["input"]), len(self._inputs)))
        self._index.append(fields["index"])
        self._pts.append(_or_nan(get("pts_seconds")))
        self._arrived.append(_or_nan(get("time")))
        self._keep.append(fields["keep"])
        self._reason.append(reason)
        self._spared.append(spared)
        self._cause.append(cause)
        return True

    def _has_room(self, utility: Mapping[str, float]) -> bool:
        """Make sure there is a column for every task; False when there would be too many."""
        for task in utility:
            if task not in self._utility:
                if len(self._utility) >= MAX_NAMES:
                    return False
                self._utility[task] = array("f", [math.nan]) * len(self)
        return True

    def build(self) -> Columns:
        """All of them; nothing may be added afterwards."""
        return Columns(
            inputs=tuple(name for _, name in self._inputs),
            reasons=tuple(self._reasons),
            causes=tuple(self._causes),
            input=np.array(self._input, np.int64),
            index=np.array(self._index, np.int64),
            pts_seconds=np.array(self._pts, np.float64),
            arrived=np.array(self._arrived, np.float64),
            keep=np.array(self._keep, np.bool_),
            reason=np.array(self._reason, np.int64),
            spared=np.array(self._spared, np.int64),
            cause=np.array(self._cause, np.int64),
            utility={task: np.array(self._utility[task], np.float32) for task in sorted(self._utility)},
        )


def shown(text: str, most: int = 300) -> str:
    """A name as people may see it: without passwords, printable, of bounded length."""
    plain = mask(text).encode("utf-8", "replace").decode("utf-8")
    return plain if len(plain) <= most else f"{plain[: most // 2]}…{plain[-most // 2 :]}"


def _is_record(fields: dict[str, Any]) -> bool:
    get = fields.get
    index, utility = get("index"), get("utility")
    return (
        type(index) is int
        and 0 <= index < 2**40
        and type(get("keep")) is bool
        and type(get("input")) is str
        and type(get("reason")) is str
        and type(get("would_drop")) in OPTIONAL_NAME
        and type(get("cause")) in OPTIONAL_NAME
        and _is_time(get("pts_seconds"))
        and _is_time(get("time"))
        and (utility is None or _is_utility(utility))
    )


def _is_time(value: Any) -> bool:
    return value is None or (type(value) in NUMBER and abs(value) < FARTHEST_SECONDS)


def _is_utility(value: object) -> bool:
    return type(value) is dict and all(type(one) in NUMBER and 0 <= one <= 1 for one in value.values())


def _number(names: dict[str, int], name: str) -> int | None:
    """The number of a name; None for a new one when there are too many already."""
    number = names.get(name)
    if number is None and len(names) < MAX_NAMES:
        number = names[name] = len(names)
    return number


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
