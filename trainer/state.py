"""Where a training run stands: what a checkpoint holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from trainer.models import UtilityNet


@dataclass
class Tally:
    """Running loss and confusion counts of one pass."""

    counts: npt.NDArray[np.float64]
    """(T, 2, 2) labelled entries by [task, label, prediction]."""
    loss_sum: float = 0.0
    """Sum of their cross-entropies, nats."""

    @classmethod
    def empty(cls, tasks: int) -> Tally:
        """Nothing counted yet."""
        return cls(np.zeros((tasks, 2, 2)))

    def add(self, logits: npt.NDArray[np.float32], labels: npt.NDArray[np.float32]) -> None:
        """Count a batch: (N, T) logits and (N, T) labels, 0 to 1, with NaN where unlabelled."""
        for task in range(labels.shape[1]):
            known = ~np.isnan(labels[:, task])
            truth, score = labels[known, task], logits[known, task]
            np.add.at(self.counts[task], ((truth >= 0.5).astype(int), (score >= 0).astype(int)), 1)
            self.loss_sum += float(np.logaddexp(0, score).sum() - (truth * score).sum())

    def point(self, tasks: tuple[str, ...]) -> dict[str, Any]:
        """Mean loss in nats, and balanced accuracy at 0.5 for each task."""
        recalls = self.counts[:, [0, 1], [0, 1]] / np.maximum(self.counts.sum(axis=2), 1)
        return {
            "loss": self.loss_sum / max(float(self.counts.sum()), 1),
            "balanced_accuracy": dict(zip(tasks, recalls.mean(axis=1).tolist(), strict=True)),
        }


@dataclass
class State:
    """Weights, optimiser, place and history of a run."""

    net: UtilityNet
    optimizer: torch.optim.Optimizer
    tally: Tally
    """The current epoch's training figures so far."""
    epoch: int = 0
    """Epochs done."""
    step: int = 0
    """Steps done within the current epoch."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """One point an epoch, as in `history.jsonl`."""
    calibrated: bool = False
    """Whether the run came to its end: all epochs done, judged and calibrated."""

    def to_checkpoint(self, recipe: dict[str, Any]) -> dict[str, Any]:
        """Plain tensors, numbers and strings, loadable as data only."""
        return {
            "recipe": recipe,
            "model": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "step": self.step,
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "counts": torch.from_numpy(self.tally.counts),
            "loss_sum": self.tally.loss_sum,
            "history": self.history,
            "calibrated": self.calibrated,
        }

    def restore(self, checkpoint: dict[str, Any]) -> None:
        """Go back to where the checkpoint was written."""
        self.net.load_state_dict(checkpoint["model"])
        self.optimizer.load_state_dict(checkpoint["optimizer"])
        self.epoch, self.step = checkpoint["epoch"], checkpoint["step"]
        torch.set_rng_state(checkpoint["rng"])
        if torch.cuda.is_available() and len(checkpoint["cuda_rng"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(checkpoint["cuda_rng"])
        self.tally = Tally(checkpoint["counts"].numpy(), checkpoint["loss_sum"])
        self.history, self.calibrated = checkpoint["history"], checkpoint["calibrated"]
