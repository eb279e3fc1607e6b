"""The run folder: configuration, checkpoint, history and metrics of one training run."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch

from streamfilter.errors import ConfigError, InputNotFoundError, ModelError, OutputError
from trainer.efficientnet import BLOCKS, GRAIN
from trainer.models import LITE, WHOLE
from trainer.places.network import CENTRED
from trainer.rounding import FLOAT16, WEIGHTS
from trainer.weights import read_checkpoint

LATER_FIELDS = ("target", "optimizer", "room", "patch", "frozen", "weights", "keep_initial")
"""Settings that the first runs lack."""
TARGETS = ("label", "confidence")
OPTIMIZERS = ("sgd", "adamw")
MOST_ROOM = 8
UNBOUND_FIELDS = ("device", "threads", "cache_mb", "cache_dir", "checkpoint_minutes")
"""Settings that may change when a run is resumed: they alter the speed, not the recipe."""


@dataclass(frozen=True)
class TrainConfig:
    """One training recipe.

    Raises:
        ConfigError: settings are out of range; all are listed.
    """

    labels: tuple[str, ...]
    """Label folders, as typed."""
    tasks: tuple[str, ...] = ("classification", "detection")
    """Tasks to learn, in the order of the output's columns."""
    target: str = "label"
    """`label`: the binary labels (the paper's), or `confidence`: what each labelling network still gives the truth."""
    model: str = "resnet18"
    """Name of the architecture."""
    front: str = "residual"
    """What the backbone sees: `residual` or `rgb`, see `trainer.models.build`."""
    init: str = "none"
    """Initial weights, see `trainer.models.build`."""
    frozen: int = 0
    """First blocks of `lite0` that keep their initial weights, the stem with them; 0 trains everything."""
    keep_initial: float = 0.0
    """Share of the initial weights in the result, as against the trained ones; see `trainer.mixing`."""
    input_size: int = 160
    """Side of the square input, pixels."""
    patch: int = 0
    """Side of the patches cut out of input-sized views for training, pixels; 0 trains on whole views."""
    epochs: int = 12
    """Passes over the balanced training rows."""
    batch_size: int = 32
    """Pictures a step."""
    optimizer: str = "sgd"
    """`sgd` or `adamw`."""
    lr: float = 0.05
    """Peak learning rate."""
    momentum: float = 0.9
    """Momentum of SGD."""
    weight_decay: float = 1e-4
    """L2 penalty of SGD, decay of AdamW."""
    warmup: float = 0.05
    """Share of all steps over which the learning rate rises linearly from 0."""
    balance: str = "relabel"
    """`relabel`, `weights` or `none`."""
    balance_rounds: int = 40
    """Most rounds of augmentation and relabelling a task."""
    weights: str = FLOAT16
    """What the trained weights are rounded to, `float16` or `int8`, see `trainer.rounding`."""
    holdout: float = 0.2
    """Share of the source pictures held back."""
    seed: int = 0
    """Seed of the split, the initial weights, the order and the views."""
    device: str = "cpu"
    """`cpu` or `cuda`."""
    threads: int = 0
    """Torch's threads; 0 leaves its default."""
    room: float = 1.25
    """Pictures are remembered this much larger than the input, so that training can look at crops of them."""
    cache_mb: int = 2048
    """Bound on shrunk pictures remembered, MiB."""
    cache_dir: str = ""
    """Folder in which they are remembered for other runs as well; empty for memory."""
    checkpoint_minutes: float = 5.0
    """Time between checkpoints within an epoch, minutes."""

    def __post_init__(self) -> None:
        checks = {
            "labels must name a folder": bool(self.labels),
            "tasks must be distinct and not empty": 0 < len(self.tasks) == len(set(self.tasks)),
            f"input size {self.input_size} outside 16-1024": 16 <= self.input_size <= 1024,
            f"{self.model} wants views of a multiple of {GRAIN} pixels": self.model not in (LITE, WHOLE, CENTRED)
            or (self.patch or self.input_size) % GRAIN == 0,
            f"frozen {self.frozen} outside 0-{BLOCKS}": 0 <= self.frozen <= BLOCKS,
            f"only {LITE} has blocks to freeze": not self.frozen or self.model == LITE,
            f"share of the initial weights {self.keep_initial} outside 0-1": 0 <= self.keep_initial < 1,
            "initial weights to keep a share of are those of a run: give --init": not self.keep_initial
            or self.init not in ("none", "imagenet"),
            f"{self.model} learns confidences: use --target confidence": self.model != CENTRED
            or self.target == "confidence",
            f"{self.model} looks at whole views, once: use --room 1 and no --patch": self.model != CENTRED
            or (self.room == 1 and not self.patch),
            f"patch {self.patch} over the input size {self.input_size}": 0 <= self.patch <= self.input_size,
            f"epochs {self.epochs} under 1": self.epochs >= 1,
            f"batch size {self.batch_size} under 2": self.batch_size >= 2,
            f"learning rate {self.lr} not above 0 and finite": 0 < self.lr < math.inf,
            f"momentum {self.momentum} outside 0-1": 0 <= self.momentum < 1,
            f"weight decay {self.weight_decay} under 0 or infinite": 0 <= self.weight_decay < math.inf,
            f"warm-up {self.warmup} outside 0-1": 0 <= self.warmup < 1,
            f"held-back share {self.holdout} outside 0-1": 0 < self.holdout < 1,
            f"target {self.target} not in {TARGETS}": self.target in TARGETS,
            f"optimizer {self.optimizer} not in {OPTIMIZERS}": self.optimizer in OPTIMIZERS,
            f"weights {self.weights} not in {WEIGHTS}": self.weights in WEIGHTS,
            "confidences are balanced already: use --balance none": self.target == "label" or self.balance == "none",
            f"seed {self.seed} under 0": self.seed >= 0,
            f"room {self.room} outside 1-{MOST_ROOM}": 1 <= self.room <= MOST_ROOM,
            f"cache {self.cache_mb} MiB under 0": self.cache_mb >= 0,
            f"{self.checkpoint_minutes} minutes between checkpoints, under 0": self.checkpoint_minutes >= 0,
        }
        problems = [problem for problem, passed in checks.items() if not passed]
        if problems:
            raise ConfigError("; ".join(problems))

    def recipe(self) -> dict[str, Any]:
        """The settings that decide the result, as JSON values."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
            if key not in UNBOUND_FIELDS
        }


def completed(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe as an older version wrote it, with the settings it did not have yet at what they meant."""
    later = {item.name: item.default for item in fields(TrainConfig) if item.name in LATER_FIELDS}
    return {**later, "networks": [], **recipe}


