"""The taught table: what a trained network says that labelling networks would, of crops with distortions."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from streamfilter.errors import InputError, InputNotFoundError
from trainer.tables import KEY_COLUMNS, METADATA_KEY, TAUGHT, metadata_of

FILE = f"{TAUGHT}.parquet"
_TYPES = (pa.string(), pa.string(), pa.string(), pa.string(), pa.float64(), pa.int32())


def taught_schema(networks: Sequence[tuple[str, str]], metadata: Mapping[str, Any]) -> pa.Schema:
    """`KEY_COLUMNS` as in a label table, and phi_<task>_<network>: float32 confidence, 0-1, for each network."""
    keys = zip(KEY_COLUMNS, _TYPES, strict=True)
    answers = [(column(task, name), pa.float32()) for task, name in networks]
    return pa.schema([*keys, *answers], metadata={METADATA_KEY: json.dumps(metadata)})


def column(task: str, network: str) -> str:
    """The column of a network."""
    return f"phi_{task}_{network}"


def read_taught(path: Path) -> pa.Table:
    """A taught table.

    Raises:
        InputNotFoundError: there is no such file.
        InputError: it is not a taught table.
    """
    if not path.is_file():
        raise InputNotFoundError(f"no taught table {path}; make one with `python -m trainer teach`")
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"taught table {path} cannot be read: {error}") from error
    metadata = metadata_of(table, path)
    networks = [(one.get("task", ""), one["name"]) for one in metadata.get("networks", ())]
    if metadata["task"] != TAUGHT or table.column_names != taught_schema(networks, {}).names:
        raise InputError(f"{path} is not a taught table; make one with `python -m trainer teach`")
    return table


def confidences(record: Mapping[str, Any], networks: Sequence[tuple[str, str]]) -> tuple[float, ...]:
    """(A,) what the table says of each network in a row of it, NaN for those it does not know."""
    return tuple(float(record.get(column(task, name), math.nan)) for task, name in networks)
