"""Label tables -> rows -> small pictures: what the training loop eats."""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamfilter.errors import InputError, InputNotFoundError
from streamfilter.preprocess import shrink
from trainer.augment import augment
from trainer.distort import Distortion, apply
from trainer.pictures import read_picture
from trainer.tables import derive, metadata_of, read_table

PRISTINE_QUALITY = 101
JOB_TIMEOUT_SECONDS = 600.0

Made = TypeVar("Made")
Labels = tuple[float, ...]
ROOM = 1.25
"""Pictures are remembered this much larger than the input, so that training can look at crops of them."""
CONTRAST, TINT, LIGHT = (0.75, 1.25), (0.92, 1.08), (-20.0, 20.0)
"""Ranges of the shifts: factors, factors of each channel, grey levels."""


@dataclass(frozen=True)
class Row:
    """One labelled picture: where it lies, what is done to it, and its label for each task."""

    images: Path
    """Folder of the pictures."""
    picture: str
    """The picture's file, relative to it."""
    content_hash: str
    """Hash of the source picture's content; rows of one source share it."""
    split: str
    """The source's split in its own data set, such as `dev` or `test`."""
    distortion: Distortion
    """What is done to the picture after the augmentation."""
    augmentation: int
    """Seed of the augmentation; 0 for none."""
    labels: Labels
    """(T,) 1 useful, 0 non-useful, NaN unlabelled."""

    @property
    def is_pristine(self) -> bool:
        """Whether nothing is done to the picture."""
        return self.distortion.strength is None

    @property
    def quality(self) -> float:
        """JPEG quality, with the pristine picture just above the best."""
        return float(PRISTINE_QUALITY if self.distortion.strength is None else self.distortion.strength)


@dataclass(frozen=True, eq=False)
class LabelTable:
    """One task's table of derived labels."""

    path: Path
    """The Parquet file, as the caller named its folder."""
    task: str
    """The task it labels."""
    metadata: Mapping[str, Any]
    """What it was made from, as in `tables.metadata_of`."""
    rows: tuple[Row, ...]
    """Its rows, with labels for this task only; rows that were left out carry NaN."""


def load_tables(folders: Sequence[str | Path], tasks: Sequence[str]) -> list[LabelTable]:
    """Every label table of these tasks in these folders.

    Args:
        folders: folders with `<task>.parquet` files.
        tasks: the tasks, in the order of the labels.

    Raises:
        InputNotFoundError: a folder is missing, or no folder labels one of the tasks.
        InputError: a table cannot be read.
    """
    found = []
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise InputNotFoundError(f"{folder} is not a folder; make labels with `python -m trainer label`")
        paths = [folder / f"{task}.parquet" for task in tasks]
        found += [load_table(path, tasks) for path in paths if path.exists()]
    missing = sorted(set(tasks) - {table.task for table in found})
    if missing:
        raise InputNotFoundError(
            f"no {missing[0]}.parquet in {', '.join(map(str, folders))}; label that task or leave it out of --tasks"
        )
    return found


def load_table(path: Path, tasks: Sequence[str]) -> LabelTable:
    """One label table, its combined labels derived.

    Raises:
        InputError: it is not a label table, or not of the task its name says.
    """
    table = read_table(path)
    metadata = metadata_of(table, path)
    if metadata["task"] != path.stem:
        raise InputError(f"{path} holds labels of {metadata['task']}; rename it {metadata['task']}.parquet")
    return LabelTable(path, path.stem, metadata, tuple(rows_of(table, tasks)))


def rows_of(table: pa.Table, tasks: Sequence[str]) -> list[Row]:
    """The rows of a label table, one a (picture, distortion, augmentation), with the combined label of its task."""
    metadata = metadata_of(table)
    images, column = Path(metadata["images"]), list(tasks).index(metadata["task"])
    return [_row(record, images, column, len(tasks)) for record in derive(table).to_pylist()]


def _row(record: Mapping[str, Any], images: Path, column: int, width: int) -> Row:
    labels = [math.nan] * width
    if record["label"] >= 0:
        labels[column] = float(record["label"])
    return Row(
        images,
        record["picture"],
        record["content_hash"],
        record["split"],
        Distortion(record["distortion"], record["strength"]),
        record["augmentation"],
        tuple(labels),
    )


def merge(rows: Iterable[Row]) -> list[Row]:
    """Rows of the same source, distortion and augmentation made one, so that it carries every task's label.

    Rows without any label are left out; the order is that of first appearance.
    """
    merged: dict[tuple[str, Distortion, int], Row] = {}
    for row in rows:
        key = (row.content_hash, row.distortion, row.augmentation)
        known = merged.get(key)
        merged[key] = row if known is None else replace(known, labels=_combine(known.labels, row.labels))
    return [row for row in merged.values() if not all(map(math.isnan, row.labels))]


