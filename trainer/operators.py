"""The operator O of eq. (3): from the utilities of several networks to one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from streamfilter.errors import ConfigError, ShapeError
from trainer.utility import LEFT_OUT, NON_USEFUL, USEFUL, Utilities

OPERATORS = ("mean", "max", "majority", "unanimous")
Values = npt.NDArray[np.float32]


def combine(utilities: npt.NDArray[np.int8], operator: str = "unanimous") -> Utilities:
    """The label of several networks: U(I) = O(U_1(I), ..., U_N(I)), O one of `OPERATORS`.   (3)

    - `unanimous`: 1 where all say 1, 0 where all say 0; a network that leaves the picture out leaves it out for all.
    - The others ask only the networks that do not leave the picture out. `mean`: 1 where at least half of them say 1,
      else 0. `max`: 1 where one of them says 1, else 0. `majority`: what more than half of them say; -1 at a tie.

    Args:
        utilities: (N, M) int8, a column a network: 1, 0 or -1. This is the set of eq. (4).
        operator: one of `OPERATORS`.

    Returns:
        (N,) int8: 1 useful, 0 non-useful, -1 left out, as where all networks leave a picture out.

    Raises:
        ShapeError: `utilities` is not (N, M) with M >= 1.
        ConfigError: the operator is unknown.

    Source: Khan et al. 2022, eq. (3) and (4); unanimity is the one of its section IV. What the others do about networks
        that leave a picture out, and at a tie, is ours: the paper does not say.
    """
    _check(utilities, operator)
    ones, zeros = (utilities == USEFUL).sum(axis=1), (utilities == NON_USEFUL).sum(axis=1)
    networks = utilities.shape[1]
    useful, non_useful = {
        "unanimous": (ones == networks, zeros == networks),
        "mean": ((ones > 0) & (ones >= zeros), zeros > ones),
        "max": (ones > 0, (ones == 0) & (zeros > 0)),
        "majority": (ones > zeros, zeros > ones),
    }[operator]
    labels = np.full(len(utilities), LEFT_OUT, dtype=np.int8)
    labels[useful], labels[non_useful] = USEFUL, NON_USEFUL
    return labels


def share_useful(utilities: npt.NDArray[np.int8]) -> Values:
    """The mean operator before it is rounded to a label: (N,) float32 share of ones, 0-1.

    Only networks that do not leave the picture out count; NaN where all do.

    Raises:
        ShapeError: `utilities` is not (N, M) with M >= 1.

    Source: Khan et al. 2022, eq. (3) with O = mean.
    """
    _check(utilities, "mean")
    return combine_continuous(np.where(utilities == LEFT_OUT, np.nan, utilities).astype(np.float32), "mean")


def combine_continuous(utilities: npt.NDArray[np.floating], operator: str = "mean") -> Values:
    """The continuous utility of several networks: U(I) = O(U_1(I), ..., U_N(I)), O one of `OPERATORS`.   (3)

    `mean` and `max` are what they say. `majority` is the median and `unanimous` the minimum, because a threshold on
    them then asks whether half of the networks, or all of them, reach it.

    Args:
        utilities: (N, M) floats, a column a network; NaN where a network leaves the picture out, which is not counted.
        operator: one of `OPERATORS`.

    Returns:
        (N,) float32, NaN where every network leaves the picture out.

    Raises:
        ShapeError: `utilities` is not (N, M) with M >= 1.
        ConfigError: the operator is unknown.

    Source: Khan et al. 2022, eq. (3) over the values of eq. (2); median and minimum are our reading of its majority
        vote and of its unanimity for values that are no votes.
    """
    _check(utilities, operator)
    reduce: Any = {"mean": np.nanmean, "max": np.nanmax, "majority": np.nanmedian, "unanimous": np.nanmin}[operator]
    combined = np.full(len(utilities), np.nan, dtype=np.float32)
    known = ~np.isnan(utilities).all(axis=1)
    if known.any():
        combined[known] = reduce(utilities[known].astype(np.float64), axis=1)
    return combined


def _check(utilities: npt.NDArray[np.generic], operator: str) -> None:
    if operator not in OPERATORS:
        raise ConfigError(f"unknown operator {operator!r}, known: {', '.join(OPERATORS)}")
    if utilities.ndim != 2 or utilities.shape[1] == 0:
        raise ShapeError(f"expected (N, M) utilities with M >= 1, got {utilities.shape}")
