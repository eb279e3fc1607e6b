"""Does the ONNX file say what torch says, on real pictures?"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps

from streamfilter.errors import InputNotFoundError, ModelError
from streamfilter.preprocess import shrink
from streamfilter.scorer import Scorer
from streamfilter.spec import STRETCH
from trainer.models import UtilityNet

log = logging.getLogger(__name__)

TOLERANCE = 1e-4
LEAST_PICTURES = 16
MOST_PICTURES = 32
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")

Images = npt.NDArray[np.uint8]


def read_pictures(folders: Sequence[Path], size: int, fit: str = STRETCH) -> Images:
    """Pictures of these folders, spread evenly over their sorted files, as model input.

    Args:
        folders: searched to any depth.
        size: side of the model's input, pixels.
        fit: one of `streamfilter.spec.FITS`.

    Returns:
        (N, *input_hw(size, fit), 3) uint8, RGB, 0-255; N between `LEAST_PICTURES` and `MOST_PICTURES`.

    Raises:
        InputNotFoundError: too few pictures can be read.
    """
    paths = [path for folder in folders for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES]
    chosen = [paths[index] for index in np.linspace(0, len(paths) - 1, min(len(paths), MOST_PICTURES)).astype(int)]
    found = [small for path in chosen if (small := _read_picture(path, size, fit)) is not None]
    if len(found) < LEAST_PICTURES:
        where = ", ".join(map(str, folders))
        raise InputNotFoundError(
            f"parity needs {LEAST_PICTURES} pictures, {len(found)} found in {where}; give a folder with --pictures"
        )
    return np.stack(found)


def _read_picture(path: Path, size: int, fit: str) -> Images | None:
    try:
        with Image.open(path) as picture:
            return shrink(np.array(ImageOps.exif_transpose(picture).convert("RGB")), size, fit)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        log.warning("%s left out of the comparison: %s", path, error)
        return None


def check(net: UtilityNet, path: Path, images: Images, tolerance: float = TOLERANCE) -> float:
    """Compare an ONNX file with the network it was made from, one by one and in batches.

    Args:
        net: in evaluation mode, on the CPU.
        path: the ONNX file.
        images: (N, H, W, 3) uint8, RGB, 0-255, as the model wants them.
        tolerance: largest difference of a utility allowed.

    Returns:
        The largest absolute difference of a utility.

    Raises:
        ModelError: the runtime refuses the file, or it differs by more than `tolerance`.
    """
    with torch.inference_mode():
        wanted = net.probabilities(torch.from_numpy(images)).numpy()
    scorer = Scorer(str(path), device="cpu")
    outputs = [_in_batches(scorer, images, size) for size in sorted({1, 3, len(images)})]
    difference = max(float(np.abs(output - wanted).max()) for output in outputs)
    if not difference <= tolerance:
        raise ModelError(
            f"the ONNX graph differs from torch by {difference:.2e}, more than {tolerance:g}; nothing was written"
        )
    log.info("parity on %d pictures: largest difference %.1e", len(images), difference)
    return difference


def _in_batches(scorer: Scorer, images: Images, size: int) -> npt.NDArray[np.float32]:
    starts = range(0, len(images), size)
    return np.concatenate([scorer.score(images[at : at + size]) for at in starts])
