"""A long table written in parts: whole files under a hidden folder, merged at the end, so that a run can go on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from streamfilter.errors import ConfigError, InputError, OutputError, PictureError
from trainer.outcomes import in_order, progress
from trainer.tables import METADATA_KEY, metadata_of

PICTURES_PER_PART = 25
ROWS_PER_GROUP = 20_000
LATER_SETTINGS = {"reference": "truth", "sample": None, "augmented": 0}
"""What tables that were begun before there were these settings meant."""

Row = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Parts:
    """`<out>/<task>.parquet` and, while it is being made, `<out>/.<task>-parts/`."""

    out: Path
    """Folder of the finished table."""
    task: str
    """Names the table."""
    settings: Mapping[str, Any]
    """What the rows depend on, as JSON values; a table is only continued under the same ones."""

    @property
    def table(self) -> Path:
        """The finished table."""
        return self.out / f"{self.task}.parquet"

    @property
    def folder(self) -> Path:
        """The unfinished one."""
        return self.out / f".{self.task}-parts"

    def open(self) -> None:
        """Make the folder, or check that the one that is there was begun with the same settings.

        Raises:
            ConfigError: it was begun with others; the message names them.
            OutputError: the folder cannot be written.
        """
        note = self.folder / "settings.json"
        try:
            if self.table.exists():
                self._check(metadata_of(pq.read_schema(self.table), self.table).get("settings", {}), self.table)
            elif note.exists():
                self._check(json.loads(note.read_text(encoding="utf-8")), self.folder)
            else:
                shutil.rmtree(self.folder, ignore_errors=True)
                self.folder.mkdir(parents=True)
                write_beside(note, json.dumps(self.settings, indent=1).encode())
        except (OSError, ValueError, pa.ArrowException) as error:
            raise OutputError(f"labels cannot be kept in {self.out}: {error}") from error

    def _check(self, found: Mapping[str, Any], where: Path) -> None:
        found = {**{key: value for key, value in LATER_SETTINGS.items() if key in self.settings}, **found}
        differing = [key for key in sorted({*self.settings, *found}) if self.settings.get(key) != found.get(key)]
        if differing:
            told = "; ".join(
                f"{key} was {_short(found.get(key))}, now {_short(self.settings.get(key))}" for key in differing
            )
            raise ConfigError(f"{where} was made with other settings ({told}): choose another --out or remove it")

    def has(self, index: int) -> bool:
        """Whether part `index` is finished."""
        return self._part(index).exists()

    def write(self, index: int, table: pa.Table) -> None:
        """Keep a finished part; it appears whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        try:
            write_beside(self._part(index), sink.getvalue().to_pybytes())
        except OSError as error:
            raise OutputError(f"{self._part(index)} cannot be written: {error}") from error

    def rows(self, index: int) -> pa.Table:
        """A finished part.

        Raises:
            InputError: it cannot be read.
        """
        try:
            return pq.read_table(self._part(index))
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{self._part(index)} cannot be read ({error}): remove it and run again") from error

    def fill(
        self,
        items: Sequence[T],
        ask: Callable[[T], list[Row] | PictureError],
        schema: Callable[[list[str]], pa.Schema],
        workers: int,
        show_progress: bool = False,
    ) -> tuple[int, list[str]]:
        """Make the parts that are missing.

        Args:
            items: what the table is about, `PICTURES_PER_PART` of them a part.
            ask: the rows of one, or why it has none; called in threads.
            schema: of a part, by the lines of those that have none.
            workers: asked at once.
            show_progress: whether to draw a bar on standard error.

        Returns:
            How many parts there are, and a line for each item without rows.

        Raises:
            InputError: a part of an earlier run cannot be read, or no item has rows; then no part is kept.
            OutputError: a part cannot be written.
        """
        chunks = [items[start : start + PICTURES_PER_PART] for start in range(0, len(items), PICTURES_PER_PART)]
        left = [index for index in range(len(chunks)) if not self.has(index)]
        missing = [item for index in left for item in chunks[index]]
        with closing(in_order(ask, missing, workers)) as answers:
            shown = iter(progress(answers, self.task, len(items), len(items) - len(missing), show_progress))
            for index in left:
                self.write(index, _table(islice(shown, len(chunks[index])), schema))
        parts = [self.rows(index).schema for index in range(len(chunks))]
        skipped = [line for part in parts for line in json.loads(part.metadata[METADATA_KEY])["skipped"]]
        if skipped and len(skipped) == len(items):
            shutil.rmtree(self.folder, ignore_errors=True)
            raise InputError(f"none of the {len(items)} pictures can be used, the first because {skipped[0]}")
        return len(chunks), skipped

    def merge(self, count: int, schema: pa.Schema) -> None:
        """Join parts 0 to `count` - 1 into the table, then remove them.

        Raises:
            InputError: a part is missing or damaged.
            OutputError: the table cannot be written.
        """
        unfinished = self.out / f".{self.task}.parquet.unfinished"
        try:
            with pq.ParquetWriter(unfinished, schema, compression="zstd") as writer:
                for group in self._groups(count, schema):
                    writer.write_table(group)
            unfinished.replace(self.table)
        except OSError as error:
            raise OutputError(f"{self.table} cannot be written: {error}") from error
        finally:
            unfinished.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _groups(self, count: int, schema: pa.Schema) -> Iterator[pa.Table]:
        pending: list[pa.Table] = []
        for index in range(count):
            pending.append(self.rows(index).replace_schema_metadata(schema.metadata))
            if sum(part.num_rows for part in pending) >= ROWS_PER_GROUP or index == count - 1:
                yield pa.concat_tables(pending).combine_chunks()
                pending = []

    def _part(self, index: int) -> Path:
        return self.folder / f"{index:05d}.parquet"


def _table(answers: Iterable[list[Row] | PictureError], schema: Callable[[list[str]], pa.Schema]) -> pa.Table:
    rows: list[Row] = []
    skipped: list[str] = []
    for answer in answers:
        if isinstance(answer, PictureError):
            skipped.append(str(answer))
        else:
            rows.extend(answer)
    return pa.Table.from_pylist(rows, schema=schema(skipped))


def write_beside(path: Path, data: bytes) -> None:
    """Write a file so that it appears whole or not at all."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        unfinished.write_bytes(data)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
