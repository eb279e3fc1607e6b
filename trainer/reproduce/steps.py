"""The steps that judge: test labels, evaluation of the runs, score tables, and the tables and figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streamfilter.spec import TASKS
from trainer.evaluate import evaluate
from trainer.judge import Request, judge
from trainer.label import LabelJob
from trainer.recipe.steps import shell, typed
from trainer.runs import RunFolder, sha256
from trainer.score import ScoreJob, score

EVALUATION = "test"


@dataclass(frozen=True)
class EvaluateStep:
    """A run's figures on the test tables, which its card carries."""

    source: Path
    """The run folder."""
    labels: Path
    """Folder of the test tables."""
    tasks: tuple[str, ...] = TASKS
    """Those of the run: the other tables do not concern it."""

    @property
    def title(self) -> str:
        return f"evaluate {self.source.as_posix()}"

    @property
    def words(self) -> tuple[str, ...]:
        options = typed({"--labels": self.labels, "--name": EVALUATION})
        return ("trainer", "evaluate", self.source.as_posix(), *options)

    def done(self) -> bool:
        folder, metrics = RunFolder(self.source), self.source / "metrics.json"
        if not metrics.is_file() or not folder.checkpoint_path.is_file():
            return False
        if metrics.stat().st_mtime < folder.checkpoint_path.stat().st_mtime:
            return False
        known = folder.read_json(metrics.name).get(EVALUATION)
        return known is not None and {label["sha256"] for label in known["labels"]} == _digests(
            [self.labels], self.tasks
        )

    def run(self) -> list[str]:
        if not self.done():
            evaluate(self.source, [self.labels.as_posix()], EVALUATION, shell(self))
        return []


@dataclass(frozen=True)
class ScoreStep:
    """A score table."""

    job: ScoreJob
    """What to score."""
    tables: tuple[LabelJob, ...]
    """What makes the label tables."""

    @property
    def title(self) -> str:
        return f"score {self.job.out.as_posix()}"

    @property
    def words(self) -> tuple[str, ...]:
        job = self.job
        many = {"--labels": job.labels, "--model": job.models, "--run": job.runs}
        repeated = [word for name, values in many.items() for value in values for word in typed({name: value})]
        options = {"--energy-network": job.energy_network, "--held-back": job.held_back, "--out": job.out}
        return ("trainer", "score", *repeated, *(() if job.rivals else ("--no-rivals",)), *typed(options))

    def done(self) -> bool:
        return self.job.out.is_file()

    def run(self) -> list[str]:
        return score(self.job, show_progress=True)


@dataclass(frozen=True)
class JudgeStep:
    """A table or figure of the evaluation."""

    request: Request
    """What to judge."""

    @property
    def title(self) -> str:
        return f"judge {self._name}"

    @property
    def words(self) -> tuple[str, ...]:
        request = self.request
        many = {
            "--labels": request.labels,
            "--scores": request.scores,
            "--model": request.models,
            "--oracle-labels": request.dev_labels,
            "--run": request.runs,
            "--even-labels": request.even_labels,
            "--even-scores": request.even_scores,
        }
        repeated = [word for name, values in many.items() for value in values for word in typed({name: value})]
        options = {"--rows": request.rows, "--name": request.name, "--out": request.out}
        return ("trainer", "judge", request.what, *repeated, *typed(options))

    def done(self) -> bool:
        """Whether the report is of these very tables; a run it names may not be younger than it."""
        record, text = (self.request.out / f"{self._name}{suffix}" for suffix in (".json", ".md"))
        if not record.is_file() or not text.is_file():
            return False
        known = json.loads(record.read_text(encoding="utf-8"))
        scores = {sha256(path) for path in (*self.request.scores, *self.request.even_scores) if path.is_file()}
        others = (*self.request.dev_labels, *self.request.even_labels)
        needed = [run / "split.json" for run in self.request.runs] + _tables(others)
        fresh = all(path.is_file() and path.stat().st_mtime <= record.stat().st_mtime for path in needed)
        same = {label["sha256"] for label in known["labels"]} == _digests(self.request.labels)
        return fresh and same and set(known["scores"].values()) == scores and known["command"] == shell(self)

    def run(self) -> list[str]:
        if not self.done():
            judge(self.request, shell(self))
        return []

    @property
    def _name(self) -> str:
        return self.request.name or self.request.what


def _tables(folders: Sequence[Path]) -> list[Path]:
    return [path for folder in folders for task in TASKS if (path := folder / f"{task}.parquet").is_file()]


def _digests(folders: Sequence[Path], tasks: Sequence[str] = TASKS) -> set[str]:
    return {sha256(path) for path in _tables(folders) if path.stem in tasks}
