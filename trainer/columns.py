"""Columns of a label table as arrays, and which of its rows belong together."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamfilter.consumers.detections import Detections
from streamfilter.consumers.matching import Objects
from streamfilter.distort import PRISTINE
from streamfilter.errors import InputError


def _codes(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    encoded = column.dictionary_encode(null_encoding="encode").combine_chunks()
    return np.asarray(encoded.indices, dtype=np.int64)


def row_keys(table: pa.Table) -> npt.NDArray[np.int64]:
    """(N,) one number for each (picture, augmentation, distortion, strength), whatever the network."""
    codes = [_codes(table[name]) for name in ("picture", "augmentation", "distortion", "strength")]
    return np.unique(np.stack(codes, axis=1), axis=0, return_inverse=True)[1].ravel()


def aligned(
    keys: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], wanted: npt.NDArray[np.int64], network: str
) -> npt.NDArray[np.int64]:
    """`rows` of one network in the order of the keys `wanted`."""
    order = rows[np.argsort(keys[rows], kind="stable")]
    ranks = np.searchsorted(keys[order], wanted)
    if len(rows) != len(wanted) or not np.array_equal(keys[order][np.minimum(ranks, len(order) - 1)], wanted):
        raise InputError(f"the rows of network {network} are not those of the others: label the pictures again")
    return order[ranks]


def pristine_rows(table: pa.Table, network: str) -> npt.NDArray[np.int64]:
    """(N,) for each row of one network, the row of the same picture and augmentation without distortion."""
    sources = np.stack([_codes(table["picture"]), _codes(table["augmentation"])], axis=1)
    sources = np.unique(sources, axis=0, return_inverse=True)[1].ravel()
    pristine = np.flatnonzero(np.array(table["distortion"].to_pylist()) == PRISTINE)
    found = np.full(sources.max() + 1, -1)
    found[sources[pristine]] = pristine
    if (found < 0).any():
        raise InputError(f"network {network} has pictures without a pristine row: label them again")
    return found[sources]


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
