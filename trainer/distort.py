"""Distortions: what happens to a picture on its way to a machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from streamfilter.errors import ConfigError, PictureError, ShapeError
from streamfilter.frame import RGB

JPEG_QUALITIES = (1, 2, 3, 5, 8, 12, 18, 30, 50)
PRISTINE = "pristine"


@dataclass(frozen=True)
class Kind:
    """One family of distortions and the strengths it knows."""

    apply: Callable[[RGB, float], RGB]
    """Picture and strength -> distorted picture of the same size; the same input always gives the same output."""
    lowest: float
    """Smallest strength allowed, in `unit`."""
    highest: float
    """Largest strength allowed, in `unit`."""
    unit: str
    """What the strength counts."""
    whole: bool = False
    """Whether only whole strengths exist."""


@dataclass(frozen=True)
class Distortion:
    """A kind at one strength, or `Distortion("pristine")`.

    Raises:
        ConfigError: the kind is unknown or the strength outside its range.
    """

    kind: str
    """`pristine` or a key of `KINDS`."""
    strength: float | None = None
    """In the kind's own unit; None for pristine."""

    def __post_init__(self) -> None:
        if self.kind == PRISTINE:
            if self.strength is not None:
                raise ConfigError(f"a pristine picture has no strength, got {self.strength}")
            return
        kind = KINDS.get(self.kind)
        if kind is None:
            raise ConfigError(f"unknown distortion {self.kind!r}, known: {', '.join((PRISTINE, *KINDS))}")
        if self.strength is None or not kind.lowest <= self.strength <= kind.highest:
            bounds = f"{kind.lowest:g}-{kind.highest:g}"
            raise ConfigError(f"{self.kind} strength {self.strength} outside {bounds} ({kind.unit})")
        if kind.whole and self.strength != round(self.strength):
            raise ConfigError(f"{self.kind} strength {self.strength} is not whole ({kind.unit})")


def apply(rgb: RGB, distortion: Distortion) -> RGB:
    """The distorted picture; the pristine one comes back as it is.

    Args:
        rgb: (H, W, 3) uint8, RGB, HWC, 0-255.
        distortion: what to do to it.

    Returns:
        (H, W, 3) uint8, RGB, HWC, 0-255.

    Raises:
        ShapeError: `rgb` is not (H, W, 3) uint8.
        PictureError: the codec refuses a picture of this size.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ShapeError(f"expected (H, W, 3) uint8, got {rgb.shape} {rgb.dtype}")
    if distortion.strength is None:
        return rgb
    return KINDS[distortion.kind].apply(rgb, distortion.strength)


def _jpeg(rgb: RGB, quality: float) -> RGB:
    """Baseline JPEG with libjpeg's quantisation tables and 4:2:0 chroma, there and back."""
    import cv2

    flags = [
        cv2.IMWRITE_JPEG_QUALITY,
        int(quality),
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    ]
    encoded_whole, encoded = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), flags)
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if encoded_whole else None
    if decoded is None:
        raise PictureError(f"a {rgb.shape[1]}x{rgb.shape[0]} picture cannot be written as JPEG")
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), dtype=np.uint8)


KINDS: dict[str, Kind] = {"jpeg": Kind(_jpeg, 1, 100, "libjpeg quality", whole=True)}
