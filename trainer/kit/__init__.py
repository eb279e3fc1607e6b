"""`python -m trainer kit`: a user's own pictures in the folders that the other commands expect."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from streamfilter.errors import ConfigError, InputError, OutputError
from trainer.kit.folders import Filling, Made, fill_classification, fill_detection, fill_extra
from trainer.kit.placing import Placing
from trainer.kit.steps import LABELLING, UNSEEN, check_networks, commands, name_networks, to_json
from trainer.parts import write_beside

CREATED_BY = "streamfilter trainer, kit 1"
NOTE = "kit.json"

__all__ = ["KitJob", "command", "make_kit"]


@dataclass(frozen=True)
class KitJob:
    """Which data to lay out as a kit, and how.

    Raises:
        ConfigError: there is no data, an option lacks its other half, or a number is out of range.
    """

    out: Path
    """Folder of the kit."""
    imagenet_val: Path | None = None
    """ImageNet's validation pictures; None for none."""
    imagenet_truth: Path | None = None
    """CSV file,class_index; None when `imagenet_val` has a folder a class."""
    coco: Path | None = None
    """COCO's pictures; None for none."""
    coco_annotations: Path | None = None
    """COCO's instances JSON."""
    photographs: Path | None = None
    """Pictures without ground truth; None for none."""
    networks: tuple[str, ...] = LABELLING
    """torchvision's names of the networks that label."""
    unseen: tuple[str, ...] = UNSEEN
    """torchvision's names of the networks that are asked for tables only."""
    weights_dir: Path | None = None
    """Folder of torchvision's weight files; None to download them when labelling."""
    test_share: float = 0.2
    """Share of the test split in expectation, 0 to below 1."""
    seed: int = 0
    """Decides the split."""
    shorter_side: int | None = None
    """Largest shorter side of a picture, pixels; None keeps every size."""
    link: bool = False
    """Whether pictures that keep their size are linked instead of copied."""
    workers: int = os.cpu_count() or 1
    """Pictures at once."""

    def __post_init__(self) -> None:
        if not any((self.imagenet_val, self.coco, self.photographs)):
            raise ConfigError("no pictures: give --imagenet-val, --coco or --photographs")
        if (self.coco is None) != (self.coco_annotations is None):
            raise ConfigError("--coco and --coco-annotations belong together: give both or none")
        if self.imagenet_truth and not self.imagenet_val:
            raise ConfigError("--imagenet-truth needs --imagenet-val")
        if not 0 <= self.test_share < 1:
            raise ConfigError(f"test share {self.test_share}: wanted 0 to below 1")
        if self.shorter_side is not None and self.shorter_side < 1:
            raise ConfigError(f"shorter side {self.shorter_side}: wanted at least 1 pixel")
        for source in (self.imagenet_val, self.coco, self.photographs):
            if source and _overlap(source.resolve(), self.out.resolve()):
                raise ConfigError(f"the kit {self.out} and the pictures in {source} lie in each other: move one")


def make_kit(job: KitJob, show_progress: bool = False) -> dict[str, Any]:
    """Lay out the folders, and note in `kit.json` what they are; what is there already is kept.

    A kit may be made in several runs, one data set each, with the same split and size.

    Returns:
        The content of `kit.json`: created_by, settings, folders (pictures, splits, unreadable), networks, commands.

    Raises:
        InputError: data is missing or unreadable.
        ConfigError: a network is unknown or missing, or the kit was begun with other settings.
        ModelError: a weight file is missing.
        OutputError: the kit cannot be written.
    """
    networks = name_networks(job.networks, job.unseen)
    settings = {"test_share": job.test_share, "seed": job.seed, "shorter_side": job.shorter_side}
    known = _known_folders(job.out, settings)
    wanted = {"classification": job.imagenet_val, "detection": job.coco, "extra": job.photographs}
    names = [name for name in wanted if wanted[name] or name in known]
    check_networks(networks, names, job.weights_dir)
    made = {**known, **{name: one.to_json() for name, one in _fill(job, show_progress).items()}}
    note = {
        "created_by": CREATED_BY,
        "settings": settings,
        "folders": made,
        "networks": to_json(networks),
        "commands": commands(job.out, made, networks, job.weights_dir),
    }
    try:
        write_beside(job.out / NOTE, (json.dumps(note, indent=1) + "\n").encode())
    except OSError as error:
        raise OutputError(f"{job.out / NOTE} cannot be written: {error}") from error
    return note


