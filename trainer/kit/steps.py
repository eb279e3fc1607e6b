"""Which networks the kit names, and the commands that come after it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from streamfilter.errors import ConfigError, ModelError
from trainer.networks.torchvision import NETWORKS, weight_file_name

LABELLING = (
    "inception_v3",
    "vgg19",
    "densenet121",
    "fasterrcnn_resnet50_fpn",
    "ssd300_vgg16",
    "ssdlite320_mobilenet_v3_large",
)
UNSEEN = (
    "alexnet",
    "resnext50_32x4d",
    "efficientnet_b7",
    "maskrcnn_resnet50_fpn",
    "retinanet_resnet50_fpn",
    "fasterrcnn_mobilenet_v3_large_fpn",
)
UNSEEN_DISTORTIONS = "jpeg=4,6,10,15,22,40"
"""Qualities between those that are trained on."""
TASKS_OF = {
    "classification": ("classification",),
    "detection": ("detection",),
    "extra": ("classification", "detection"),
}
TRUTH_OF = {"classification": "labels.csv", "detection": "instances.json", "extra": "pictures.json"}


@dataclass(frozen=True)
class Named:
    """A network as `kit.json` names it."""

    name: str
    """torchvision's name."""
    task: str
    """`classification` or `detection`."""
    role: str
    """`labels`, or `unseen`: asked for tables only."""


def name_networks(labelling: Sequence[str], unseen: Sequence[str]) -> list[Named]:
    """The networks with their tasks and roles.

    Raises:
        ConfigError: a name is unknown, or stands twice.
    """
    names = [*labelling, *unseen]
    unknown = [name for name in names if name not in NETWORKS]
    if unknown:
        raise ConfigError(f"unknown network {unknown[0]!r}, known: {', '.join(NETWORKS)}")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"network {twice[0]} is named twice: a network that labels is not unseen")
    roles = ["labels"] * len(labelling) + ["unseen"] * len(unseen)
    return [Named(name, NETWORKS[name].task, role) for name, role in zip(names, roles, strict=True)]


def check_networks(networks: Sequence[Named], folders: Sequence[str], weights_dir: Path | None) -> None:
    """Make sure every task of these folders has a labelling network, and that the weights it needs are there.

    Raises:
        ConfigError: a task has no labelling network.
        ModelError: `weights_dir` lacks a file.
    """
    tasks = {task for folder in folders for task in TASKS_OF[folder]}
    for task in sorted(tasks):
        if not names_of(networks, task, "labels"):
            known = ", ".join(name for name, published in NETWORKS.items() if published.task == task)
            raise ConfigError(f"no labelling network for {task}: name one of {known}")
    if weights_dir is None:
        return
    files = {one.name: weight_file_name(one.name) for one in networks if one.task in tasks}
    missing = [f"{file} ({name})" for name, file in files.items() if not (weights_dir / file).is_file()]
    if missing:
        raise ModelError(f"{weights_dir} lacks {', '.join(missing)}: put them there or name other networks")


def names_of(networks: Sequence[Named], task: str, role: str) -> list[str]:
    """The networks of a task in a role."""
    return [one.name for one in networks if (one.task, one.role) == (task, role)]


def commands(
    out: Path, folders: Mapping[str, Mapping[str, Any]], networks: Sequence[Named], weights_dir: Path | None
) -> list[str]:
    """The commands to run next, in order: labels of each split, training, evaluation.

    Args:
        out: the kit.
        folders: each folder's entry in `kit.json`.
        networks: those of `kit.json`.
        weights_dir: folder of torchvision's weight files; None to download them.
    """
    weights = [] if weights_dir is None else ["--weights-dir", str(weights_dir)]
    made: list[list[str]] = []
    labels: dict[str, list[Path]] = {"dev": [], "test": []}
    for folder, split, role in _tables(folders):
        table = out / "labels" / _table_name(folder, split, role)
        asked = [task for task in TASKS_OF[folder] if names_of(networks, task, role)]
        made += [[*_label(out, folder, split, task, names_of(networks, task, role), table, role), *weights]
                 for task in asked]  # fmt: skip
        if role == "labels":
            labels[split] = list(dict.fromkeys([*labels[split], table]))
    tasks = sorted({task for folder in folders for task in TASKS_OF[folder]})
    run = out / "runs" / "resnet18"
    if labels["dev"]:
        train = ["--model", "resnet18", "--tasks", ",".join(tasks), "--out", str(run), *weights]
        made.append(["train", *_repeated(labels["dev"]), *train])
    if labels["dev"] and labels["test"]:
        made.append(["evaluate", str(run), *_repeated(labels["test"])])
    return [f"python -m trainer {shlex.join(command)}" for command in made]


def to_json(networks: Sequence[Named]) -> list[dict[str, str]]:
    """As in `kit.json`."""
    return [asdict(one) for one in networks]


def _tables(folders: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str, str]]:
    for split, role in (("dev", "labels"), ("test", "labels"), ("test", "unseen")):
        yield from (
            (folder, split, role) for folder in TASKS_OF if folders.get(folder, {}).get("splits", {}).get(split)
        )


def _table_name(folder: str, split: str, role: str) -> str:
    return ("extra-" if folder == "extra" else "") + ("unseen" if role == "unseen" else split)


def _label(out: Path, folder: str, split: str, task: str, networks: Sequence[str], table: Path, role: str) -> list[str]:
    pictures = ["--images", str(out / folder), "--truth", str(out / folder / TRUTH_OF[folder]), "--split", split]
    reference = ["--reference", "pristine"] if folder == "extra" else []
    distortions = ["--distortions", UNSEEN_DISTORTIONS] if role == "unseen" else []
    asked = ["--networks", ",".join(networks), "--out", str(table)]
    return ["label", "--task", task, *pictures, *reference, *distortions, *asked]


def _repeated(tables: Sequence[Path]) -> list[str]:
    return [word for table in tables for word in ("--labels", str(table))]
