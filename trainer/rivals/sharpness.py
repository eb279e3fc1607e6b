"""Variance of the Laplacian, and SSIM."""

from __future__ import annotations

import numpy as np

from trainer.rivals.case import Case, luma

SSIM_WINDOW = 7


def variance_of_laplacian(case: Case) -> float:
    """Variance of the luma's second derivative: large in sharp pictures, and in noisy ones.

    Source: Pech-Pacheco et al. 2000, LAPV.
    """
    import cv2

    return float(cv2.Laplacian(case.grey, cv2.CV_64F).var())


def ssim(case: Case) -> float:
    """Structural similarity of the luma to the pristine picture's, at most 1; sides under 7 pixels are padded to it.

    Source: Wang et al. 2004, eq. (13), with scikit-image's uniform 7 x 7 window.
    """
    from skimage.metrics import structural_similarity

    lacking = [(0, max(0, SSIM_WINDOW - side)) for side in case.grey.shape]
    before, after = (np.pad(grey, lacking, mode="edge") for grey in (luma(case.pristine), case.grey))
    return float(structural_similarity(before, after, win_size=SSIM_WINDOW, data_range=255))
