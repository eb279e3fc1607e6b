"""What the steps will cost on this machine: a short measurement made now, times the counts."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import torch

from streamfilter.distort import KINDS, Distortion, apply
from streamfilter.frame import RGB
from streamfilter.preprocess import shrink
from streamfilter.spec import input_hw
from trainer.label import LabelJob
from trainer.loop import masked_cross_entropy
from trainer.models import UtilityNet, build
from trainer.networks import load_network
from trainer.parts import Parts
from trainer.pictures import list_items, read_picture
from trainer.places.network import CENTRED, Centred
from trainer.recipe.steps import LabelStep, Step, TeachStep, TrainStep
from trainer.reproduce.steps import EvaluateStep, JudgeStep, ScoreStep
from trainer.rivals import RIVALS, Case, Classifier
from trainer.runs import RunFolder, TrainConfig
from trainer.tables import TAUGHT
from trainer.teach import TeachJob
from trainer.train import choose_device, choose_optimizer, choose_precision
from trainer.versions import kinds_of

Job = LabelJob | TeachJob
SLOW_SECONDS = 0.3
"""A warm-up that took this long is no longer worth another call."""
BATCH = 16
"""Pictures of a measured training step."""
PART = 25
"""Pictures of a finished part of a table."""
RELABELLED = 2.0
"""Rows after balancing by relabelling, at most, for each row before."""
EXPORT_SECONDS = 30.0
"""Starting, converting and comparing; hardly depends on the model."""
JUDGE_SECONDS, JUDGE_SECONDS_PER_ROW = 5.0, 0.002
"""Of one table or figure, and for each of its rows and networks, on a slow core."""


def timed(call: Callable[[], object], slow_seconds: float = SLOW_SECONDS) -> float:
    """Seconds of the second call, for the first one warms up; of the first where that one took `slow_seconds`."""
    spent = 0.0
    for _ in range(2):
        started = time.perf_counter()
        call()
        spent = time.perf_counter() - started
        if spent > slow_seconds:
            break
    return spent


@dataclass
class Meter:
    """Seconds on this machine; each thing is measured once, when first asked for."""

    picture: RGB
    """(H, W, 3) uint8, RGB, HWC, 0-255: a picture of the kit."""
    weights_dir: Path | None = None
    """Folder of torchvision's weight files."""
    known: dict[tuple[str, ...], float] = field(default_factory=dict)
    """What has been measured."""

    def _once(self, key: tuple[str, ...], measure: Callable[[], float]) -> float:
        if key not in self.known:
            self.known[key] = measure()
        return self.known[key]

    def network(self, name: str, task: str) -> float:
        """A labelling network's answer about a picture, on one thread."""

        def measure() -> float:
            network = load_network(name, task, self.weights_dir, threads=1)
            return timed(lambda: network.predict([self.picture]))

        return self._once(("network", name, task), measure)

    def distortion(self, kind: str) -> float:
        """Distorting a picture at middle strength."""
        if kind not in KINDS:
            return 0.0
        middle = Distortion(kind, KINDS[kind].at(3))
        return self._once(("distortion", kind), lambda: timed(lambda: apply(self.picture, middle)))

    def version(self, job: Job) -> float:
        """Distorting a picture as the job does, on average."""
        if job.sample:
            return float(np.mean([self.distortion(kind) for kind in kinds_of(job.distortions)]))
        return float(np.mean([self.distortion(one.kind) for one in job.distortions]))

    def rivals(self, energy_network: Path | None) -> float:
        """All rivals' scores of a distorted picture."""

        def measure() -> float:
            middle = Distortion("jpeg", 20)
            distorted = apply(self.picture, middle)
            scorers: list[Callable[[Case], object]] = [rival.score for rival in RIVALS.values()]
            if energy_network is not None:
                scorers.append(Classifier(energy_network))
            return timed(lambda: [one(Case(distorted, self.picture, middle)) for one in scorers])

        return self._once(("rivals", str(energy_network)), measure)

    def training(self, config: TrainConfig) -> float:
        """A training step, for each of its pictures."""
        return self._once(("training", *_shape(config)), lambda: timed(_training_step(config), math.inf) / BATCH)

    def answer(self, config: TrainConfig) -> float:
        """A network's answer in training's evaluation, for each picture."""

        def measure() -> float:
            net = _net(config).eval()
            images = _images(config, config.input_size, net.fit)
            with torch.inference_mode():
                return timed(lambda: net(images), math.inf) / BATCH

        return self._once(("answer", *_shape(config)), measure)

    def small(self, size: int) -> float:
        """Shrinking a picture to a model's input."""
        return self._once(("small", str(size)), lambda: timed(lambda: shrink(self.picture, size)))


