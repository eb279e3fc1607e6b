"""Class balance: the rarer class of each task is topped up by augmented pictures, labelled again by the networks."""

from __future__ import annotations

import json
import logging
import math
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from streamfilter.distort import Distortion
from streamfilter.errors import InputError
from trainer.augment import LARGEST_SEED
from trainer.dataset import LabelTable, Row, merge, rows_of
from trainer.relabel import relabel
from trainer.runs import replacing

log = logging.getLogger(__name__)

METHODS = ("relabel", "weights", "none")
VERSIONS = 3
"""Distortions asked about for each augmented picture: its pristine version is needed only once."""
ROUND_PICTURES = 200
KEY = b"streamfilter.balance"

COLUMNS = {
    "images": pa.string(),
    "picture": pa.string(),
    "content_hash": pa.string(),
    "split": pa.string(),
    "distortion": pa.string(),
    "strength": pa.float64(),
    "augmentation": pa.int64(),
}


@dataclass(frozen=True, eq=False)
class TopUp:
    """One task's topping up, kept in a file so that it goes on where it was stopped."""

    tables: tuple[LabelTable, ...]
    """The task's tables, training sources only."""
    tasks: tuple[str, ...]
    """All tasks, in the order of the labels."""
    seed: int
    """Decides pictures, augmentations and distortions together with the round."""
    rounds: int
    """Most rounds."""
    path: Path
    """The Parquet file of the rows found so far."""
    key: str
    """What they depend on; a file of another key is made anew."""
    weights_dir: Path | None = None
    """Folder with the published weights of torchvision's networks; None downloads them."""

    @property
    def column(self) -> int:
        """The task's place among the labels."""
        return self.tasks.index(self.tables[0].task)

    def run(self) -> list[Row]:
        """Rows of the rarer class, as many as it lacks unless the rounds ran out.

        Raises:
            InputError: the networks or pictures of a table are not what they were.
            OutputError: the rows cannot be kept.
        """
        natural = merge(row for table in self.tables for row in table.rows)
        counts = Counter(row.labels[self.column] for row in natural)
        wanted = float(counts[1.0] < counts[0.0])
        missing = abs(counts[1.0] - counts[0.0])
        found, done = self._read(wanted)
        with tqdm(total=missing, initial=min(missing, len(found)), unit="row", file=sys.stderr, dynamic_ncols=True,
                  desc=f"balance {self.path.stem.removeprefix('balance-')}") as bar:  # fmt: skip
            while len(found) < missing and done < self.rounds:
                new = self._round(done, wanted, missing - len(found), len(found) / max(done, 1) / ROUND_PICTURES)
                found, done = found + new, done + 1
                self._write(found, done)
                bar.update(min(len(new), bar.total - bar.n))
        if len(found) < missing:
            log.warning("%s: %d rows found of %d after %d rounds", self.path.name, len(found), missing, done)
        return found[:missing]

    def _round(self, number: int, wanted: float, missing: int, rate: float) -> list[Row]:
        random = np.random.default_rng([self.seed, self.column, number])
        pictures = min(ROUND_PICTURES, math.ceil(1.2 * missing / (rate or 1)))
        shares = np.array([len(sources(table)) for table in self.tables])
        found = []
        for table, count in zip(self.tables, random.multinomial(pictures, shares / shares.sum()), strict=True):
            asked = list(draw(table, self.column, wanted, int(count), random))
            if not asked:
                continue
            answers = rows_of(relabel(table.metadata, asked, self.weights_dir), self.tasks)
            _check_same_pictures(table, answers)
            found += [row for row in answers if row.labels[self.column] == wanted]
        return found

    def _labels(self, wanted: float) -> tuple[float, ...]:
        return tuple(wanted if index == self.column else math.nan for index in range(len(self.tasks)))

    def _read(self, wanted: float) -> tuple[list[Row], int]:
        if not self.path.exists():
            return [], 0
        try:
            table = pq.read_table(self.path)
            note = json.loads(table.schema.metadata[KEY])
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{self.path} cannot be read ({error}); delete it and start again") from error
        if note["key"] != self.key:
            log.info("%s is of other labels, making it anew", self.path)
            return [], 0
        return [_from_record(record, self._labels(wanted)) for record in table.to_pylist()], note["rounds"]

    def _write(self, rows: Sequence[Row], rounds: int) -> None:
        note = {KEY: json.dumps({"key": self.key, "rounds": rounds})}
        schema = pa.schema(list(COLUMNS.items()), metadata=note)
        with replacing(self.path) as part:
            pq.write_table(pa.Table.from_pylist([_to_record(row) for row in rows], schema=schema), part)


def sources(table: LabelTable) -> dict[str, str]:
    """Pictures with a label, by content hash: on the others the networks are not even right when pristine."""
    return {row.content_hash: row.picture for row in table.rows if not all(map(math.isnan, row.labels))}


def draw(
    table: LabelTable, column: int, wanted: float, count: int, random: np.random.Generator
) -> Iterator[tuple[str, int, Distortion]]:
    """Candidates: pictures uniformly, new augmentation seeds, and distortions as often as they make the wanted class.

    Args:
        table: training sources only.
        column: the task's place among the labels.
        wanted: the class to top up, 0 or 1.
        count: number of augmented pictures; each comes in up to `VERSIONS` distortions.
        random: decides.
    """
    frequency = Counter(row.distortion for row in table.rows if row.labels[column] == wanted)
    pictures = list(sources(table).values())
    if not frequency or not pictures:
        return
    distortions, weights = list(frequency), np.array(list(frequency.values()), dtype=np.float64)
    versions = min(VERSIONS, len(distortions))
    for _ in range(count):
        picture, seed = pictures[random.integers(len(pictures))], int(random.integers(1, LARGEST_SEED))
        for index in random.choice(len(distortions), versions, replace=False, p=weights / weights.sum()):
            yield picture, seed, distortions[index]


def _check_same_pictures(table: LabelTable, answers: Sequence[Row]) -> None:
    known = sources(table)
    for row in answers:
        if row.content_hash not in known:
            raise InputError(f"{row.images / row.picture} has changed since it was labelled: label it again")


def class_weights(labels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Loss weights that give both classes of a task the same total.

    Args:
        labels: (N, T) float32: 1, 0 or NaN.

    Returns:
        (T, 2) float32: N_t / (2 N_tc) for class c of task t.
    """
    counts = np.stack([(labels == 0).sum(axis=0), (labels == 1).sum(axis=0)], axis=1)
    weights: npt.NDArray[np.float32] = (counts.sum(axis=1, keepdims=True) / (2 * counts)).astype(np.float32)
    return weights


def _to_record(row: Row) -> dict[str, Any]:
    return {
        "images": str(row.images),
        "picture": row.picture,
        "content_hash": row.content_hash,
        "split": row.split,
        "distortion": row.distortion.kind,
        "strength": row.distortion.strength,
        "augmentation": row.augmentation,
    }


def _from_record(record: dict[str, Any], labels: tuple[float, ...]) -> Row:
    return Row(
        Path(record["images"]),
        record["picture"],
        record["content_hash"],
        record["split"],
        Distortion(record["distortion"], record["strength"]),
        record["augmentation"],
        labels,
    )