def _fill(job: KitJob, show_progress: bool) -> dict[str, Made]:
    placing = Placing(job.shorter_side, job.link)
    filling = Filling(job.out, placing, job.test_share, job.seed, job.workers, show_progress)
    made = {}
    if job.imagenet_val:
        made["classification"] = fill_classification(job.imagenet_val, job.imagenet_truth, filling)
    if job.coco and job.coco_annotations:
        made["detection"] = fill_detection(job.coco, job.coco_annotations, filling)
    if job.photographs:
        made["extra"] = fill_extra(job.photographs, filling)
    return made


def _known_folders(out: Path, settings: dict[str, Any]) -> dict[str, Any]:
    note = out / NOTE
    if not note.exists():
        return {}
    try:
        content = json.loads(note.read_text(encoding="utf-8"))
        before, folders = content["settings"], dict(content["folders"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{note} cannot be read ({error!r}): remove it and run again for every data set") from error
    differing = [f"{name} was {before.get(name)}, now {value}" for name, value in settings.items()
                 if before.get(name) != value]  # fmt: skip
    if differing:
        raise ConfigError(f"the kit {out} was made with other settings ({'; '.join(differing)}): choose another --out")
    return folders


def _overlap(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)


def _names(context: click.Context, option: click.Parameter, text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


@click.command("kit")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the kit.")
@click.option("--imagenet-val", type=click.Path(path_type=Path), help="ImageNet validation: a folder a class, or any.")
@click.option("--imagenet-truth", type=click.Path(path_type=Path), help="CSV file,class_index for --imagenet-val.")
@click.option("--coco", type=click.Path(path_type=Path), help="COCO's pictures, such as val2017.")
@click.option("--coco-annotations", type=click.Path(path_type=Path), help="COCO JSON, such as instances_val2017.json.")
@click.option("--photographs", type=click.Path(path_type=Path), help="Pictures without ground truth.")
@click.option(
    "--networks", default=",".join(LABELLING), callback=_names, show_default=True, help="Networks that label."
)
@click.option(
    "--unseen", default=",".join(UNSEEN), callback=_names, show_default=True, help="Networks for tables only."
)
@click.option("--weights-dir", type=click.Path(path_type=Path), help="Folder of torchvision's weight files.")
@click.option("--test-share", type=float, default=0.2, show_default=True, help="Share of the test split.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the split.")
@click.option("--shorter-side", type=click.IntRange(1), help="Resize larger pictures (JPEG 92, 4:4:4).")
@click.option("--link", is_flag=True, help="Symbolic links instead of copies, for pictures that keep their size.")
@click.option("--workers", type=click.IntRange(1), default=os.cpu_count() or 1, help="Default: one a CPU.")
@click.pass_context
def command(context: click.Context, /, **options: Any) -> None:
    """Lay out your own pictures as OUT/classification, detection and extra, and print the commands to run next."""
    job = KitJob(**options)
    note = make_kit(job, show_progress=True)
    unreadable = [line for one in note["folders"].values() for line in one["unreadable"]]
    for name, one in note["folders"].items():
        splits = ", ".join(f"{split} {count}" for split, count in sorted(one["splits"].items()))
        click.echo(f"{job.out / name}: {one['pictures']} pictures ({splits})", err=True)
    for line in note["commands"]:
        click.echo(line)
    if unreadable:
        click.echo(f"{len(unreadable)} pictures could not be read and were left out:", err=True)
        for line in unreadable:
            click.echo(f"  {line}", err=True)
        context.exit(1)
