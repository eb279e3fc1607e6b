"""`python -m trainer label`: pictures -> what networks say about them, pristine and distorted -> a table."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import pyarrow as pa

from streamfilter.digest import file_sha256
from streamfilter.distort import JPEG_QUALITIES, Distortion, parse
from streamfilter.errors import ConfigError, PictureError
from streamfilter.spec import TASKS
from trainer.alone import alone_in
from trainer.networks import Network, load_network
from trainer.outcomes import Row, rows_of
from trainer.parts import Parts
from trainer.pictures import Item, identity, list_items, read_picture, select
from trainer.relabel import augment_item, relabel
from trainer.tables import metadata_of, read_table, schema
from trainer.versions import kinds_of, seeds_of, versions_of

REFERENCES = ("truth", "pristine")
CREATED_BY = "streamfilter trainer, label table 1"

__all__ = ["LabelJob", "command", "label", "relabel"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelJob:
    """Which pictures to label, how, and by whom."""

    task: str
    """`classification` or `detection`."""
    images: Path
    """Folder of the pictures."""
    networks: tuple[str, ...]
    """ONNX paths or torchvision names."""
    out: Path
    """Folder of the table."""
    truth: Path | None = None
    """CSV or COCO JSON; None when the pristine decision is the reference."""
    distortions: tuple[Distortion, ...] = tuple(Distortion("jpeg", quality) for quality in JPEG_QUALITIES)
    """What to do to each picture; with `sample`, only the kinds count."""
    split: str | None = None
    """Only the pictures of this split of the truth; None for all."""
    limit: int | None = None
    """Only the first so many pictures; None for all."""
    weights_dir: Path | None = None
    """Folder of torchvision's weight files; None to download them."""
    device: str = "cpu"
    """`cpu` or `cuda`."""
    workers: int = os.cpu_count() or 1
    """Pictures asked about at once."""
    sample: int | None = None
    """Distortions drawn for each picture from these kinds, strengths at random; None for all the given ones."""
    reference: str = "truth"
    """`truth`, or `pristine`: what networks say of the pristine picture; then only splits are read from `truth`."""
    augmented: int = 0
    """Label so many augmented versions of each picture in its place, see `augment`; 0 for the picture itself."""


def label(job: LabelJob, show_progress: bool = False) -> list[str]:
    """Make `<out>/<task>.parquet`, going on where an earlier run with the same settings stopped.

    Returns:
        One line for each picture that was skipped because it cannot be decoded.

    Raises:
        InputError: pictures or truth are missing or unreadable.
        ModelError: a network cannot be used.
        ConfigError: the job is contradictory, or `out` holds labels made with other settings.
        OutputError: the table cannot be written, or another process is at it.
    """
    known = list_items(job.images, job.truth, job.task, job.reference == "pristine")
    items = select(known, job.split, job.limit)
    networks = _load_networks(job)
    settings = _settings(job, items, networks)
    parts = Parts(job.out, job.task, settings)
    parts.open()
    if parts.table.exists():
        logger.info("%s is complete, nothing to do", parts.table)
        return list(metadata_of(read_table(parts.table))["skipped"])
    ask, part_schema = partial(_rows, job, networks), partial(_part_schema, job.task)
    with alone_in(parts.folder):
        count, skipped = parts.fill(items, ask, part_schema, job.workers, show_progress)
        parts.merge(count, schema(job.task, _metadata(job, networks, settings, skipped)))
    return skipped


def _load_networks(job: LabelJob) -> list[Network]:
    networks = [load_network(name, job.task, job.weights_dir, job.device, threads=1) for name in job.networks]
    names = [network.name for network in networks]
    if not names or len(set(names)) != len(names):
        raise ConfigError(f"networks need different names, at least one; got {', '.join(names) or 'none'}")
    return networks


