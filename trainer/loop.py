"""The training loop: steps, checkpoints and the learning curve."""

from __future__ import annotations

import logging
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import binary_cross_entropy_with_logits
from tqdm import tqdm

from streamfilter.errors import ModelError
from trainer import evaluate, plots
from trainer.dataset import label_array
from trainer.prepare import TrainingData
from trainer.runs import RunFolder, TrainConfig
from trainer.state import State, Tally
from trainer.views import Pictures, prefetch, vary

log = logging.getLogger(__name__)

Batch = tuple[tuple[torch.Tensor, ...], npt.NDArray[np.float32]]
"""What is shown, and what it should answer."""


class Loop:
    """The loop; order and views depend on (seed, epoch, step) alone, so a resumed run equals an unbroken one."""

    def __init__(
        self,
        config: TrainConfig,
        data: TrainingData,
        folder: RunFolder,
        state: State,
        recipe: dict[str, Any],
        device: torch.device,
        precision: torch.dtype,
    ) -> None:
        self.config, self.folder, self.state, self.recipe = config, folder, state, recipe
        self.device, self.precision = device, precision
        share = len(data.training) / (len(data.training) + len(data.held))
        bounds = int(config.cache_mb * share), int(config.cache_mb * (1 - share))
        self._remember(data, *bounds, Path(config.cache_dir) if config.cache_dir else None)
        self.labels = data.targets
        self.held_labels = label_array(data.held, len(config.tasks))
        self.class_weights = torch.from_numpy(data.class_weights).to(device)
        self.batch_size = min(config.batch_size, len(data.training))
        self.steps = len(data.training) // self.batch_size

    def _remember(self, data: TrainingData, training_mb: int, held_mb: int, folder: Path | None) -> None:
        """Open what is shown of both sides, remembered up to a bound."""
        size = self.config.input_size
        self.pictures = Pictures(data.training, round(self.config.room * size), training_mb, folder)
        self.held = Pictures(data.held, size, held_mb, folder)

    def run(self) -> bool:
        """Train to the last epoch or until a signal; True at the last epoch.

        Raises:
            ModelError: the loss is no number any more; the last checkpoint stays.
        """
        state, epochs = self.state, self.config.epochs
        bar = partial(tqdm, unit="picture", unit_scale=True, smoothing=0.05, file=sys.stderr, dynamic_ncols=True)
        done = (state.epoch * self.steps + state.step) * self.batch_size
        with stop_on_signal() as stopping, bar(total=epochs * self.steps * self.batch_size, initial=done) as progress:
            while state.epoch < epochs:
                progress.set_description(f"epoch {state.epoch + 1}/{epochs}")
                if not self._epoch(progress.update, stopping):
                    self.save()
                    return False
                self._close_epoch()
        return True

    def save(self) -> None:
        """Write a checkpoint."""
        self.folder.save_checkpoint(self.state.to_checkpoint(self.recipe))

    def held_back_logits(self) -> npt.NDArray[np.float32]:
        """(N, T + A) float32 logits of the held-back rows, in full precision."""
        return evaluate.predict(self.state.net, self.held)

    def _epoch(self, report: Callable[[int], object], stopping: Callable[[], bool]) -> bool:
        saved = time.monotonic()
        self.state.net.train()
        for shown, labels in prefetch(self._jobs()):
            self._step(shown, labels)
            self.state.step += 1
            report(len(labels))
            if stopping():
                return False
            if time.monotonic() - saved > 60 * self.config.checkpoint_minutes:
                self.save()
                saved = time.monotonic()
        return True

    def _jobs(self) -> Iterator[Callable[[], Batch]]:
        seed, epoch = self.config.seed, self.state.epoch
        order = np.random.default_rng([seed, epoch]).permutation(len(self.labels))
        for step in range(self.state.step, self.steps):
            chosen = order[step * self.batch_size : (step + 1) * self.batch_size]
            yield partial(self._batch, chosen, np.random.default_rng([seed, epoch, step]))

    def _batch(self, chosen: npt.NDArray[np.int64], rng: np.random.Generator) -> Batch:
        views = vary(self.pictures.batch(chosen), self.config.input_size, rng, self.config.patch)
        return (torch.from_numpy(views),), self.labels[chosen]

    def _step(self, shown: tuple[torch.Tensor, ...], labels: npt.NDArray[np.float32]) -> None:
        state = self.state
        place = (state.epoch + state.step / self.steps) / self.config.epochs
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate(self.config.lr, self.config.warmup, place + 1 / (2 * self.steps))
        on_device = tuple(tensor.to(self.device) for tensor in shown)
        logits, loss = self._answer(on_device, torch.from_numpy(labels).to(self.device))
        if not torch.isfinite(loss):
            where = f"epoch {state.epoch + 1}, step {state.step + 1} of {self.steps}"
            raise ModelError(
                f"{self.folder.root} diverged at {where}: the loss is {loss.item()}; train anew at a lower --lr"
            )
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        state.optimizer.step()
        tasks = len(self.config.tasks)
        state.tally.add(logits.detach().cpu().numpy()[:, :tasks], labels[:, :tasks])

    def _answer(self, shown: tuple[torch.Tensor, ...], labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, T + A) logits and the loss."""
        with torch.autocast(self.device.type, self.precision, enabled=self.precision is not torch.float32):
            logits = self.state.net.all_logits(shown[0])
        return logits, masked_cross_entropy(logits, labels, self.class_weights)

    def _close_epoch(self) -> None:
        state, tasks = self.state, self.config.tasks
        held = Tally.empty(len(tasks))
        held.add(self.held_back_logits()[:, : len(tasks)], self.held_labels)
        point = {"training": state.tally.point(tasks), "held_back": held.point(tasks)}
        state.history.append({"epoch": state.epoch + 1, **point})
        log.info("epoch %d/%d %s", state.epoch + 1, self.config.epochs, point)
        state.tally = Tally.empty(len(tasks))
        state.epoch, state.step = state.epoch + 1, 0
        self.save()
        self.folder.write_history(state.history)
        plots.learning_curve(state.history, self.folder.curve_path, f"{self.config.model}: {', '.join(tasks)}")


def learning_rate(peak: float, warmup: float, place: float) -> float:
    """Linear rise from 0 over the first `warmup` of the run, then half a cosine down to 0.

    Args:
        peak: the highest rate.
        warmup: share of the run over which it rises.
        place: how far the run is, 0 to 1.
    """
    if place < warmup:
        return peak * place / warmup
    return peak * (1 + math.cos(math.pi * min(1.0, (place - warmup) / (1 - warmup)))) / 2


def masked_cross_entropy(logits: torch.Tensor, labels: torch.Tensor, class_weights: torch.Tensor) -> torch.Tensor:
    """Mean two-class cross-entropy over the labelled entries, nats.

    Args:
        logits: (N, T) float32.
        labels: (N, T) float32: 1, 0, anything between, or NaN where unlabelled.
        class_weights: (T, 2) float32 weight of each task's class.
    """
    known = ~torch.isnan(labels)
    truth = torch.where(known, labels, 0.0)
    weights = known * torch.where(truth >= 0.5, class_weights[:, 1], class_weights[:, 0])
    losses = binary_cross_entropy_with_logits(logits, truth, reduction="none")
    return (weights * losses).sum() / weights.sum()


@contextmanager
def stop_on_signal() -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C and SIGTERM into a flag while the block runs, so that a step is never cut in two."""
    seen: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda got, _: seen.append(got)) for number in numbers}
    try:
        yield lambda: bool(seen)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
