"""`python -m trainer train`: one linear training loop with checkpoints that resume exactly."""

from __future__ import annotations

import logging
import math
import platform
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import binary_cross_entropy_with_logits
from tqdm import tqdm

from streamfilter.errors import ConfigError, DeviceError
from streamfilter.spec import TASKS
from trainer import evaluate, plots
from trainer.balance import METHODS
from trainer.dataset import Pictures, flip_some, label_array, prefetch
from trainer.models import INITS, MODELS, build
from trainer.prepare import TrainingData, prepare
from trainer.runs import RunFolder, TrainConfig, command_line, git_commit
from trainer.state import State, Tally

log = logging.getLogger(__name__)

Batch = tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]


def train(
    config: TrainConfig, out: Path, weights_dir: Path | None = None, command: str = "", fresh: bool = False
) -> bool:
    """Train a utility network and judge it on the held-back sources; the last epoch is the model.

    Args:
        config: the recipe.
        out: the run folder; a checkpoint of the same recipe in it is gone on from.
        weights_dir: folder with the published ImageNet weights; None downloads them.
        command: the command line, for the record.
        fresh: start over even if there is a checkpoint.

    Returns:
        Whether it came to its end; False when a signal stopped it after a checkpoint.

    Raises:
        ConfigError: the folder holds a checkpoint of another recipe, or a task lacks a class.
        DeviceError: the device is not there.
        InputError: labels are missing, or of the test split.
    """
    device = choose_device(config.device)
    if config.threads:
        torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    net = build(config.model, config.tasks, config.init, weights_dir).to(device)
    optimizer = torch.optim.SGD(
        net.parameters(), lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay
    )
    state = State(net, optimizer, Tally.empty(len(config.tasks)))
    folder = RunFolder(out)
    folder.create()
    data = prepare(config, out, weights_dir)
    record = data.record(config.tasks)
    recipe = {**config.recipe(), "label_sha256": [table["sha256"] for table in record["labels"]]}
    if folder.checkpoint_path.exists() and not fresh:
        resume(state, folder, recipe)
    precision = choose_precision(device)
    folder.write_json("run.json", {**_record(config, device, precision, command), **record})
    folder.write_json("split.json", data.sides())
    loop = Loop(config, data, folder, state, recipe, device, precision)
    if not loop.run():
        return False
    calibration, figures = evaluate.judge_held_back(loop.held_back_logits(), data.held, config.tasks)
    net.calibrate(*calibration)
    folder.update_metrics(evaluate.HELD_BACK, {"command": command, "labels": record["labels"], "tasks": figures})
    folder.save_checkpoint(state.to_checkpoint(recipe))
    return True


def resume(state: State, folder: RunFolder, recipe: dict[str, Any]) -> None:
    """Take up the folder's checkpoint.

    Raises:
        ConfigError: it was made by another recipe; the message lists the differences.
    """
    checkpoint = folder.load_checkpoint()
    known = checkpoint["recipe"]
    differences = [
        f"{key} was {known.get(key)!r}, now {recipe.get(key)!r}"
        for key in {**known, **recipe}
        if known.get(key) != recipe.get(key)
    ]
    if differences:
        raise ConfigError(
            f"{folder.checkpoint_path} is of another recipe ({'; '.join(differences)}); use another --out or --fresh"
        )
    state.restore(checkpoint)
    log.info("going on from epoch %d, step %d", state.epoch + 1, state.step)


class Loop:
    """The loop; order and flips depend on (seed, epoch, step) alone, so a resumed run equals an unbroken one."""

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
        self.pictures = Pictures(data.training, config.input_size, int(config.cache_mb * share))
        self.held = Pictures(data.held, config.input_size, int(config.cache_mb * (1 - share)))
        self.labels = label_array(data.training, len(config.tasks))
        self.held_labels = label_array(data.held, len(config.tasks))
        self.class_weights = torch.from_numpy(data.class_weights).to(device)
        self.batch_size = min(config.batch_size, len(data.training))
        self.steps = len(data.training) // self.batch_size

    def run(self) -> bool:
        """Train to the last epoch or until a signal; True at the last epoch."""
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
        """(N, T) float32 logits of the held-back rows, in full precision."""
        return evaluate.predict(self.state.net, self.held)

    def _epoch(self, report: Callable[[int], object], stopping: Callable[[], bool]) -> bool:
        saved = time.monotonic()
        self.state.net.train()
        for images, labels in prefetch(self._jobs()):
            self._step(images, labels)
            self.state.step += 1
            report(len(images))
            if stopping():
                return False
            if time.monotonic() - saved > 60 * self.config.checkpoint_minutes:
                self.save()
                saved = time.monotonic()
        return True

    def _jobs(self) -> Iterator[Callable[[], Batch]]:
        seed, epoch = self.config.seed, self.state.epoch
        order = np.random.default_rng([seed, epoch]).permutation(len(self.pictures))
        for step in range(self.state.step, self.steps):
            chosen = order[step * self.batch_size : (step + 1) * self.batch_size]
            yield partial(self._batch, chosen, np.random.default_rng([seed, epoch, step]))

    def _batch(self, chosen: npt.NDArray[np.int64], rng: np.random.Generator) -> Batch:
        return flip_some(self.pictures.batch(chosen), rng), self.labels[chosen]

    def _step(self, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.float32]) -> None:
        state = self.state
        place = (state.epoch + state.step / self.steps) / self.config.epochs
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate(self.config.lr, self.config.warmup, place + 1 / (2 * self.steps))
        with torch.autocast(self.device.type, self.precision, enabled=self.precision is not torch.float32):
            logits = state.net(torch.from_numpy(images).to(self.device))
        loss = masked_cross_entropy(logits, torch.from_numpy(labels).to(self.device), self.class_weights)
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        state.optimizer.step()
        state.tally.add(logits.detach().cpu().numpy(), labels)

    def _close_epoch(self) -> None:
        state, tasks = self.state, self.config.tasks
        held = Tally.empty(len(tasks))
        held.add(self.held_back_logits(), self.held_labels)
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
        labels: (N, T) float32: 1, 0, or NaN where unlabelled.
        class_weights: (T, 2) float32 weight of each task's class.
    """
    known = ~torch.isnan(labels)
    truth = torch.where(known, labels, 0.0)
    weights = known * torch.where(truth > 0, class_weights[:, 1], class_weights[:, 0])
    losses = binary_cross_entropy_with_logits(logits, truth, reduction="none")
    return (weights * losses).sum() / weights.sum()


def choose_device(name: str) -> torch.device:
    """The torch device of that name.

    Raises:
        DeviceError: CUDA is asked for and not there.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise DeviceError("torch sees no CUDA device here; train with --device cpu or mend the driver")
    return torch.device(name)