def _shape(config: TrainConfig) -> tuple[str, ...]:
    return (config.model, config.optimizer, str(config.input_size), str(config.patch), config.device)


def _net(config: TrainConfig) -> UtilityNet:
    return build(config.model, config.tasks, front="rgb").to(choose_device(config.device))


def _images(config: TrainConfig, side: int, fit: str) -> torch.Tensor:
    shape = (BATCH, *input_hw(side, fit), 3)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return torch.from_numpy(images).to(choose_device(config.device))


def _training_step(config: TrainConfig) -> Callable[[], None]:
    device, net = choose_device(config.device), _net(config).train()
    images = _images(config, config.patch or config.input_size, net.fit)
    optimizer, precision = choose_optimizer(config, net), choose_precision(device)
    labels = torch.ones((BATCH, len(config.tasks)), device=device)
    weights = torch.ones((len(config.tasks), 2), device=device)
    answer = _answer(net, images)

    def step() -> None:
        with torch.autocast(device.type, precision, enabled=precision is not torch.float32):
            logits = answer()
        optimizer.zero_grad(set_to_none=True)
        loss = masked_cross_entropy(logits, labels, weights)
        torch.autograd.backward(loss)
        optimizer.step()

    return step


def _answer(net: UtilityNet, images: torch.Tensor) -> Callable[[], torch.Tensor]:
    """What is done of a network in every step: looking is not, where looks are remembered."""
    backbone = net.backbone
    if not isinstance(backbone, Centred):
        return lambda: net.all_logits(images)
    with torch.no_grad():
        looks = backbone.look(net.planes(images))
    return lambda: backbone.answer(looks)[0]


def seconds_left(step: Step, meter: Meter, steps: Sequence[Step]) -> float:
    """Expected time of a step from now on; 0 when it is done."""
    if step.done():
        return 0.0
    if isinstance(step, LabelStep):
        return _of_labels(step.job, meter)
    if isinstance(step, TeachStep):
        return _of_teaching(step.job, meter, steps)
    if isinstance(step, TrainStep):
        return _of_training(step, meter)
    if isinstance(step, EvaluateStep):
        return _of_evaluation(step, meter, steps)
    if isinstance(step, ScoreStep):
        return _of_scores(step, meter, steps)
    if isinstance(step, JudgeStep):
        return _of_judging(step, steps)
    return EXPORT_SECONDS


@cache
def pictures_of(job: Job) -> int:
    """How many pictures a table is about."""
    if isinstance(job, TeachJob):
        items = list_items(job.images, job.truth, "classification", pristine=True)
    else:
        items = list_items(job.images, job.truth, job.task, job.reference == "pristine")
    count = sum(job.split in (None, item.split) for item in items)
    return min(count, job.limit or count)


def versions_of(job: Job) -> int:
    """How many distorted versions each picture has in it."""
    return (job.sample or len(job.distortions)) * max(1, job.augmented)


def _of_labels(job: LabelJob, meter: Meter) -> float:
    answers = sum(meter.network(name, job.task) for name in job.networks)
    versions = versions_of(job)
    begun = PART * len(list(Parts(job.out, job.task, {}).folder.glob("*.parquet")))
    each = versions * meter.version(job) + (1 + versions) * answers
    return max(0, pictures_of(job) - begun) * each / _at_once(job.workers)


