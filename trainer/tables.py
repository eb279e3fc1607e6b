"""The label table: what every network said about every (picture, distortion), and the labels derived from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from streamfilter.errors import ConfigError, InputError, InputNotFoundError
from trainer.distort import PRISTINE
from trainer.networks.base import Detections
from trainer.utility import Objects, classification_utility, combine, detection_utility

METADATA_KEY = b"streamfilter"
LEAST_SCORE = 0.05
MOST_DETECTIONS = 100
KEY_COLUMNS = ("picture", "content_hash", "split", "distortion", "strength", "augmentation")

_COMMON = [
    ("picture", pa.string()),
    ("content_hash", pa.string()),
    ("split", pa.string()),
    ("distortion", pa.string()),
    ("strength", pa.float64()),
    ("network", pa.string()),
    ("augmentation", pa.int32()),
]
_OF_TASK = {
    "classification": [
        ("reference_class", pa.int32()),
        ("predicted_class", pa.int32()),
        ("correct_probability", pa.float32()),
        ("top_probability", pa.float32()),
    ],
    "detection": [
        ("boxes", pa.list_(pa.float32())),
        ("scores", pa.list_(pa.float32())),
        ("category_ids", pa.list_(pa.int32())),
        ("truth_boxes", pa.list_(pa.float32())),
        ("truth_category_ids", pa.list_(pa.int32())),
    ],
}


def schema(task: str, metadata: Mapping[str, Any]) -> pa.Schema:
    """The table's columns for a task, with `metadata` as JSON under `METADATA_KEY`.

    Common columns: picture (relative to the pictures' root), content_hash (hex SHA-256 of the file), split, distortion,
    strength (null for pristine), network, augmentation (seed, 0 for none).
    Classification: reference_class (-1 for none), predicted_class, correct_probability (of the reference class, NaN for
    none), top_probability.
    Detection: boxes (4K values xyxy, fractions 0-1), scores (K, at least `LEAST_SCORE`, at most `MOST_DETECTIONS`),
    category_ids (K COCO ids), truth_boxes (4G values), truth_category_ids (G).
    """
    return pa.schema([*_COMMON, *_OF_TASK[task]], metadata={METADATA_KEY: json.dumps(metadata)})


def read_table(path: Path) -> pa.Table:
    """A label table.

    Raises:
        InputNotFoundError: there is no such file.
        InputError: it is not a label table.
    """
    if not path.is_file():
        raise InputNotFoundError(f"no label table {path}; make one with `python -m trainer label`")
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"label table {path} cannot be read: {error}") from error
    wanted = schema(metadata_of(table, path)["task"], {}).names
    if table.column_names != wanted:
        raise InputError(f"label table {path} has the columns {table.column_names}, expected {wanted}")
    return table


def metadata_of(table: pa.Table | pa.Schema, where: object = "table") -> dict[str, Any]:
    """What the table was made from: task, images, truth, networks, distortions, skipped, created_by.

    Raises:
        InputError: it carries none, so it is not a label table.
    """
    schema_ = table if isinstance(table, pa.Schema) else table.schema
    try:
        found: dict[str, Any] = json.loads((schema_.metadata or {})[METADATA_KEY])
        known = found["task"] in _OF_TASK
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"{where} is not a label table: its metadata lacks {METADATA_KEY.decode()}") from error
    if not known:
        raise InputError(f"{where} is a label table of the unknown task {found['task']!r}")
    return found


def derive(
    table: pa.Table,
    high: float = 0.9,
    low: float = 0.1,
    confidence: float = 0.5,
    iou: float = 0.5,
    count_wrong_pristine: bool = False,
) -> pa.Table:
    """Utilities and the combined label of every (picture, distortion, augmentation), pristine ones included.

    Args:
        table: a label table.
        high: T_H of classification.
        low: T_L of classification.
        confidence: least score of a detection; not under `LEAST_SCORE`, below which detections were not kept.
        iou: least IoU of detection.
        count_wrong_pristine: see `detection_utility`.

    Returns:
        Table with `KEY_COLUMNS`, one `utility_<network>` int8 for each network and `label` int8; 1, 0 or -1. Rows stand
        in the order of the table's first network.

    Raises:
        ConfigError: `confidence` is under `LEAST_SCORE`.
        InputError: a network lacks rows that another has, or a pristine row is missing.
    """
    if confidence < LEAST_SCORE:
        raise ConfigError(f"confidence {confidence} is under {LEAST_SCORE}: the table keeps no weaker detections")
    task, networks = metadata_of(table)["task"], table["network"].unique().to_pylist()
    if not networks:
        raise InputError("the label table has no rows")
    keys = _row_keys(table)
    names = np.array(table["network"].dictionary_encode().combine_chunks().indices)
    first_rows = np.flatnonzero(names == 0)
    columns: dict[str, npt.NDArray[np.int8]] = {}
    for code, network in enumerate(networks):
        rows = _aligned(keys, np.flatnonzero(names == code), keys[first_rows], network)
        mine = table.take(pa.array(rows))
        pristine = _pristine_rows(mine, network)
        columns[f"utility_{network}"] = (
            _classification(mine, pristine, high, low)
            if task == "classification"
            else _detection(mine, pristine, confidence, iou, count_wrong_pristine)
        )
    columns["label"] = combine(np.stack(list(columns.values()), axis=1))
    derived = table.take(pa.array(first_rows)).select(list(KEY_COLUMNS))
    for name, values in columns.items():
        derived = derived.append_column(name, pa.array(values))
    return derived


def _codes(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    encoded = column.dictionary_encode(null_encoding="encode").combine_chunks()
    return np.asarray(encoded.indices, dtype=np.int64)


def _row_keys(table: pa.Table) -> npt.NDArray[np.int64]:
    """(N,) one number for each (picture, augmentation, distortion, strength), whatever the network."""
    codes = [_codes(table[name]) for name in ("picture", "augmentation", "distortion", "strength")]
    return np.unique(np.stack(codes, axis=1), axis=0, return_inverse=True)[1].ravel()


def _aligned(
    keys: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], wanted: npt.NDArray[np.int64], network: str
) -> npt.NDArray[np.int64]:
    """`rows` of one network in the order of the keys `wanted`."""
    order = rows[np.argsort(keys[rows], kind="stable")]
    ranks = np.searchsorted(keys[order], wanted)
    if len(rows) != len(wanted) or not np.array_equal(keys[order][np.minimum(ranks, len(order) - 1)], wanted):
        raise InputError(f"the rows of network {network} are not those of the others: label the pictures again")
    return order[ranks]


def _pristine_rows(table: pa.Table, network: str) -> npt.NDArray[np.int64]:
    """(N,) for each row of one network, the row of the same picture and augmentation without distortion."""
    sources = np.stack([_codes(table["picture"]), _codes(table["augmentation"])], axis=1)
    sources = np.unique(sources, axis=0, return_inverse=True)[1].ravel()
    pristine = np.flatnonzero(np.array(table["distortion"].to_pylist()) == PRISTINE)
    found = np.full(sources.max() + 1, -1)
    found[sources[pristine]] = pristine
    if (found < 0).any():
        raise InputError(f"network {network} has pictures without a pristine row: label them again")
    return found[sources]


def _classification(table: pa.Table, pristine: npt.NDArray[np.int64], high: float, low: float) -> npt.NDArray[np.int8]:
    predicted = table["predicted_class"].to_numpy()
    return classification_utility(
        table["reference_class"].to_numpy(),
        predicted[pristine],
        predicted,
        table["correct_probability"].to_numpy(),
        high,
        low,
    )


def _detection(
    table: pa.Table, pristine: npt.NDArray[np.int64], confidence: float, iou: float, count_wrong_pristine: bool
) -> npt.NDArray[np.int8]:
    detections = detections_of(table)
    before = [detections[row] for row in pristine]
    return detection_utility(truth_of(table), before, detections, confidence, iou, count_wrong_pristine)


def detections_of(table: pa.Table) -> list[Detections]:
    """The detections of each row of a detection table."""
    columns = (_arrays(table[name]) for name in ("boxes", "scores", "category_ids"))
    return [
        Detections(boxes.reshape(-1, 4), scores, ids.astype(np.int64))
        for boxes, scores, ids in zip(*columns, strict=True)
    ]


def truth_of(table: pa.Table) -> list[Objects]:
    """The ground-truth objects of each row of a detection table."""
    columns = (_arrays(table[name]) for name in ("truth_boxes", "truth_category_ids"))
    return [Objects(boxes.reshape(-1, 4), ids.astype(np.int64)) for boxes, ids in zip(*columns, strict=True)]


def _arrays(column: pa.ChunkedArray) -> list[npt.NDArray[Any]]:
    whole = column.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = pa.concat_arrays(whole.chunks)
    values, bounds = np.asarray(whole.values), np.asarray(whole.offsets)
    return [values[start:end] for start, end in pairwise(bounds)]