def choose_precision(device: torch.device) -> torch.dtype:
    """bfloat16 where the device multiplies it natively, else float32; the choice is logged."""
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported()
    elif platform.machine() in ("x86_64", "AMD64"):
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    else:
        native = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    log.info("training on %s in %s", device, "bfloat16 (autocast)" if native else "float32: no native bfloat16")
    return torch.bfloat16 if native else torch.float32


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


def _record(config: TrainConfig, device: torch.device, precision: torch.dtype, command: str) -> dict[str, Any]:
    return {
        "command": command,
        "config": config.recipe(),
        "commit": git_commit(),
        "device": device.type,
        "precision": str(precision).removeprefix("torch."),
        "torch": torch.__version__,
    }


DEFAULTS = {item.name: item.default for item in fields(TrainConfig)}


def _names(context: click.Context, option: click.Parameter, text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    unknown = [name for name in names if name not in TASKS]
    if unknown or not names:
        raise click.BadParameter(f"unknown task {', '.join(unknown) or text!r}; known: {', '.join(TASKS)}")
    return names


def _option(flag: str, **more: Any) -> Callable[[Any], Any]:
    name = flag.removeprefix("--").replace("-", "_")
    return click.option(flag, default=DEFAULTS[name], show_default=True, **more)


@click.command("train")
@click.option(
    "--labels", type=click.Path(path_type=str), required=True, multiple=True, help="Label folder; repeatable."
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Run folder; goes on from its checkpoint.")
@click.option("--tasks", default=",".join(DEFAULTS["tasks"]), show_default=True, callback=_names, help="In order.")
@_option("--model", type=click.Choice(MODELS), help="Architecture.")
@_option("--init", type=click.Choice(INITS), help="Initial weights.")
@_option("--input-size", help="Side of the square input, pixels.")
@_option("--epochs", help="Passes over the balanced training rows.")
@_option("--batch-size", help="Pictures a step.")
@_option("--lr", help="Peak learning rate.")
@_option("--momentum", help="Momentum of SGD.")
@_option("--weight-decay", help="L2 penalty of SGD.")
@_option("--warmup", help="Share of the run over which the learning rate rises.")
@_option("--balance", type=click.Choice(METHODS), help="How the classes are balanced.")
@_option("--balance-rounds", help="Most rounds of augmentation and relabelling a task.")
@_option("--holdout", help="Share of the source pictures held back.")
@_option("--seed", help="Of the split, the initial weights, the order and the flips.")
@_option("--device", type=click.Choice(("cpu", "cuda")), help="Where to train.")
@_option("--threads", type=click.IntRange(0), help="Torch's threads; 0 leaves its default.")
@_option("--cache-mb", help="Bound on shrunk pictures kept in memory, MiB.")
@_option("--checkpoint-minutes", help="Time between checkpoints within an epoch.")
@click.option("--weights-dir", type=click.Path(path_type=Path), help="Folder of published weights; else downloaded.")
@click.option("--fresh", is_flag=True, help="Start over even if there is a checkpoint.")
@click.pass_context
def command(context: click.Context, out: Path, weights_dir: Path | None, fresh: bool, **settings: Any) -> None:
    """Train a utility network on label tables; the same command goes on where it was stopped."""
    if not train(TrainConfig(**settings), out, weights_dir, command_line("trainer"), fresh):
        click.echo(f"stopped; the same command goes on from the checkpoint in {out}", err=True)
        context.exit(130)
    click.echo(evaluate.markdown(RunFolder(out).read_json("metrics.json")[evaluate.HELD_BACK]["tasks"]))