def _of_teaching(job: TeachJob, meter: Meter, steps: Sequence[Step]) -> float:
    teacher = next(one.config for one in steps if isinstance(one, TrainStep) and one.out == job.teacher)
    begun = PART * len(list(Parts(job.out, TAUGHT, {}).folder.glob("*.parquet")))
    each = versions_of(job) * (meter.version(job) + meter.answer(teacher))
    return max(0, pictures_of(job) - begun) * each / _at_once(job.workers)


def _rows(jobs: Sequence[Job]) -> dict[tuple[object, ...], tuple[Job, int]]:
    """Distorted pictures of tables, those of two tasks once: (what, where) -> the job and the count."""
    rows: dict[tuple[object, ...], tuple[Job, int]] = {}
    for job in jobs:
        rows[job.images, job.sample, job.augmented, job.distortions] = (job, pictures_of(job) * versions_of(job))
    return rows


def _pristine(jobs: Sequence[Job]) -> int:
    return sum({job.images: pictures_of(job) for job in jobs}.values())


def _of_training(step: TrainStep, meter: Meter) -> float:
    config, jobs = step.config, [table.job for table in step.tables]
    rows = _rows([*jobs, *(lesson.job for lesson in step.lessons)])
    count = sum(number for _, number in rows.values()) + _pristine(jobs)
    make = sum(number * meter.version(job) for job, number in rows.values()) / count + meter.small(config.input_size)
    more = RELABELLED if config.balance == "relabel" else 1.0
    learned, held = count * (1 - config.holdout) * more, count * config.holdout
    remembered = min(1.0, config.cache_mb * 2**20 / (count * 3 * (config.room * config.input_size) ** 2))
    folder = RunFolder(step.out)
    begun = folder.load_checkpoint()["epoch"] if folder.checkpoint_path.is_file() else 0
    epochs = max(0, config.epochs - begun)
    makings = (learned + held) * (1 + (epochs - 1) * (1 - remembered)) if epochs else held
    if config.model == CENTRED:
        looks = (learned + held) * (meter.answer(config) + make / _at_once(2))
        return looks + epochs * learned * meter.training(config)
    looks = epochs * (learned * meter.training(config) + held * meter.answer(config)) + held * meter.answer(config)
    return looks + makings * make / _at_once(2)


def _of_evaluation(step: EvaluateStep, meter: Meter, steps: Sequence[Step]) -> float:
    config = next(one.config for one in steps if isinstance(one, TrainStep) and one.out == step.source)
    jobs = [one.job for one in steps if isinstance(one, LabelStep) and one.job.out == step.labels]
    distorted = sum(number * (meter.version(job) + meter.answer(config)) for job, number in _rows(jobs).values())
    return distorted + _pristine(jobs) * meter.answer(config)


def _of_scores(step: ScoreStep, meter: Meter, steps: Sequence[Step]) -> float:
    job, trained = step.job, [one for one in steps if isinstance(one, TrainStep)]
    asked = [one for one in trained if not job.runs or one.out.as_posix() in job.runs]
    each = (meter.rivals(job.energy_network) if job.rivals else 0.0) + sum(meter.answer(one.config) for one in asked)
    share = next((one.config.holdout for one in trained if one.out == job.held_back), 1.0)
    distorted = sum(number * (meter.version(table) + each) for table, number in _rows(step.tables).values())
    return share * (distorted + _pristine(step.tables) * each) / _at_once(job.workers)


def _of_judging(step: JudgeStep, steps: Sequence[Step]) -> float:
    jobs = [one.job for one in steps if isinstance(one, LabelStep) and one.job.out in step.request.labels]
    rows = sum(pictures_of(job) * versions_of(job) * len(job.networks) for job in jobs)
    return JUDGE_SECONDS + JUDGE_SECONDS_PER_ROW * rows


def _at_once(workers: int) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(workers, cores)


def first_picture(jobs: Sequence[LabelJob]) -> RGB:
    """A picture to measure on: the first one that is to be labelled.

    Raises:
        InputError: the kit has no pictures.
        PictureError: it cannot be decoded.
    """
    item = list_items(jobs[0].images, jobs[0].truth, jobs[0].task, jobs[0].reference == "pristine")[0]
    return read_picture(jobs[0].images / item.picture)[0]