def _combine(first: Labels, second: Labels) -> Labels:
    return tuple(b if math.isnan(a) else a for a, b in zip(first, second, strict=True))


def refuse_test(rows: Iterable[Row]) -> None:
    """Make sure no test picture is trained on.

    Raises:
        InputError: a row's split is `test`.
    """
    count = sum(row.split == "test" for row in rows)
    if count:
        raise InputError(f"{count} rows are of split `test`, which is never trained on; label the `dev` split only")


def split_sources(content_hashes: Iterable[str], fraction: float = 0.2, seed: int = 0) -> set[str]:
    """The source pictures held back from training.

    Each source is judged by itself, so the same source lands on the same side in every table and every run.

    Args:
        content_hashes: hash of each source picture.
        fraction: share to hold back, in expectation.
        seed: chooses which.
    """
    return {source for source in content_hashes if _unit_interval(f"{seed}:{source}") < fraction}


def _unit_interval(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def label_array(rows: Sequence[Row], width: int) -> npt.NDArray[np.float32]:
    """(N, T) float32 labels: 1, 0 or NaN."""
    return np.array([row.labels for row in rows], dtype=np.float32).reshape(len(rows), width)


class Pictures:
    """Small distorted pictures of rows, made on demand and remembered up to a bound."""

    def __init__(self, rows: Sequence[Row], size: int, cache_mb: int = 0) -> None:
        self.rows = rows
        self.size = size
        room = min(len(rows), cache_mb * 2**20 // (size * size * 3))
        self._cache = np.empty((room, size, size, 3), dtype=np.uint8)
        self._made = np.zeros(room, dtype=bool)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def cached_bytes(self) -> int:
        """Size of the pictures remembered so far."""
        return int(self._made.sum()) * self.size * self.size * 3

    def __getitem__(self, index: int) -> npt.NDArray[np.uint8]:
        """(S, S, 3) uint8 RGB, 0-255.

        Raises:
            PictureError: the picture cannot be read.
        """
        if index >= len(self._made):
            return self._make(self.rows[index])
        if not self._made[index]:
            self._cache[index] = self._make(self.rows[index])
            self._made[index] = True
        small: npt.NDArray[np.uint8] = self._cache[index]
        return small

    def batch(self, indices: Sequence[int] | npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """(N, S, S, 3) uint8 RGB, 0-255."""
        return np.stack([self[int(index)] for index in indices])

    def _make(self, row: Row) -> npt.NDArray[np.uint8]:
        rgb = read_picture(row.images / row.picture)[0]
        if row.augmentation:
            rgb = augment(rgb, row.augmentation)[0]
        return shrink(np.ascontiguousarray(apply(rgb, row.distortion)), self.size)


def vary(images: npt.NDArray[np.uint8], size: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Random views of a batch: crops brought to the input size, half of them mirrored, light and colour shifted.

    The distortion stays what it was, and so does the label: a network must not know the pictures by heart.

    Args:
        images: (N, C, C, 3) uint8 RGB, C >= size.
        size: side of the result, pixels.
        rng: decides.

    Returns:
        (N, size, size, 3) uint8 RGB, 0-255.
    """
    views = np.empty((len(images), size, size, 3), dtype=np.uint8)
    for view, image in zip(views, images, strict=True):
        height, width = rng.integers(size, image.shape[0] + 1, 2)
        top, left = rng.integers(0, image.shape[0] - height + 1), rng.integers(0, image.shape[0] - width + 1)
        cut = shrink(np.ascontiguousarray(image[top : top + height, left : left + width]), size)
        gain = rng.uniform(*CONTRAST) * rng.uniform(*TINT, 3)
        shifted = (cut.astype(np.float32) - 128) * gain + 128 + rng.uniform(*LIGHT)
        view[:] = np.clip(shifted, 0, 255)[:, :: rng.choice((-1, 1))]
    return views


def prefetch(jobs: Iterable[Callable[[], Made]], ahead: int = 4) -> Iterator[Made]:
    """Results of the jobs in order, made in one background thread up to `ahead` before they are asked for.

    Raises:
        Exception: whatever a job raised, in the reader's thread.
        TimeoutError: a job took longer than ten minutes.
    """
    pending: deque[Future[Made]] = deque()
    pool = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
    try:
        for job in jobs:
            pending.append(pool.submit(job))
            if len(pending) > ahead:
                yield pending.popleft().result(JOB_TIMEOUT_SECONDS)
        while pending:
            yield pending.popleft().result(JOB_TIMEOUT_SECONDS)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
