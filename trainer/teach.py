"""`python -m trainer teach`: pictures -> what a trained network says that labelling networks would -> a table.

Knowledge distillation: a network that learns from the table hears the teacher's confidences where labels would stand.
"""

from __future__ import annotations

import io
import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import nn

from streamfilter.digest import file_sha256
from streamfilter.distort import Distortion, apply, parse
from streamfilter.errors import ConfigError, PictureError
from streamfilter.frame import RGB
from streamfilter.preprocess import shrink
from streamfilter.spec import input_hw
from trainer.alone import alone_in
from trainer.augment import augment
from trainer.label import distortions_option
from trainer.models import UtilityNet, load
from trainer.parts import Parts
from trainer.pictures import Item, identity, list_items, read_picture, select
from trainer.rivals.sessions import Session
from trainer.runs import RunFolder
from trainer.tables import TAUGHT, metadata_of
from trainer.taught import column, read_taught, taught_schema
from trainer.versions import kinds_of, seeds_of, versions_of

CREATED_BY = "streamfilter trainer, taught table 1"
OPSET = 18

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TeachJob:
    """Which pictures to teach, and by whom."""

    teacher: Path
    """Folder of a finished run that learned confidences."""
    images: Path
    """Folder of the pictures."""
    out: Path
    """Folder of the table."""
    truth: Path | None = None
    """CSV or COCO JSON, read for the splits alone; None for all pictures of the folder."""
    distortions: tuple[Distortion, ...] = parse("all")
    """Only the kinds count."""
    sample: int = 3
    """Distortions drawn for each version of a picture from these kinds, strengths at random."""
    augmented: int = 1
    """Random crops of each picture, taught in its place, see `augment`."""
    split: str | None = None
    """Only the pictures of this split; None for all."""
    limit: int | None = None
    """Only the first so many pictures; None for all."""
    workers: int = os.cpu_count() or 1
    """Pictures asked about at once."""


class Teacher:
    """A trained network, asked how sure each labelling network would be; may be asked by many threads.

    Args:
        run: its run folder.

    Raises:
        ModelError: the run is not finished, or damaged.
        ConfigError: it learned labels, not confidences.
    """

    def __init__(self, run: Path) -> None:
        net = load(run)
        if not net.networks:
            raise ConfigError(f"{run} learned labels, not confidences: teach with a run of --target confidence")
        self.networks = net.networks
        self._tasks = len(net.tasks)
        self._size, self._fit = int(RunFolder(run).load_checkpoint()["recipe"]["input_size"]), net.fit
        self._session = Session(_graph(net, (*input_hw(self._size, self._fit), 3)), str(run))

    def __call__(self, pictures: Sequence[RGB]) -> npt.NDArray[np.float32]:
        """(N, A) float32 confidence that each of `networks` would give the truth, 0-1.

        Args:
            pictures: N times (H, W, 3) uint8, RGB, HWC, 0-255.
        """
        small = np.stack([shrink(np.ascontiguousarray(one), self._size, self._fit) for one in pictures])
        logits = self._session.run(["logits"], small)[0][:, self._tasks :]
        confidences: npt.NDArray[np.float32] = 1 / (1 + np.exp(-logits))
        return confidences


