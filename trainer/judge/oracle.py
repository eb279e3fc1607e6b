"""The oracle that knows a picture's distortion and strength, but not the picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamfilter.distort import PRISTINE
from streamfilter.errors import InputError
from trainer.judge.rows import Evidence, Floats

STRENGTH_BINS = 12


@dataclass(frozen=True, eq=False)
class StrengthOracle:
    """Mean usefulness against strength for each kind of distortion."""

    curves: Mapping[str, tuple[Floats, Floats]]
    """Kind -> (K,) ascending strengths and (K,) mean usefulness, 0-1."""
    overall: float
    """Mean usefulness of all kinds, for a kind without a curve."""

    def predict(self, distortion: npt.NDArray[np.str_], strength: Floats) -> Floats:
        """(N,) expected usefulness, 0-1: linear between the strengths known, flat beyond them, 1 for pristine."""
        found = np.full(len(distortion), self.overall)
        found[distortion == PRISTINE] = 1.0
        for kind, (strengths, means) in self.curves.items():
            here = distortion == kind
            found[here] = np.interp(strength[here], strengths, means)
        return found


def fit(
    distortion: npt.NDArray[np.str_], strength: Floats, useful: npt.NDArray[np.int8], bins: int = STRENGTH_BINS
) -> StrengthOracle:
    """Mean usefulness of each kind at each strength; more than `bins` strengths are put into `bins` equal-count bins.

    Args:
        distortion: (N,) kinds; pristine ones do not count.
        strength: (N,) in the kind's own unit.
        useful: (N, M) 1, 0 or -1 of M networks; -1 does not count.
        bins: most strengths of one kind.

    Raises:
        InputError: no row counts.
    """
    labelled = (useful >= 0) & (distortion != PRISTINE)[:, None]
    rows, _ = np.nonzero(labelled)
    if not len(rows):
        raise InputError("the oracle's label tables hold no distorted row with a label: give others")
    values, kinds, strengths = useful[labelled].astype(np.float64), distortion[rows], strength[rows]
    curves = {str(kind): _curve(strengths[kinds == kind], values[kinds == kind], bins) for kind in np.unique(kinds)}
    return StrengthOracle(curves, float(values.mean()))


def _curve(strengths: Floats, values: Floats, bins: int) -> tuple[Floats, Floats]:
    known, places = np.unique(strengths, return_inverse=True)
    if len(known) > bins:
        edges = np.unique(np.quantile(strengths, np.linspace(0, 1, bins + 1)[1:-1]))
        places = np.unique(np.searchsorted(edges, strengths, side="right"), return_inverse=True)[1]
    counts = np.bincount(places)
    return np.bincount(places, weights=strengths) / counts, np.bincount(places, weights=values) / counts


def fit_evidence(evidence: Evidence) -> StrengthOracle:
    """The oracle that the utilities without margins of these rows give."""
    return fit(evidence.distortion, evidence.strength, evidence.plain)