def _settings(job: LabelJob, items: Sequence[Item], networks: Sequence[Network]) -> dict[str, Any]:
    return {
        "reference": job.reference,
        "sample": job.sample,
        "augmented": job.augmented,
        "task": job.task,
        "images": str(job.images.resolve()),
        "truth_sha256": job.truth and file_sha256(job.truth),
        "networks": [[network.name, network.sha256] for network in networks],
        "distortions": [[kind, None] for kind in kinds_of(job.distortions)]
        if job.sample
        else [[distortion.kind, distortion.strength] for distortion in job.distortions],
        "split": job.split,
        "limit": job.limit,
        "pictures": identity(items),
    }


def _metadata(
    job: LabelJob, networks: Sequence[Network], settings: Mapping[str, Any], skipped: Sequence[str]
) -> dict[str, Any]:
    return {
        "task": job.task,
        "images": str(job.images.absolute()),
        "truth": job.truth and str(job.truth.absolute()),
        "networks": [{"name": one.name, "source": one.source, "sha256": one.sha256} for one in networks],
        "distortions": settings["distortions"],
        "sample": settings["sample"],
        "augmented": settings["augmented"],
        "reference": settings["reference"],
        "skipped": list(skipped),
        "settings": dict(settings),
        "created_by": CREATED_BY,
    }


def _rows(job: LabelJob, networks: Sequence[Network], item: Item) -> list[Row] | PictureError:
    try:
        rgb, content_hash = read_picture(job.images / item.picture)
    except PictureError as error:
        return error
    rows = []
    for seed in seeds_of(job.augmented, content_hash):
        shown = augment_item(item, rgb, seed) if seed else (item, rgb)
        versions = versions_of(job.distortions, job.sample, content_hash, seed)
        rows += rows_of(*shown, content_hash, versions, networks, seed)
    return rows


def _part_schema(task: str, skipped: list[str]) -> pa.Schema:
    return schema(task, {"task": task, "skipped": skipped})


def distortions_option(context: click.Context, option: click.Parameter, text: str) -> tuple[Distortion, ...]:
    """Distortions of a command line, see `streamfilter.distort.parse`."""
    try:
        return parse(text)
    except ConfigError as error:
        raise click.BadParameter(str(error)) from error


@click.command("label")
@click.option("--task", type=click.Choice(TASKS), required=True, help="What the networks do.")
@click.option("--images", type=click.Path(path_type=Path), required=True, help="Folder of the pictures.")
@click.option("--truth", type=click.Path(path_type=Path), help="CSV path,class_index[,split] or COCO JSON.")
@click.option("--networks", required=True, help="ONNX files or torchvision names, separated by commas.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the table.")
@click.option(
    "--distortions",
    default="jpeg=" + ",".join(map(str, JPEG_QUALITIES)),
    show_default=True,
    callback=distortions_option,
    help="Words KIND, KIND=STRENGTH,... or all; `python -m trainer sheet` shows them.",
)
@click.option("--sample", type=click.IntRange(1), help="Draw N of these kinds a picture, at random strengths.")
@click.option(
    "--reference",
    type=click.Choice(REFERENCES),
    default="truth",
    show_default=True,
    help="What is right: the truth, or the networks on the pristine picture (TRUTH gives splits).",
)
@click.option(
    "--augmented",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Label N random crops of each picture, mirrored and relit, in its place.",
)
@click.option("--split", help="Only this split of the truth.")
@click.option("--limit", type=click.IntRange(1), help="Only the first N pictures.")
@click.option("--workers", type=click.IntRange(1), default=os.cpu_count() or 1, help="Default: one a CPU.")
@click.option("--weights-dir", type=click.Path(path_type=Path), help="Folder of torchvision's weight files.")
@click.option("--device", type=click.Choice(("cpu", "cuda")), default="cpu", show_default=True)
@click.pass_context
def command(context: click.Context, /, networks: str, **options: Any) -> None:
    """Ask networks about pictures, pristine and distorted, and keep what they say as OUT/TASK.parquet."""
    names = tuple(name.strip() for name in networks.split(",") if name.strip())
    skipped = label(LabelJob(networks=names, **options), show_progress=True)
    if skipped:
        click.echo(f"{len(skipped)} pictures could not be decoded and were skipped:", err=True)
        for line in skipped:
            click.echo(f"  {line}", err=True)
        context.exit(1)
