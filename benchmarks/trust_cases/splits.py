"""Judged frames cut in two at random, whole blocks at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamfilter import CalibrationError, Choice, Goal, Table, choose_threshold, describe_threshold

KEEP_ALL = 0.0


@dataclass(frozen=True)
class Tried:
    """What a threshold chosen on one part does on the other."""

    refused: bool
    """Whether no threshold was given, so that everything is kept."""
    test: Choice


def random_splits(groups: int, share: float, count: int, seed: int = 0) -> Iterator[npt.NDArray[np.bool_]]:
    """(groups,) bool each: whether a group is for calibration; `share` of them are."""
    random = np.random.default_rng(seed)
    taken = round(share * groups)
    for _ in range(count):
        yield random.permutation(groups) < taken


def part(table: Table, rows: npt.NDArray[np.bool_]) -> Table:
    """Some rows, their blocks numbered anew."""
    known, block = np.unique(table.block[rows], return_inverse=True)
    columns = (table.utility[rows], table.useful[rows], table.counts[rows], table.wrong[rows])
    return Table(block, len(known), *columns)


def as_independent(table: Table) -> Table:
    """Every frame with a verdict taken as a block of its own: what must not be done."""
    judged = part(table, table.counts)
    return Table(
        np.arange(len(judged.utility)), len(judged.utility), judged.utility, judged.useful, judged.counts, judged.wrong
    )


def attempt(calibration: Table, test: Table, goal: Goal) -> Tried:
    """Choose on one part, measure on the other; a refusal keeps everything."""
    try:
        threshold, refused = choose_threshold(calibration, goal).threshold, False
    except CalibrationError:
        threshold, refused = KEEP_ALL, True
    return Tried(refused, describe_threshold(test, threshold))
