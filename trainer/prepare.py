"""From label folders to the two sides of a training run."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streamfilter.errors import ConfigError
from trainer.balance import TopUp, class_weights
from trainer.dataset import LabelTable, Row, label_array, merge, refuse_test, split_sources
from trainer.runs import TrainConfig, sha256


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Both sides of the split by source picture."""

    tables: tuple[LabelTable, ...]
    """The label tables it came from."""
    natural: tuple[Row, ...]
    """Training rows as labelled."""
    training: tuple[Row, ...]
    """Training rows after class balance."""
    held: tuple[Row, ...]
    """Held-back rows, as labelled."""
    class_weights: npt.NDArray[np.float32]
    """(T, 2) weight of each task's class in the loss."""

    def sides(self) -> dict[str, list[str]]:
        """Content hashes of the sources on both sides, for `split.json`."""
        return {
            "training": sorted({row.content_hash for row in self.natural}),
            "held_back": sorted({row.content_hash for row in self.held}),
        }

    def record(self, tasks: tuple[str, ...]) -> dict[str, Any]:
        """Tables, networks, sources and class counts, for `run.json`."""
        return {
            "labels": [
                {"path": table.path.as_posix(), "task": table.task, "sha256": sha256(table.path),
                 "networks": [network["name"] for network in table.metadata["networks"]],
                 "images": os.path.relpath(table.metadata["images"]),
                 "distortions": table.metadata["distortions"], "command": label_command(table)}
                for table in self.tables
            ],
            "sources": {side: len(hashes) for side, hashes in self.sides().items()},
            "counts": {
                task: {
                    "labelled": class_counts(self.natural, index),
                    "balanced": class_counts(self.training, index),
                    "held_back": class_counts(self.held, index),
                }
                for index, task in enumerate(tasks)
            },
        }  # fmt: skip


def prepare(
    config: TrainConfig, tables: Sequence[LabelTable], out: Path, weights_dir: Path | None = None
) -> TrainingData:
    """Split labelled rows by source picture and balance the training side.

    Args:
        config: the recipe.
        tables: the label tables.
        out: the run folder, where the balancing rows are kept.
        weights_dir: folder with the published weights of torchvision's networks; None downloads them.

    Raises:
        ConfigError: a task lacks a class on one side.
        InputError: a table holds test pictures, or its networks or pictures are not what they were.
    """
    rows = merge(row for table in tables for row in table.rows)
    refuse_test(rows)
    held_sources = split_sources({row.content_hash for row in rows}, config.holdout, config.seed)
    natural = [row for row in rows if row.content_hash not in held_sources]
    held = [row for row in rows if row.content_hash in held_sources and not row.augmentation]
    for side, part in (("training", natural), ("held-back", held)):
        _require_both_classes(part, config.tasks, side)
    added: list[Row] = []
    if config.balance == "relabel":
        ours = [replace(table, rows=_without(table.rows, held_sources)) for table in tables]
        added = [row for task in config.tasks for row in _top_up(config, task, ours, out, weights_dir)]
    training = merge([*natural, *added])
    weights = np.ones((len(config.tasks), 2), dtype=np.float32)
    if config.balance == "weights":
        weights = class_weights(label_array(training, len(config.tasks)))
    return TrainingData(tuple(tables), tuple(natural), tuple(training), tuple(held), weights)


def _top_up(
    config: TrainConfig, task: str, tables: Sequence[LabelTable], out: Path, weights_dir: Path | None
) -> list[Row]:
    mine = tuple(table for table in tables if table.task == task)
    key = " ".join([str(config.seed), str(config.holdout), *(sha256(table.path) for table in mine)])
    path = out / f"balance-{task}.parquet"
    return TopUp(mine, config.tasks, config.seed, config.balance_rounds, path, key, weights_dir).run()


def _without(rows: Sequence[Row], held: set[str]) -> tuple[Row, ...]:
    return tuple(row for row in rows if row.content_hash not in held)


def label_command(table: LabelTable) -> str:
    """The command that makes this table, to be typed in the current folder."""
    metadata = table.metadata
    settings = metadata["settings"]
    options = {
        "--task": table.task,
        "--images": os.path.relpath(metadata["images"]),
        "--truth": metadata["truth"] and os.path.relpath(metadata["truth"]),
        "--networks": ",".join(_typed(network["source"]) for network in metadata["networks"]),
        "--qualities": ",".join(f"{strength:g}" for kind, strength in metadata["distortions"] if kind == "jpeg"),
        "--split": settings["split"],
        "--limit": settings["limit"],
        "--out": table.path.parent.as_posix(),
    }
    words = [str(word) for name, value in options.items() if value is not None for word in (name, value)]
    return shlex.join(["python", "-m", "trainer", "label", *words])


def _typed(source: str) -> str:
    """A network as it is named from the current folder."""
    return os.path.relpath(source) if os.path.isabs(source) else source


def class_counts(rows: tuple[Row, ...] | list[Row], task: int) -> list[int]:
    """Rows labelled 0 and rows labelled 1 for one task."""
    values = np.array([row.labels[task] for row in rows])
    return [int((values == 0).sum()), int((values == 1).sum())]


def _require_both_classes(rows: list[Row], tasks: tuple[str, ...], side: str) -> None:
    for index, task in enumerate(tasks):
        zeros, ones = class_counts(rows, index)
        if not zeros or not ones:
            raise ConfigError(
                f"{task} has {zeros} non-useful and {ones} useful rows on the {side} side; label more pictures"
            )
