"""More rows for a label table: the same networks asked about augmented pictures."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa

from streamfilter.digest import file_sha256
from streamfilter.distort import Distortion
from streamfilter.errors import ConfigError, InputError
from streamfilter.frame import RGB
from trainer.augment import augment
from trainer.networks import Network, load_network
from trainer.outcomes import Row, in_order, progress, rows_of
from trainer.pictures import Item, list_items, read_picture
from trainer.tables import schema
from trainer.utility import Objects


def relabel(
    table_metadata: Mapping[str, Any],
    items: Iterable[tuple[str, int, Distortion]],
    weights_dir: Path | None = None,
    device: str = "cpu",
    workers: int | None = None,
    show_progress: bool = False,
) -> pa.Table:
    """Ask the networks of a table again, about augmented pictures.

    The augmentation comes first, so the augmented pristine picture is the new reference of the distorted one.

    Args:
        table_metadata: `metadata_of` the table to extend.
        items: (picture, augmentation seed >= 1, distortion); those of one picture and seed should stand together.
        weights_dir: folder of torchvision's weight files; None to download them.
        device: `cpu` or `cuda`.
        workers: pictures asked about at once; None for one a CPU.
        show_progress: whether to draw a bar on standard error.

    Returns:
        Rows of the same schema with `augmentation` = the seed: a pristine and a distorted one for each network.

    Raises:
        InputError: a picture is not in the table's truth, or the truth or a network is not what it was.
        ModelError: a network cannot be used.
        PictureError: a picture cannot be decoded.
        ConfigError: a seed is under 1.
    """
    images, truth = Path(table_metadata["images"]), table_metadata["truth"]
    task = str(table_metadata["task"])
    pristine = table_metadata.get("reference") == "pristine"
    known = {item.picture: item for item in list_items(images, truth and Path(truth), task, pristine)}
    networks = [load_network(network["source"], task, weights_dir, device) for network in table_metadata["networks"]]
    _check_unchanged(table_metadata, networks)
    if truth and file_sha256(Path(truth)) != table_metadata["settings"]["truth_sha256"]:
        raise InputError(f"truth {truth} is not the one the table was made with: label again")
    wanted = _grouped(items, known)

    def ask(group: tuple[Item, int, tuple[Distortion, ...]]) -> list[Row]:
        item, seed, distortions = group
        rgb, content_hash = read_picture(images / item.picture)
        return rows_of(*augment_item(item, rgb, seed), content_hash, distortions, networks, seed)

    columns = schema(task, table_metadata)
    with closing(in_order(ask, wanted, workers or os.cpu_count() or 1)) as answers:
        parts = [
            pa.Table.from_pylist(rows, schema=columns)
            for rows in progress(answers, task, len(wanted), 0, show_progress)
        ]
    return pa.concat_tables([columns.empty_table(), *parts]).combine_chunks()


def augment_item(item: Item, rgb: RGB, seed: int) -> tuple[Item, RGB]:
    """A picture augmented with this seed, and its item with the objects that are left."""
    boxes = None if item.objects is None else item.objects.boxes
    rgb, boxes, kept = augment(rgb, seed, boxes)
    if item.objects is not None and boxes is not None:
        item = Item(item.picture, item.split, objects=Objects(boxes, item.objects.category_ids[kept]))
    return item, rgb


def _check_unchanged(table_metadata: Mapping[str, Any], networks: Sequence[Network]) -> None:
    for before, network in zip(table_metadata["networks"], networks, strict=True):
        if before["sha256"] != network.sha256:
            raise InputError(f"network {network.source} is not the one the table was made with: label again")


def _grouped(
    items: Iterable[tuple[str, int, Distortion]], known: Mapping[str, Item]
) -> list[tuple[Item, int, tuple[Distortion, ...]]]:
    groups: dict[tuple[str, int], list[Distortion]] = {}
    for picture, seed, distortion in items:
        if seed < 1:
            raise ConfigError(f"augmentation seed {seed} of {picture}: seeds start at 1, 0 means none")
        if picture not in known:
            raise InputError(f"{picture} is not among the pictures the table was made from")
        groups.setdefault((picture, seed), []).append(distortion)
    return [(known[picture], seed, tuple(dict.fromkeys(them))) for (picture, seed), them in groups.items()]
