"""What happens before the sensor's numbers are stored: blur, too little or too much light, noise, few pixels."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from streamfilter.distort.chance import random_of
from streamfilter.frame import RGB

GAMMA = 2.2
READ_NOISE = 0.002
"""Noise of a dark pixel, as a share of full scale."""
FULL_WELL = 4000.0
"""Electrons at full scale: small sensors have a few thousand."""

Floats = npt.NDArray[np.float32]


def defocus(rgb: RGB, percent: float) -> RGB:
    """Mean over a disc whose radius is `percent` of the shorter side: a lens out of focus."""
    radius = _pixels(rgb, percent)
    reach = math.ceil(radius)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    # The rim's pixels count by how much of them the disc covers, so that the blur grows smoothly with the radius.
    return _filtered(rgb, np.clip(radius + 0.5 - np.hypot(x, y), 0, 1))


def motion(rgb: RGB, percent: float) -> RGB:
    """Mean along a straight line, `percent` of the shorter side long, in a direction of the picture's own."""
    half, angle = _pixels(rgb, percent) / 2, random_of(rgb, "motion").uniform(0, math.pi)
    reach = math.ceil(half)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    return _filtered(rgb, np.clip(half + 0.5 - np.abs(along), 0, 1) * np.clip(1 - np.abs(across), 0, 1))


def noise(rgb: RGB, deviation: float) -> RGB:
    """Gaussian noise of this standard deviation in grey levels, independent in every pixel and channel."""
    grain = random_of(rgb, "noise").standard_normal(rgb.shape, dtype=np.float32)
    return _stored(rgb + deviation * grain)


def darkness(rgb: RGB, stops: float) -> RGB:
    """Light halved `stops` times before the sensor, with its shot and read noise, stored without brightening."""
    random = random_of(rgb, "darkness")
    light = _linear(rgb) * np.float32(2**-stops)
    deviation = np.sqrt(light / np.float32(FULL_WELL) + np.float32(READ_NOISE**2))
    return _gamma(light + deviation * random.standard_normal(rgb.shape, dtype=np.float32))


def overexposure(rgb: RGB, stops: float) -> RGB:
    """Light doubled `stops` times, clipped at white."""
    return _gamma(_linear(rgb) * np.float32(2**stops))


def lowres(rgb: RGB, factor: float) -> RGB:
    """Scaled down `factor` times by area and up again by cubic interpolation: a small or far camera."""
    import cv2

    height, width = rgb.shape[:2]
    small = (max(1, round(width / factor)), max(1, round(height / factor)))
    shrunk = cv2.resize(rgb, small, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def _pixels(rgb: RGB, percent: float) -> float:
    return float(percent / 100 * min(rgb.shape[:2]))


def _filtered(rgb: RGB, kernel: npt.NDArray[np.floating]) -> RGB:
    import cv2

    weights = (kernel / kernel.sum()).astype(np.float32)
    return np.asarray(cv2.filter2D(rgb, -1, weights, borderType=cv2.BORDER_REPLICATE), dtype=np.uint8)


def _linear(rgb: RGB) -> Floats:
    table: Floats = ((np.arange(256, dtype=np.float32) / 255) ** GAMMA).astype(np.float32)
    return table[rgb]


def _gamma(light: Floats) -> RGB:
    return _stored(255 * np.clip(light, 0, 1) ** np.float32(1 / GAMMA))


def _stored(values: npt.NDArray[np.floating]) -> RGB:
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)
