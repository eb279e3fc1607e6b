"""The classical scores that every table holds against the utility: higher means expected to be more useful."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trainer.rivals.case import Case
from trainer.rivals.classifier import Classifier
from trainer.rivals.filters import blockdetect, blurdetect
from trainer.rivals.jpeg import bits_per_pixel, jpeg_quality
from trainer.rivals.scene_statistics import brisque
from trainer.rivals.sharpness import ssim, variance_of_laplacian

__all__ = ["RIVALS", "Case", "Classifier", "Rival"]


@dataclass(frozen=True)
class Rival:
    """A score of a picture."""

    score: Callable[[Case], float]
    """Higher means expected to be more useful; always finite. May be called by many threads."""
    description: str
    """One line for people."""
    needs_pristine: bool = False
    """Whether it looks at the pristine picture, which no receiver has."""


RIVALS: dict[str, Rival] = {
    "variance_of_laplacian": Rival(variance_of_laplacian, "variance of the luma's Laplacian (sharpness)"),
    "brisque": Rival(brisque, "minus BRISQUE, with the LIVE model"),
    "blockdetect": Rival(blockdetect, "minus the blockiness that ffmpeg's blockdetect finds"),
    "blurdetect": Rival(blurdetect, "minus the edge width that ffmpeg's blurdetect finds"),
    "ssim": Rival(ssim, "SSIM to the pristine picture", needs_pristine=True),
    "bits_per_pixel": Rival(bits_per_pixel, "size of the JPEG file; when not JPEG, of one at quality 90"),
    "jpeg_quality": Rival(jpeg_quality, "quality read from the JPEG file's tables; 101 when not JPEG"),
}
