"""What a rival is shown: a distorted picture, and what was done to make it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from streamfilter.distort import Distortion
from streamfilter.frame import RGB


@dataclass(frozen=True, eq=False)
class Case:
    """A distorted picture and its source."""

    rgb: RGB
    """(H, W, 3) uint8, RGB, HWC, 0-255: the distorted picture."""
    pristine: RGB
    """(H, W, 3) uint8, RGB, HWC, 0-255: what it was made from."""
    distortion: Distortion
    """What was done."""

    @cached_property
    def grey(self) -> npt.NDArray[np.uint8]:
        """(H, W) uint8, luma (BT.601, full range), 0-255, of the distorted picture."""
        return luma(self.rgb)


def luma(rgb: RGB) -> npt.NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB -> (H, W) uint8, luma (BT.601, full range), 0-255."""
    import cv2

    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
