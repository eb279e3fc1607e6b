"""The label table: what every network said about every (picture, distortion), and the labels derived from it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from streamfilter.errors import ConfigError, InputError, InputNotFoundError
from trainer.columns import aligned, detections_of, pristine_rows, row_keys, truth_of
from trainer.continuous import continuous_utility, detection_confidence, opinion_score
from trainer.operators import combine, combine_continuous, share_useful
from trainer.utility import LEFT_OUT, NON_USEFUL, classification_utility, detection_utility

METADATA_KEY = b"streamfilter"
TAUGHT = "taught"
"""Stands where a label table has its task, in one that a trained network made, see `trainer.taught`."""
LEAST_SCORE = 0.05
MOST_DETECTIONS = 100
LATER_COLUMNS = ("correct_rank",)
"""Columns that tables of an earlier version lack."""
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
        ("correct_rank", pa.int32()),
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
    none), top_probability, correct_rank (of the reference class, 1 = top, null for none).
    Detection: boxes (4K values xyxy, fractions 0-1), scores (K, at least `LEAST_SCORE`, at most `MOST_DETECTIONS`),
    category_ids (K COCO ids), truth_boxes (4G values), truth_category_ids (G).
    """
    return pa.schema([*_COMMON, *_OF_TASK[task]], metadata={METADATA_KEY: json.dumps(metadata)})


def read_table(path: Path) -> pa.Table:
    """A label table; the columns that a table of an earlier version lacks are added, null in every row.

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
    wanted = schema(metadata_of(table, path)["task"], {})
    for name in LATER_COLUMNS:
        if name in wanted.names and name not in table.column_names:
            table = table.append_column(wanted.field(name), pa.nulls(table.num_rows, wanted.field(name).type))
    if table.column_names != wanted.names:
        raise InputError(f"label table {path} has the columns {table.column_names}, expected {wanted.names}")
    if not table.num_rows:
        raise InputError(f"label table {path} has no rows: remove it and label again")
    try:
        return table.cast(wanted.with_metadata(table.schema.metadata))
    except pa.ArrowException as error:
        raise InputError(f"label table {path} holds other values than a label table: {error}") from error


def metadata_of(table: pa.Table | pa.Schema, where: object = "table") -> dict[str, Any]:
    """What the table was made from: task, images, truth, networks, distortions, skipped, created_by.

    Raises:
        InputError: it carries none, so it is not a label table.
    """
    schema_ = table if isinstance(table, pa.Schema) else table.schema
    try:
        found: dict[str, Any] = json.loads((schema_.metadata or {})[METADATA_KEY])
        known = found["task"] in (*_OF_TASK, TAUGHT)
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
    operator: str = "unanimous",
    rejection: float = 0.5,
    continuous_operator: str = "mean",
    rank_depth: int = 10,
) -> pa.Table:
    """Utilities and the combined label of every (picture, distortion, augmentation), pristine ones included.

    Args:
        table: a label table.
        high: T_H of classification.
        low: T_L of classification.
        confidence: least score of a detection; not under `LEAST_SCORE`, below which detections were not kept.
        iou: least IoU of detection.
        count_wrong_pristine: see `detection_utility`; it changes the binary utilities only.
        operator: makes one label of the networks' utilities, see `combine`.
        rejection: phi_rec, see `continuous_utility`.
        continuous_operator: makes one value of the networks' continuous utilities, see `combine_continuous`.
        rank_depth: R of the opinion score, see `opinion_score`.

    Returns:
        Table with `KEY_COLUMNS` and the columns below. Rows stand in the order of the table's first network.
        utility_<network>: int8, a column a network: 1, 0 or -1.
        label: int8, the same of all networks together.
        share: float32 share of ones among the networks that do not leave the picture out, NaN where all do.
        phi_<network>: float32 confidence the network gives the truth, 0-1; NaN where its pristine decision is wrong or
            there is no reference. A detector's is 0 where its best right detection is under `LEAST_SCORE`.
        continuous_<network>: float32 utility of eq. (2), NaN where phi is.
        continuous: float32, the same of all networks that have one together, NaN where none has.
        mcos: float32 mean of the networks' opinion scores, 0-1, NaN where phi is; only for a classification table with
            ranks, and NaN in its rows without.

    Raises:
        ConfigError: `confidence` is under `LEAST_SCORE`, or another setting is out of its range.
        InputError: a network lacks rows that another has, or a pristine row is missing.
    """
    if confidence < LEAST_SCORE:
        raise ConfigError(f"confidence {confidence} is under {LEAST_SCORE}: the table keeps no weaker detections")
    networks = table["network"].unique().to_pylist()
    if not networks:
        raise InputError("the label table has no rows")
    keys, names = row_keys(table), np.array(table["network"].dictionary_encode().combine_chunks().indices)
    first_rows = np.flatnonzero(names == 0)
    ranked = "correct_rank" in table.column_names and table["correct_rank"].null_count < table.num_rows
    utilities, phis, values, opinions = [], [], [], []
    for code, network in enumerate(networks):
        mine = table.take(pa.array(aligned(keys, np.flatnonzero(names == code), keys[first_rows], network)))
        pristine = pristine_rows(mine, network)
        if metadata_of(table)["task"] == "classification":
            utility, phi = _classification(mine, pristine, high, low)
            if ranked:
                ranks = mine["correct_rank"].cast(pa.float64()).to_numpy()
                opinions.append(opinion_score(phi, ranks, rank_depth))
        else:
            utility, phi = _detection(mine, pristine, confidence, iou, count_wrong_pristine)
        utilities.append(utility)
        phis.append(phi)
        values.append(continuous_utility(phi, phi[pristine], rejection))
    columns = {
        **_named("utility", networks, utilities),
        "label": combine(np.stack(utilities, axis=1), operator),
        "share": share_useful(np.stack(utilities, axis=1)),
        **_named("phi", networks, phis),
        **_named("continuous", networks, values),
        "continuous": combine_continuous(np.stack(values, axis=1), continuous_operator),
    }
    if opinions:
        columns["mcos"] = combine_continuous(np.stack(opinions, axis=1), "mean")
    derived = table.take(pa.array(first_rows)).select(list(KEY_COLUMNS))
    for name, column in columns.items():
        derived = derived.append_column(name, pa.array(column))
    return derived


def _named(what: str, networks: Sequence[str], columns: Sequence[npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    return {f"{what}_{network}": column for network, column in zip(networks, columns, strict=True)}


def _classification(
    table: pa.Table, pristine: npt.NDArray[np.int64], high: float, low: float
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    reference, predicted = table["reference_class"].to_numpy(), table["predicted_class"].to_numpy()
    probability = table["correct_probability"].to_numpy()
    utilities = classification_utility(reference, predicted[pristine], predicted, probability, high, low)
    right = (predicted[pristine] == reference) & (reference >= 0)
    return utilities, np.where(right, probability, np.float32(np.nan))


def _detection(
    table: pa.Table, pristine: npt.NDArray[np.int64], confidence: float, iou: float, count_wrong_pristine: bool
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    truth, detections = truth_of(table), detections_of(table)
    utilities = detection_utility(truth, [detections[row] for row in pristine], detections, confidence, iou)
    wrong = utilities == LEFT_OUT
    phi = detection_confidence(truth, detections, iou)
    phi[wrong] = np.nan
    return np.where(wrong & count_wrong_pristine, np.int8(NON_USEFUL), utilities), phi