class _AllLogits(nn.Module):
    def __init__(self, net: UtilityNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.net.all_logits(images)


def _graph(net: UtilityNet, shape: tuple[int, ...]) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own age and of foldings it leaves out
        torch.onnx.export(
            _AllLogits(net).eval(), (torch.zeros((2, *shape), dtype=torch.uint8),), buffer, dynamo=False,
            opset_version=OPSET, input_names=["images"], output_names=["logits"],
            dynamic_axes={"images": {0: "N"}, "logits": {0: "N"}},
        )  # fmt: skip
    return buffer.getvalue()


def teach(job: TeachJob, show_progress: bool = False) -> list[str]:
    """Make `<out>/taught.parquet`, going on where an earlier run with the same settings stopped.

    Returns:
        One line for each picture that was skipped because it cannot be decoded.

    Raises:
        InputError: pictures or truth are missing or unreadable.
        ModelError: the teacher cannot be used.
        ConfigError: the job is contradictory, or `out` holds a table made with other settings.
        OutputError: the table cannot be written, or another process is at it.
    """
    known = list_items(job.images, job.truth, "classification", pristine=True)
    items = select(known, job.split, job.limit)
    teacher = Teacher(job.teacher)
    settings = _settings(job, items)
    parts = Parts(job.out, TAUGHT, settings)
    parts.open()
    if parts.table.exists():
        logger.info("%s is complete, nothing to do", parts.table)
        return list(metadata_of(read_taught(parts.table))["skipped"])
    ask, part_schema = partial(_rows, job, teacher), partial(_part_schema, teacher)
    with alone_in(parts.folder):
        count, skipped = parts.fill(items, ask, part_schema, job.workers, show_progress)
        metadata = _metadata(job, teacher, settings, skipped)
        parts.merge(count, taught_schema(teacher.networks, metadata))
    return skipped


def _settings(job: TeachJob, items: Sequence[Item]) -> dict[str, Any]:
    return {
        "teacher": file_sha256(job.teacher / "checkpoint.pt"),
        "images": str(job.images.resolve()),
        "truth_sha256": job.truth and file_sha256(job.truth),
        "kinds": kinds_of(job.distortions),
        "sample": job.sample,
        "augmented": job.augmented,
        "split": job.split,
        "limit": job.limit,
        "pictures": identity(items),
    }


def _metadata(job: TeachJob, teacher: Teacher, settings: Mapping[str, Any], skipped: Sequence[str]) -> dict[str, Any]:
    return {
        "task": TAUGHT,
        "teacher": str(job.teacher.absolute()),
        "images": str(job.images.absolute()),
        "truth": job.truth and str(job.truth.absolute()),
        "networks": [{"task": task, "name": name} for task, name in teacher.networks],
        "distortions": [[kind, None] for kind in settings["kinds"]],
        "sample": job.sample,
        "augmented": job.augmented,
        "skipped": list(skipped),
        "settings": dict(settings),
        "created_by": CREATED_BY,
    }


def _rows(job: TeachJob, teacher: Teacher, item: Item) -> list[dict[str, Any]] | PictureError:
    try:
        rgb, content_hash = read_picture(job.images / item.picture)
    except PictureError as error:
        return error
    names = [column(task, name) for task, name in teacher.networks]
    rows = []
    for seed in seeds_of(job.augmented, content_hash):
        shown = augment(rgb, seed)[0]
        versions = versions_of(job.distortions, job.sample, content_hash, seed)
        confidences = teacher([apply(shown, version) for version in versions]).tolist()
        common = {"picture": item.picture, "content_hash": content_hash, "split": item.split, "augmentation": seed}
        for version, answers in zip(versions, confidences, strict=True):
            distortion = {"distortion": version.kind, "strength": version.strength}
            rows.append({**common, **distortion, **dict(zip(names, answers, strict=True))})
    return rows


def _part_schema(teacher: Teacher, skipped: list[str]) -> pa.Schema:
    return taught_schema(teacher.networks, {"task": TAUGHT, "skipped": skipped})


@click.command("teach")
@click.option("--teacher", type=click.Path(path_type=Path), required=True, help="Finished run of --target confidence.")
@click.option("--images", type=click.Path(path_type=Path), required=True, help="Folder of the pictures.")
@click.option("--truth", type=click.Path(path_type=Path), help="CSV or COCO JSON; only its splits are read.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the table.")
@click.option(
    "--distortions", default="all", show_default=True, callback=distortions_option, help="Words KIND, or all."
)
@click.option("--sample", type=click.IntRange(1), default=3, show_default=True, help="Distortions of each version.")
@click.option("--augmented", type=click.IntRange(1), default=1, show_default=True, help="Random crops of each picture.")
@click.option("--split", help="Only this split of the truth.")
@click.option("--limit", type=click.IntRange(1), help="Only the first N pictures.")
@click.option("--workers", type=click.IntRange(1), default=os.cpu_count() or 1, help="Default: one a CPU.")
@click.pass_context
def command(context: click.Context, /, **options: Any) -> None:
    """Ask a trained network about distorted crops of pictures, and keep its confidences as OUT/taught.parquet."""
    skipped = teach(TeachJob(**options), show_progress=True)
    if skipped:
        click.echo(f"{len(skipped)} pictures could not be decoded and were skipped:", err=True)
        for line in skipped:
            click.echo(f"  {line}", err=True)
        context.exit(1)
