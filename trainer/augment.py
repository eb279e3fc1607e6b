"""Augmentation before a distortion, to label more pictures of a rare class."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streamfilter.frame import RGB

LEAST_VISIBLE = 0.5
AREA = (0.3, 1.0)
ASPECT = (3 / 4, 4 / 3)
COLOUR = 0.2
LARGEST_SEED = 2**31 - 1
"""Seeds of augmentations fit in the 32 bits that label tables give them."""

Boxes = npt.NDArray[np.float32]


def augment(rgb: RGB, seed: int, boxes: Boxes | None = None) -> tuple[RGB, Boxes | None, npt.NDArray[np.bool_]]:
    """A random crop at the original size, a flip half of the time, and a mild change of light; the same for a seed.

    Args:
        rgb: (H, W, 3) uint8, RGB, HWC, 0-255.
        seed: of the random numbers.
        boxes: (G, 4) float32, xyxy, fractions of the picture; None when there are none to carry along.

    Returns:
        (H, W, 3) uint8 RGB; (G', 4) the boxes that stay at least half visible, clipped, as fractions of the new picture
        (None when none were given); (G,) bool, which ones those are.
    """
    random = np.random.default_rng(seed)
    crop = _random_crop(rgb.shape[0], rgb.shape[1], random)
    flip = bool(random.random() < 0.5)
    picture = _relight(_cut(rgb, crop), random)
    if flip:
        picture = np.ascontiguousarray(picture[:, ::-1])
    if boxes is None:
        return picture, None, np.zeros(0, dtype=np.bool_)
    moved, visible = _move(boxes, np.array(crop) / (rgb.shape[1], rgb.shape[0], rgb.shape[1], rgb.shape[0]))
    if flip:
        moved = np.stack([1 - moved[:, 2], moved[:, 1], 1 - moved[:, 0], moved[:, 3]], axis=1)
    kept: npt.NDArray[np.bool_] = visible >= LEAST_VISIBLE
    return picture, moved[kept].astype(np.float32), kept


def _random_crop(height: int, width: int, random: np.random.Generator) -> tuple[int, int, int, int]:
    """Left, top, right, bottom in pixels; the aspect ratio changes relative to the picture's own."""
    area, aspect = random.uniform(*AREA), np.exp(random.uniform(*np.log(ASPECT)))
    wide = min(width, max(1, round(width * np.sqrt(area * aspect))))
    high = min(height, max(1, round(height * np.sqrt(area / aspect))))
    left, top = int(random.integers(width - wide + 1)), int(random.integers(height - high + 1))
    return left, top, left + wide, top + high


def _cut(rgb: RGB, crop: tuple[int, int, int, int]) -> RGB:
    import cv2

    left, top, right, bottom = crop
    size = (rgb.shape[1], rgb.shape[0])
    return np.asarray(cv2.resize(rgb[top:bottom, left:right], size, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def _relight(rgb: RGB, random: np.random.Generator) -> RGB:
    """Brightness, contrast and saturation, each scaled by a factor within 1 -+ `COLOUR`."""
    brightness, contrast, saturation = random.uniform(1 - COLOUR, 1 + COLOUR, 3)
    lit = rgb.astype(np.float32) * brightness
    lit = (lit - lit.mean()) * contrast + lit.mean()
    grey = (lit @ np.array([0.299, 0.587, 0.114], dtype=np.float32))[..., np.newaxis]
    return np.asarray(np.clip(np.rint((lit - grey) * saturation + grey), 0, 255), dtype=np.uint8)


def _move(boxes: Boxes, crop: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Boxes clipped to the crop, as fractions of it, and the visible share of each one's area."""
    clipped = np.clip(boxes.astype(np.float64), np.tile(crop[:2], 2), np.tile(crop[2:], 2))
    before, after = ((one[:, 2:] - one[:, :2]).prod(axis=1) for one in (boxes.astype(np.float64), clipped))
    visible = np.divide(after, before, out=np.zeros_like(after), where=before > 0)
    return (clipped - np.tile(crop[:2], 2)) / np.tile(crop[2:] - crop[:2], 2), visible
