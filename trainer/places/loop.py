"""The training loop of `Centred`: over remembered looks, with maps of what detectors find beside the confidences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from trainer.loop import Batch, Loop, masked_cross_entropy
from trainer.places.looks import RememberedLooks
from trainer.places.network import STRIDE, Centred
from trainer.places.objects import FoundObjects
from trainer.prepare import TrainingData
from trainer.views import Pictures, prefetch

WEIGHT = 1.0
"""Of the maps' loss beside that of the confidences."""
EMPTY = 0.05
"""Weight of a place without an object beside one with."""
EVALUATED = 64


class PlacesLoop(Loop):
    """Pictures are looked at once, without random views; every epoch reads the looks again."""

    def _remember(self, data: TrainingData, training_mb: int, held_mb: int, folder: Path | None) -> None:
        net, size = self.state.net, self.config.input_size
        training, held = (Pictures(rows, size, fit=net.fit) for rows in (data.training, data.held))
        self.looks = RememberedLooks(net, training, training_mb, folder)
        self.held_looks = RememberedLooks(net, held, held_mb, folder)
        self.found = FoundObjects(data.tables, [*[None] * len(self.config.tasks), *net.networks])
        self.cells = size // STRIDE

    def held_back_logits(self) -> npt.NDArray[np.float32]:
        """(N, T + A) float32 logits of the held-back rows."""
        backbone = self._backbone.eval()
        jobs = ((lambda chosen=chosen: self.held_looks.batch(chosen)) for chosen in self.held_looks.batches(EVALUATED))
        with torch.inference_mode():
            answers = (backbone.answer(tuple(part.to(self.device) for part in looks))[0] for looks in prefetch(jobs))
            return np.concatenate([logits.cpu().numpy() for logits in answers])

    @property
    def _backbone(self) -> Centred:
        backbone = self.state.net.backbone
        assert isinstance(backbone, Centred)
        return backbone

    def _batch(self, chosen: npt.NDArray[np.int64], rng: np.random.Generator) -> Batch:
        maps = self.found.maps([self.looks.pictures.rows[index] for index in chosen], self.cells)
        return (*self.looks.batch(chosen), torch.from_numpy(maps)), self.labels[chosen]

    def _answer(self, shown: tuple[torch.Tensor, ...], labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        *looks, maps = shown
        logits, chart = self._backbone.answer(tuple(looks))
        return logits, masked_cross_entropy(logits, labels, self.class_weights) + WEIGHT * map_loss(chart, maps)


def map_loss(chart: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy over the places that are known, those without an object counting little, nats.

    Args:
        chart: (N, C, H, W) float32 logits.
        maps: (N, C, H, W) float32 scores, 0-1; 0 without an object, NaN where nothing is asked.
    """
    known = ~torch.isnan(maps)
    truth = torch.where(known, maps, 0.0)
    weights = known * torch.where(truth > 0, 1.0, EMPTY)
    losses = binary_cross_entropy_with_logits(chart, truth, reduction="none")
    return (weights * losses).sum() / weights.sum().clamp(min=1)
