"""Which distorted pictures a score table has: every distinct one of some label tables."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from streamfilter.distort import Distortion
from streamfilter.errors import InputError, InputNotFoundError
from streamfilter.spec import TASKS
from trainer.runs import RunFolder
from trainer.tables import KEY_COLUMNS, metadata_of


@dataclass
class Source:
    """A picture and all that is done to it."""

    images: str
    """Folder of the pictures, as the label table names it."""
    picture: str
    """The file, relative to it."""
    content_hash: str
    """Hex SHA-256 of the file when it was labelled."""
    split: str
    """As the truth said; empty when it did not."""
    distortions: dict[Distortion, None]
    """In order of first appearance."""


def plan(folders: Sequence[Path]) -> list[Source]:
    """The pictures of every label table in these folders, with each distinct distortion of the unaugmented picture.

    Raises:
        InputNotFoundError: a folder is missing or has no label table.
        InputError: a table cannot be read, two tables disagree about a picture's content, or there is no picture.
    """
    sources: dict[tuple[str, str], Source] = {}
    known: dict[tuple[str, float | None], Distortion] = {}
    for path in _tables(folders):
        for images, record in _records(path):
            source = sources.setdefault(
                (images, record["picture"]),
                Source(images, record["picture"], record["content_hash"], record["split"], {}),
            )
            if source.content_hash != record["content_hash"]:
                raise InputError(f"{record['picture']} in {path} has another content than in the table before it")
            key = (record["distortion"], record["strength"])
            source.distortions[known.setdefault(key, Distortion(*key))] = None
    if not sources:
        raise InputError(f"{', '.join(map(str, folders))}: no row is of a picture without augmentation, none to score")
    return list(sources.values())


def held_back(sources: Iterable[Source], run: Path) -> list[Source]:
    """Those that a training run held back.

    Raises:
        InputError: the run has no split, or held none of them back.
    """
    known = set(RunFolder(run).read_split()["held_back"])
    found = [source for source in sources if source.content_hash in known]
    if not found:
        raise InputError(f"{run} held back no picture of these label tables: name those that it was trained on")
    return found


def digest(sources: Iterable[Source]) -> str:
    """Hex SHA-256 of a plan."""
    found = hashlib.sha256()
    for source in sources:
        steps = [[one.kind, one.strength] for one in source.distortions]
        found.update(json.dumps([source.images, source.picture, source.content_hash, source.split, steps]).encode())
    return found.hexdigest()


def _tables(folders: Sequence[Path]) -> list[Path]:
    tables = []
    for folder in folders:
        found = [folder / f"{task}.parquet" for task in TASKS if (folder / f"{task}.parquet").is_file()]
        if not found:
            raise InputNotFoundError(f"no label table in {folder}; make one with `python -m trainer label`")
        tables += found
    return tables


def _records(path: Path) -> Iterable[tuple[str, dict[str, Any]]]:
    """Folder of the pictures and key columns of each distinct unaugmented row, a batch of rows at a time."""
    try:
        with pq.ParquetFile(path) as file:
            images = str(Path(metadata_of(file.schema_arrow, path)["images"]).resolve())
            for batch in file.iter_batches(columns=list(KEY_COLUMNS)):
                rows = pa.Table.from_batches([batch]).filter(pc.equal(pc.field("augmentation"), 0))
                for record in rows.group_by(list(KEY_COLUMNS), use_threads=False).aggregate([]).to_pylist():
                    yield images, record
    except (pa.ArrowException, OSError, KeyError) as error:
        raise InputError(f"label table {path} cannot be read: {error}") from error
