"""Chance that is the same every time: each picture brings its own seed."""

from __future__ import annotations

import zlib

import numpy as np

from streamfilter.frame import RGB


def random_of(rgb: RGB, purpose: str) -> np.random.Generator:
    """Random numbers that depend on nothing but the picture's pixels and the purpose.

    Different pictures get different noise; the same picture gets the same noise in every run and at every strength, so
    that a stronger distortion is a stronger form of the weaker one.

    Args:
        rgb: (H, W, 3) uint8, RGB, HWC, 0-255.
        purpose: what the numbers are for.
    """
    return np.random.default_rng([zlib.crc32(np.ascontiguousarray(rgb).data), zlib.crc32(purpose.encode())])
