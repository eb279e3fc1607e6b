"""BRISQUE: how far the statistics of neighbouring pixels are from those of natural photographs.

`brisque_live.npz` is the support vector regressor of the package `brisque` 0.2.0 (`svm.txt`, `normalize.pickle`;
Apache-2.0, copyright Rehan Guha), trained on the LIVE database. The package itself is not imported: it needs `libsvm`,
which has no wheels, and fails on NumPy 2.4. The statistics are the package's: scores agree to 0.02, save on pictures
with exactly flat blocks, such as JPEG of the lowest qualities, where its own depend on the sign of rounding errors
(there they are up to 15 of 110 apart).

Source: Mittal, Moorthy, Bovik 2012, section III.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import gamma

from streamfilter.frame import RGB
from trainer.rivals.case import Case

Floats = npt.NDArray[np.floating[Any]]
MODEL = Path(__file__).parent / "brisque_live.npz"
LEAST_SIDE = 4
LUMA = np.array([0.2125, 0.7154, 0.0721])
KERNEL_SIDE, KERNEL_SIGMA = 7, 7 / 6
ROUNDING = 1e-9
"""Smaller differences from the mean are the arithmetic's, whose sign is chance: a flat block has none."""
SHAPES = np.arange(0.1, 10, 0.001)
"""Shape parameters that are tried."""
NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""Right, below, and the two diagonals."""


def brisque(case: Case) -> float:
    """Minus the BRISQUE score: about 0 for a clean photograph, -100 and less for a spoilt one.

    A picture without statistics (flat, or a side of under four pixels) gets what the regressor says of anything unlike
    all it was trained on, about -156.
    """
    model = _model()
    found = features(case.rgb)
    if not np.isfinite(found).all():
        return float(model["rho"])
    scaled = 2 * (found - model["lowest"]) / (model["highest"] - model["lowest"]) - 1
    distances = ((model["vectors"] - scaled) ** 2).sum(axis=1)
    return float(model["rho"] - model["coefficients"] @ np.exp(-model["gamma"] * distances))


def features(rgb: RGB) -> Floats:
    """The 36 natural scene statistics of a picture's luma (BT.709 weights, not rounded, as the package takes it).

    Args:
        rgb: (H, W, 3) uint8, RGB, HWC, 0-255.

    Returns:
        (36,) float64: 18 at full size and 18 at half size; NaN where they are undefined.
    """
    import cv2

    if min(rgb.shape[:2]) < LEAST_SIDE:
        return np.full(36, np.nan)
    full = rgb @ LUMA / 255
    half = cv2.resize(full, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_CUBIC)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.array(_of_scale(full) + _of_scale(half))


def _of_scale(picture: Floats) -> list[float]:
    normalised = _normalise(picture)
    shape, _, left, right = _fit(normalised)
    found = [shape, (left**2 + right**2) / 2]
    for down, across in NEIGHBOURS:
        height, width = picture.shape[0] - down, picture.shape[1] - abs(across)
        start = max(0, -across)
        here = normalised[:height, start : start + width]
        there = normalised[down:, max(0, across) : max(0, across) + width]
        shape, mean, left, right = _fit(here * there)
        found += [shape, mean, left**2, right**2]
    return found


def _normalise(picture: Floats) -> Floats:
    """Mean-subtracted, contrast-normalised values, eq. (1); black lies beyond the edges."""
    import cv2

    kernel = cv2.getGaussianKernel(KERNEL_SIDE, KERNEL_SIGMA)

    def smooth(values: Floats) -> Floats:
        return np.asarray(cv2.sepFilter2D(values, -1, kernel, kernel, borderType=cv2.BORDER_CONSTANT))

    mean = smooth(picture)
    deviation = np.sqrt(np.abs(mean**2 - smooth(picture**2)))
    differences = picture - mean
    differences[np.abs(differences) < ROUNDING] = 0
    return differences / (deviation + 1 / 255)


def _fit(values: Floats) -> tuple[float, float, float, float]:
    """Shape, mean, left and right scale of an asymmetric generalised Gaussian, by its moments. Eq. (8) to (11)."""
    left = np.sqrt(np.mean(np.square(values[values < 0]))) if (values < 0).any() else np.nan
    right = np.sqrt(np.mean(np.square(values[values >= 0]))) if (values >= 0).any() else np.nan
    lean = left / right
    ratio = np.mean(np.abs(values)) ** 2 / np.mean(np.square(values))
    wanted = ratio * (lean**3 + 1) * (lean + 1) / (lean**2 + 1) ** 2
    if not np.isfinite(wanted):
        return np.nan, np.nan, np.nan, np.nan
    shape = float(np.interp(wanted, _ratios(), SHAPES))
    spread = np.sqrt(gamma(1 / shape) / gamma(3 / shape))
    mean = (right - left) * spread * gamma(2 / shape) / gamma(1 / shape)
    return shape, float(mean), float(left), float(right)


@cache
def _ratios() -> Floats:
    """The moments' ratio of each of `SHAPES`; it grows with the shape."""
    ratios: Floats = gamma(2 / SHAPES) ** 2 / (gamma(1 / SHAPES) * gamma(3 / SHAPES))
    return ratios


@cache
def _model() -> dict[str, Floats]:
    with np.load(MODEL) as arrays:
        return dict(arrays)
