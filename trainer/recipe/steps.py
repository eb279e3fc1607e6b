"""The steps of a recipe: each has a command that a person could type, knows whether it is done, and can be run."""

from __future__ import annotations

import logging
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

from streamfilter.errors import ModelError
from trainer.label import LabelJob, label
from trainer.runs import RunFolder, TrainConfig, completed, sha256
from trainer.taught import FILE
from trainer.teach import TeachJob, teach
from trainer.train import train

ROOT = Path(__file__).resolve().parents[2]
EXPORT_TIMEOUT_SECONDS = 1800

logger = logging.getLogger(__name__)


class Step(Protocol):
    """One thing to make; its output appears whole or not at all, and running it again goes on or does nothing."""

    @property
    def title(self) -> str:
        """What it makes."""

    @property
    def words(self) -> tuple[str, ...]:
        """The command line after `python -m`."""

    def done(self) -> bool:
        """Whether its output is there."""

    def run(self) -> list[str]:
        """Make it; a line for each picture that had to be skipped."""


@dataclass(frozen=True)
class LabelStep:
    """A label table."""

    job: LabelJob
    """What to label."""
    distortions: str
    """Those of the job, as typed."""

    @property
    def title(self) -> str:
        return f"label {self.job.out.as_posix()}, {self.job.task}"

    @property
    def words(self) -> tuple[str, ...]:
        job = self.job
        options = {
            "--task": job.task,
            "--images": job.images,
            "--truth": job.truth,
            "--reference": job.reference if job.reference != "truth" else None,
            "--split": job.split,
            "--networks": ",".join(job.networks),
            "--distortions": self.distortions,
            "--sample": job.sample,
            "--augmented": job.augmented or None,
            "--limit": job.limit,
            "--weights-dir": job.weights_dir,
            "--out": job.out,
        }
        return ("trainer", "label", *typed(options))

    def done(self) -> bool:
        return (self.job.out / f"{self.job.task}.parquet").is_file()

    def run(self) -> list[str]:
        return label(self.job, show_progress=True)


@dataclass(frozen=True)
class TeachStep:
    """A taught table."""

    job: TeachJob
    """What to teach, and by whom."""
    distortions: str
    """Those of the job, as typed."""

    @property
    def title(self) -> str:
        return f"teach {self.job.out.as_posix()}"

    @property
    def words(self) -> tuple[str, ...]:
        job = self.job
        options = {
            "--teacher": job.teacher,
            "--images": job.images,
            "--truth": job.truth,
            "--split": job.split,
            "--distortions": self.distortions,
            "--sample": job.sample,
            "--augmented": job.augmented,
            "--limit": job.limit,
            "--out": job.out,
        }
        return ("trainer", "teach", *typed(options))

    def done(self) -> bool:
        return (self.job.out / FILE).is_file()

    def run(self) -> list[str]:
        return teach(self.job, show_progress=True)


@dataclass(frozen=True)
class TrainStep:
    """A training run."""

    config: TrainConfig
    """Its settings."""
    out: Path
    """The run folder."""
    weights_dir: Path | None
    """Folder of published weights; None to download them."""
    tables: tuple[LabelStep, ...]
    """What it learns from."""
    lessons: tuple[TeachStep, ...] = ()
    """What it hears from a teacher besides."""

    @property
    def title(self) -> str:
        return f"train {self.out.as_posix()}"

    @property
    def words(self) -> tuple[str, ...]:
        defaults = {one.name: one.default for one in fields(TrainConfig)}
        given = {name: value for name, value in vars(self.config).items() if value != defaults[name]}
        labels = [word for name in given.pop("labels") for word in ("--labels", name)]
        texts = {key: ",".join(value) if isinstance(value, tuple) else value for key, value in given.items()}
        options = {f"--{key.replace('_', '-')}": value for key, value in texts.items()}
        return ("trainer", "train", *labels, *typed({**options, "--weights-dir": self.weights_dir, "--out": self.out}))

    def done(self) -> bool:
        folder = RunFolder(self.out)
        if not folder.checkpoint_path.is_file():
            return False
        checkpoint = folder.load_checkpoint()
        recipe = completed(checkpoint["recipe"])
        paths = {table.job.out / f"{table.job.task}.parquet" for table in self.tables}
        paths |= {lesson.job.out / FILE for lesson in self.lessons}
        known = {path for path in paths if path.is_file()}
        same = all(recipe.get(key) == value for key, value in self.config.recipe().items())
        return bool(checkpoint["calibrated"]) and same and set(recipe["label_sha256"]) == set(map(sha256, known))

    def run(self) -> list[str]:
        if not self.done() and not train(self.config, self.out, self.weights_dir, shell(self)):
            raise KeyboardInterrupt
        return []


@dataclass(frozen=True)
class ExportStep:
    """A model file and its card."""

    source: Path
    """The run folder."""
    out: Path
    """The ONNX file."""
    keep_useful: float
    """Share of the useful pictures that the default thresholds keep."""

    @property
    def title(self) -> str:
        return f"export {self.out.as_posix()}"

    @property
    def words(self) -> tuple[str, ...]:
        return ("export", str(self.source), *typed({"--keep-useful": self.keep_useful, "--out": self.out}))

    def done(self) -> bool:
        made = [self.out, self.out.with_suffix(".md")]
        needed = [self.source / name for name in ("checkpoint.pt", "metrics.json")]
        return all(path.is_file() for path in (*made, *needed)) and min(map(_age, made)) >= max(map(_age, needed))

    def run(self) -> list[str]:
        if not self.done():
            self._export()
        return []

    def _export(self) -> None:
        """As a command, because the trainer does not know the exporter."""
        self.out.parent.mkdir(parents=True, exist_ok=True)
        paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        try:
            subprocess.run(
                [sys.executable, "-m", *self.words], check=True, timeout=EXPORT_TIMEOUT_SECONDS,
                env={**os.environ, "PYTHONPATH": paths},
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            raise ModelError(f"{shell(self)} failed, see above: {type(error).__name__}") from error


def _age(path: Path) -> float:
    return path.stat().st_mtime


def run_all(steps: Sequence[Step]) -> list[str]:
    """Run the steps in order, those that are done included: they check that their output is still what is wanted.

    Returns:
        A line for each picture that had to be skipped.

    Raises:
        KeyboardInterrupt: a signal stopped it.
        StreamFilterError: a step failed.
    """
    troubles = []
    for number, step in enumerate(steps, 1):
        logger.info("step %d/%d: %s", number, len(steps), step.title)
        troubles += [f"{step.title}: skipped {line}" for line in step.run()]
    return troubles


def commands(steps: Sequence[Step]) -> list[str]:
    """The shell commands the steps amount to."""
    return [shell(step) for step in steps]


def shell(step: Step) -> str:
    """The command of a step, to be typed in the current folder."""
    return shlex.join(["python", "-m", *step.words])


def typed(options: dict[str, Any]) -> list[str]:
    """Options that are not None, as words of a command line."""
    return [word for name, value in options.items() if value is not None for word in (name, _word(value))]


def _word(value: Any) -> str:
    return value.as_posix() if isinstance(value, Path) else str(value)
