"""From label folders to the two sides of a training run."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streamfilter.errors import ConfigError
from trainer.augment import AREA
from trainer.balance import TopUp, class_weights
from trainer.dataset import LabelTable, Row, label_array, merge, refuse_test, split_sources, target_array
from trainer.runs import TrainConfig, sha256
from trainer.tables import TAUGHT


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
    targets: npt.NDArray[np.float32]
    """(N, T) labels, or (N, T + A) confidences, that the training rows are to answer; NaN where unknown."""
    class_weights: npt.NDArray[np.float32]
    """(T or T + A, 2) weight of each target's class in the loss."""

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
    config: TrainConfig,
    tables: Sequence[LabelTable],
    out: Path,
    weights_dir: Path | None = None,
    networks: Sequence[tuple[str, str]] = (),
) -> TrainingData:
    """Split labelled rows by source picture and balance the training side.

    Args:
        config: the recipe.
        tables: the label tables.
        out: the run folder, where the balancing rows are kept.
        weights_dir: folder with the published weights of torchvision's networks; None downloads them.
        networks: (task, network) whose confidences are learned, in the order of the rows'.

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
    if config.target == "confidence":
        targets = target_array(training, config.tasks, networks)
        weights = _shared_weights(len(config.tasks), networks)
    else:
        targets = label_array(training, len(config.tasks))
        weights = class_weights(targets) if config.balance == "weights" else np.ones((len(config.tasks), 2), np.float32)
    return TrainingData(tuple(tables), tuple(natural), tuple(training), tuple(held), targets, weights)


def _shared_weights(tasks: int, networks: Sequence[tuple[str, str]]) -> npt.NDArray[np.float32]:
    """(T + A, 2): the networks of a task weigh together what the task does."""
    shares = [sum(task == of for of, _ in networks) for task, _ in networks]
    return np.repeat(1 / np.array([*[1] * tasks, *shares], dtype=np.float32)[:, None], 2, axis=1)


def _top_up(
    config: TrainConfig, task: str, tables: Sequence[LabelTable], out: Path, weights_dir: Path | None
) -> list[Row]:
    mine = tuple(table for table in tables if table.task == task)
    key = " ".join([str(config.seed), str(config.holdout), str(AREA), *(sha256(table.path) for table in mine)])
    path = out / f"balance-{task}.parquet"
    return TopUp(mine, config.tasks, config.seed, config.balance_rounds, path, key, weights_dir).run()


def _without(rows: Sequence[Row], held: set[str]) -> tuple[Row, ...]:
    return tuple(row for row in rows if row.content_hash not in held)


def label_command(table: LabelTable) -> str:
    """The command that makes this table, to be typed in the current folder."""
    if table.task == TAUGHT:
        return _teach_command(table)
    metadata = table.metadata
    settings = metadata["settings"]
    options = {
        "--task": table.task,
        "--images": os.path.relpath(metadata["images"]),
        "--truth": metadata["truth"] and os.path.relpath(metadata["truth"]),
        "--networks": ",".join(_typed(network["source"]) for network in metadata["networks"]),
        "--distortions": _typed_distortions(metadata["distortions"]),
        "--sample": metadata.get("sample"),
        "--augmented": metadata.get("augmented") or None,
        "--reference": "pristine" if metadata.get("reference") == "pristine" else None,
        "--split": settings["split"],
        "--limit": settings["limit"],
        "--out": table.path.parent.as_posix(),
    }
    return _typed_command("label", options)


def _teach_command(table: LabelTable) -> str:
    metadata = table.metadata
    options = {
        "--teacher": os.path.relpath(metadata["teacher"]),
        "--images": os.path.relpath(metadata["images"]),
        "--truth": metadata["truth"] and os.path.relpath(metadata["truth"]),
        "--distortions": _typed_distortions(metadata["distortions"]),
        "--sample": metadata["sample"],
        "--augmented": metadata["augmented"],
        "--split": metadata["settings"]["split"],
        "--limit": metadata["settings"]["limit"],
        "--out": table.path.parent.as_posix(),
    }
    return _typed_command("teach", options)


def _typed_command(name: str, options: Mapping[str, Any]) -> str:
    words = [str(word) for key, value in options.items() if value is not None for word in (key, value)]
    return shlex.join(["python", "-m", "trainer", name, *words])


def _typed_distortions(pairs: Sequence[Sequence[Any]]) -> str:
    """`KIND=STRENGTH,...` words; a kind without strengths by its name alone."""
    strengths: dict[str, list[str]] = {}
    for kind, strength in pairs:
        strengths.setdefault(kind, []).extend([] if strength is None else [f"{strength:g}"])
    return " ".join(f"{kind}={','.join(values)}" if values else kind for kind, values in strengths.items())


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