class RunFolder:
    """Files of one run; every one is written beside and renamed.

    Raises:
        OutputError: the folder cannot be made.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.checkpoint_path = root / "checkpoint.pt"
        self.metrics_path = root / "metrics.json"
        self.history_path = root / "history.jsonl"
        self.curve_path = root / "curve.png"

    def create(self) -> None:
        """Make the folder if it is not there."""
        make_folder(self.root)

    def start_over(self) -> None:
        """Remove an earlier run's checkpoint and figures, so that none stands beside the record of another.

        Raises:
            OutputError: one cannot be removed.
        """
        try:
            for path in (self.checkpoint_path, self.metrics_path, self.history_path, self.curve_path):
                path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"cannot start over in {self.root}: {error}; choose another --out") from error

    def read_json(self, name: str) -> dict[str, Any]:
        """One of the run's JSON files.

        Raises:
            InputNotFoundError: the file is not there.
            ModelError: it is not a JSON object.
        """
        path = self.root / name
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise InputNotFoundError(
                f"{path} is missing; make the run with `python -m trainer train --out {self.root}`"
            ) from error
        except ValueError as error:
            raise ModelError(f"{path} is not JSON ({error}); train again with --fresh") from error
        if not isinstance(value, dict):
            raise ModelError(f"{path} is not a JSON object; train again with --fresh")
        return value

    def read_split(self) -> dict[str, list[str]]:
        """Content hashes of the sources on both sides: `training` and `held_back`.

        Raises:
            InputNotFoundError: the run has no split.
            ModelError: it is damaged.
        """
        split = self.read_json("split.json")
        if not all(isinstance(split.get(side), list) for side in ("training", "held_back")):
            raise ModelError(f"{self.root / 'split.json'} lacks the two sides; train again with --fresh")
        return split

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Write one of the run's JSON files."""
        with replacing(self.root / name) as part:
            part.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")

    def write_history(self, history: list[dict[str, Any]]) -> None:
        """Write the learning curve's points, one JSON line an epoch."""
        with replacing(self.history_path) as part:
            part.write_text("".join(json.dumps(point) + "\n" for point in history), encoding="utf-8")

    def update_metrics(self, name: str, tasks: Mapping[str, Any]) -> None:
        """Set the figures of one evaluation, leaving the others as they are."""
        known = self.read_json(self.metrics_path.name) if self.metrics_path.exists() else {}
        self.write_json(self.metrics_path.name, {**known, name: tasks})

    def save_checkpoint(self, state: Mapping[str, Any]) -> None:
        """Write a checkpoint, whole or not at all."""
        with replacing(self.checkpoint_path) as part:
            torch.save(dict(state), part)

    def load_checkpoint(self) -> dict[str, Any]:
        """Read the checkpoint back onto the CPU, as data only.

        Raises:
            ModelError: there is none, or it is damaged.
        """
        return read_checkpoint(self.checkpoint_path)


def make_folder(folder: Path) -> None:
    """Make a folder if it is not there.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; renamed onto it at the end, removed on failure.

    Raises:
        OutputError: the disk is full or the folder cannot be written.
    """
    part = path.with_name(path.name + ".part")
    try:
        yield part
        os.replace(part, path)
    except (OSError, RuntimeError) as error:
        raise OutputError(f"cannot write {path}: {error}") from error
    finally:
        with suppress(OSError):
            part.unlink()


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def git_commit() -> str:
    """The checkout's commit with `+changes` when files differ from it, or `unknown` outside one."""
    here = Path(__file__).resolve().parent
    try:
        answer = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty=+changes", "--match=", "--exclude=*"],
            cwd=here, capture_output=True, text=True, timeout=20, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return answer.stdout.strip() or "unknown"


def command_line(module: str) -> str:
    """The command as the user typed it, to be typed again from the same folder."""
    return shlex.join(["python", "-m", module, *sys.argv[1:]])
