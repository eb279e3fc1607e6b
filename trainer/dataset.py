"""Label tables -> rows: what is shown to the training, and what it should answer."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamfilter.distort import Distortion
from streamfilter.errors import InputError, InputNotFoundError
from trainer.tables import TAUGHT, derive, metadata_of, read_table
from trainer.taught import FILE, confidences, read_taught

PRISTINE_QUALITY = 101

Labels = tuple[float, ...]


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
    confidences: Labels = ()
    """(A,) what each labelling network still gives the truth, 0-1; NaN where it was wrong on the pristine picture."""

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
    """One task's table of derived labels, or a taught table of all tasks."""

    path: Path
    """The Parquet file, as the caller named its folder."""
    task: str
    """The task it labels, or `taught`."""
    metadata: Mapping[str, Any]
    """What it was made from, as in `tables.metadata_of`."""
    rows: tuple[Row, ...]
    """Its rows, with labels for this task only; rows that were left out carry NaN."""


def network_names(folders: Sequence[str | Path], tasks: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """(task, network) of every labelling network in these folders, in the order of the tasks."""
    found: dict[tuple[str, str], None] = {}
    for task in tasks:
        for path in (Path(folder) / f"{task}.parquet" for folder in folders):
            if path.exists():
                found.update({(task, network["name"]): None for network in metadata_of(read_table(path))["networks"]})
    return tuple(found)


def load_tables(
    folders: Sequence[str | Path], tasks: Sequence[str], networks: Sequence[tuple[str, str]] = ()
) -> list[LabelTable]:
    """Every label table of these tasks in these folders, and the taught ones.

    Args:
        folders: folders with `<task>.parquet` files, or `taught.parquet`.
        tasks: the tasks, in the order of the labels.
        networks: (task, network) whose confidences the rows carry, in their order.

    Raises:
        InputNotFoundError: a folder is missing, or no folder labels one of the tasks.
        InputError: a table cannot be read.
    """
    found = []
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise InputNotFoundError(f"{folder} is not a folder; make labels with `python -m trainer label`")
        paths = [folder / f"{task}.parquet" for task in tasks]
        found += [load_table(path, tasks, networks) for path in paths if path.exists()]
        if (folder / FILE).exists():
            found.append(load_taught(folder / FILE, tasks, networks))
    missing = sorted(set(tasks) - {table.task for table in found})
    if missing:
        raise InputNotFoundError(
            f"no {missing[0]}.parquet in {', '.join(map(str, folders))}; label that task or leave it out of --tasks"
        )
    return found


def load_table(path: Path, tasks: Sequence[str], networks: Sequence[tuple[str, str]] = ()) -> LabelTable:
    """One label table, its combined labels derived.

    Raises:
        InputError: it is not a label table, or not of the task its name says.
    """
    table = read_table(path)
    metadata = metadata_of(table, path)
    if metadata["task"] != path.stem:
        raise InputError(f"{path} holds labels of {metadata['task']}; rename it {metadata['task']}.parquet")
    return LabelTable(path, path.stem, metadata, tuple(rows_of(table, tasks, networks)))


def load_taught(path: Path, tasks: Sequence[str], networks: Sequence[tuple[str, str]] = ()) -> LabelTable:
    """One taught table: no labels, but what a trained network says that these networks would.

    Raises:
        InputError: it is not a taught table.
    """
    table = read_taught(path)
    metadata = metadata_of(table, path)
    images, unlabelled = Path(metadata["images"]), (math.nan,) * len(tasks)
    rows = (_taught_row(record, images, unlabelled, confidences(record, networks)) for record in table.to_pylist())
    return LabelTable(path, TAUGHT, metadata, tuple(rows))


def _taught_row(record: Mapping[str, Any], images: Path, labels: Labels, answers: Labels) -> Row:
    distortion = Distortion(record["distortion"], record["strength"])
    names = ("picture", "content_hash", "split")
    return Row(images, *(record[name] for name in names), distortion, record["augmentation"], labels, answers)


def rows_of(table: pa.Table, tasks: Sequence[str], networks: Sequence[tuple[str, str]] = ()) -> list[Row]:
    """The rows of a label table, one a (picture, distortion, augmentation), with the combined label of its task."""
    metadata = metadata_of(table)
    task, images = metadata["task"], Path(metadata["images"])
    phi = [f"phi_{network}" if of == task else None for of, network in networks]
    column = list(tasks).index(task)
    return [_row(record, images, column, len(tasks), phi) for record in derive(table).to_pylist()]


def _row(record: Mapping[str, Any], images: Path, column: int, width: int, phi: Sequence[str | None]) -> Row:
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
        tuple(record.get(name, math.nan) if name else math.nan for name in phi),
    )


def merge(rows: Iterable[Row]) -> list[Row]:
    """Rows of the same source, distortion and augmentation made one, so that it carries every task's label.

    Rows that say nothing are left out; the order is that of first appearance.
    """
    merged: dict[tuple[str, Distortion, int], Row] = {}
    for row in rows:
        key = (row.content_hash, row.distortion, row.augmentation)
        known = merged.get(key)
        merged[key] = row if known is None else _joined(known, row)
    return [row for row in merged.values() if not all(map(math.isnan, row.labels + row.confidences))]


def _joined(known: Row, row: Row) -> Row:
    confidences = _combine(known.confidences, row.confidences)
    return replace(known, labels=_combine(known.labels, row.labels), confidences=confidences)


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


def target_array(
    rows: Sequence[Row], tasks: Sequence[str], networks: Sequence[tuple[str, str]]
) -> npt.NDArray[np.float32]:
    """(N, T + A) float32 soft targets, 0-1: each task's mean confidence, then each network's; NaN where unknown.

    The mean is over the networks that were right on the pristine picture: the continuous form of eq. (3), O = mean.
    """
    each = np.array([row.confidences for row in rows], dtype=np.float32).reshape(len(rows), len(networks))
    known = ~np.isnan(each)
    means = []
    for task in tasks:
        mine = [index for index, (of, _) in enumerate(networks) if of == task]
        count = known[:, mine].sum(axis=1)
        total = np.where(known[:, mine], each[:, mine], 0).sum(axis=1)
        means.append(np.where(count > 0, total / np.maximum(count, 1), np.nan))
    return np.concatenate([np.stack(means, axis=1), each], axis=1).astype(np.float32)
