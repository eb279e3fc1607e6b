"""Rows -> small pictures: made on demand, remembered, and shown to the training in random views."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from math import prod
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from streamfilter.distort import apply
from streamfilter.errors import OutputError
from streamfilter.preprocess import shrink
from streamfilter.spec import STRETCH, input_hw
from trainer.augment import augment
from trainer.dataset import Row
from trainer.pictures import read_labelled

JOB_TIMEOUT_SECONDS = 600.0
LEAST_CROP = 0.8
"""Least side of a crop, as a share of the picture's."""
CONTRAST, TINT, LIGHT = (0.75, 1.25), (0.92, 1.08), (-20.0, 20.0)
"""Ranges of the shifts: factors, factors of each channel, grey levels."""

Made = TypeVar("Made")


class Pictures:
    """Small distorted pictures of rows, made on demand and remembered up to a bound."""

    def __init__(
        self, rows: Sequence[Row], size: int, cache_mb: int = 0, folder: Path | None = None, fit: str = STRETCH
    ) -> None:
        """Args:
        rows: what to make.
        size: side of each picture as a model's input, pixels.
        cache_mb: bound on what is remembered, MiB.
        folder: where to remember it, for other runs on the same rows as well; None for memory.
        fit: one of `streamfilter.spec.FITS`.
        """
        self.rows = rows
        self.size, self.fit = size, fit
        self.shape = (*input_hw(size, fit), 3)
        rows_kept = min(len(rows), cache_mb * 2**20 // prod(self.shape))
        self._cache, self._made = room(folder and folder / self.key(), (rows_kept, *self.shape))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def cached_bytes(self) -> int:
        """Size of the pictures remembered so far."""
        return int(self._made.sum()) * prod(self.shape)

    def __getitem__(self, index: int) -> npt.NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB, 0-255.

        Raises:
            PictureError: the picture cannot be read, or is no longer the one that was labelled.
        """
        if index >= len(self._made):
            return self._make(self.rows[index])
        if not self._made[index]:
            self._cache[index] = self._make(self.rows[index])
            self._made[index] = True
        small: npt.NDArray[np.uint8] = self._cache[index]
        return small

    def batch(self, indices: Sequence[int] | npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """(N, H, W, 3) uint8 RGB, 0-255."""
        return np.stack([self[int(index)] for index in indices])

    def key(self) -> str:
        """Names the rows and the input."""
        names = [f"{row.content_hash} {row.distortion} {row.augmentation}" for row in self.rows]
        return hashlib.sha256("\n".join([str(self.size), self.fit, *names]).encode()).hexdigest()[:16]

    def _make(self, row: Row) -> npt.NDArray[np.uint8]:
        rgb = read_labelled(row.images / row.picture, row.content_hash)
        if row.augmentation:
            rgb = augment(rgb, row.augmentation)[0]
        return shrink(np.ascontiguousarray(apply(rgb, row.distortion)), self.size, self.fit)


def room(
    path: Path | None, shape: tuple[int, ...], dtype: type[np.generic] = np.uint8
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Place for what is made of rows, and whether each is there: memory, or two files that outlive the process.

    Args:
        path: of the files, without their endings; None for memory.
        shape: (N, ...).
        dtype: of each value.

    Raises:
        OutputError: the files cannot be made.
    """
    if path is None or not shape[0]:
        return np.empty(shape, dtype=dtype), np.zeros(shape[0], dtype=bool)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pictures, made = path.with_suffix(".pictures"), path.with_suffix(".made")
        kept = pictures.exists() and made.exists()
        _reserve(pictures, prod(shape) * np.dtype(dtype).itemsize, kept)
        _reserve(made, shape[0], kept)
        return np.memmap(pictures, dtype, "r+", shape=shape), np.memmap(made, np.bool_, "r+", shape=shape[:1])
    except (OSError, ValueError) as error:
        raise OutputError(f"pictures cannot be kept in {path.parent}: {error}; choose another --cache-dir") from error


def _reserve(path: Path, size: int, kept: bool) -> None:
    """Give a file its bytes on the disk, zeros where it is new: a full disk would end the process at a later write."""
    with path.open("r+b" if kept else "w+b") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)


def vary(images: npt.NDArray[np.uint8], size: int, rng: np.random.Generator, patch: int = 0) -> npt.NDArray[np.uint8]:
    """Random views of a batch: crops brought to the input size, half of them mirrored, light and colour shifted.

    The distortion stays what it was, and so does the label: a network must not know the pictures by heart.

    Args:
        images: (N, C, C, 3) uint8 RGB, C >= size.
        size: side of the result, pixels.
        rng: decides.
        patch: side of the part of each view to return, pixels; 0 for the whole view.

    Returns:
        (N, S, S, 3) uint8 RGB, 0-255, S = patch or size.
    """
    side = patch or size
    views = np.empty((len(images), side, side, 3), dtype=np.uint8)
    for view, image in zip(views, images, strict=True):
        least = max(size, round(LEAST_CROP * image.shape[0]))
        height, width = rng.integers(least, image.shape[0] + 1, 2)
        cut = shrink(_cut(image, int(height), int(width), rng), size)
        if patch:
            cut = _cut(cut, patch, patch, rng)
        gain = rng.uniform(*CONTRAST) * rng.uniform(*TINT, 3)
        shifted = (cut.astype(np.float32) - 128) * gain + 128 + rng.uniform(*LIGHT)
        view[:] = np.clip(shifted, 0, 255)[:, :: rng.choice((-1, 1))]
    return views


def _cut(image: npt.NDArray[np.uint8], height: int, width: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """A part of this size, from anywhere in the picture."""
    top, left = rng.integers(0, image.shape[0] - height + 1), rng.integers(0, image.shape[1] - width + 1)
    return np.ascontiguousarray(image[top : top + height, left : left + width])


def prefetch(jobs: Iterable[Callable[[], Made]], ahead: int = 4, workers: int = 2) -> Iterator[Made]:
    """Results of the jobs in order, made in background threads up to `ahead` before they are asked for.

    Raises:
        Exception: whatever a job raised, in the reader's thread.
        TimeoutError: a job took longer than ten minutes.
    """
    pending: deque[Future[Made]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="prefetch")
    try:
        for job in jobs:
            pending.append(pool.submit(job))
            if len(pending) > ahead:
                yield pending.popleft().result(JOB_TIMEOUT_SECONDS)
        while pending:
            yield pending.popleft().result(JOB_TIMEOUT_SECONDS)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
