"""What labelling detectors still find of the objects of distorted pictures, as maps to be learned."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamfilter.consumers.matching import flatten, matches
from streamfilter.distort import Distortion
from trainer.columns import detections_of, truth_of
from trainer.dataset import LabelTable, Row
from trainer.tables import read_table

IOU = 0.5
CENTRE = 0.3
"""Side of the middle part of an object's box that stands for it, as a share of the box's."""
LEAST = 1e-4
"""Score of an object that is not found: more than that of a place without one, which is 0."""
Map = npt.NDArray[np.float32]
Key = tuple[str, Distortion, int]


@dataclass(frozen=True, eq=False)
class Found:
    """The G objects of a picture, and how sure a detector is of each that it finds rightly."""

    boxes: npt.NDArray[np.float32]
    """(G, 4) float32, xyxy, fractions of the picture, 0-1."""
    scores: npt.NDArray[np.float32]
    """(G,) float32, 0-1: the best score of a detection that matches the object; 0 for none."""


class FoundObjects:
    """What each detector finds in each picture of the label tables.

    Args:
        tables: label tables; those of detection are read.
        columns: (task, network) of each column of the maps, None for a column without a network.
    """

    def __init__(self, tables: Iterable[LabelTable], columns: Sequence[tuple[str, str] | None]) -> None:
        self._columns = [None if column is None else column[1] for column in columns]
        self._found: dict[Key, dict[str, Found]] = {}
        for table in tables:
            if table.task == "detection":
                self._add(table)

    def maps(self, rows: Sequence[Row], cells: int) -> Map:
        """(N, columns, cells, cells) float32 targets of the maps, see `draw`; NaN where a network said nothing."""
        maps = np.full((len(rows), len(self._columns), cells, cells), np.nan, dtype=np.float32)
        for row, of_row in zip(rows, maps, strict=True):
            found = self._found.get((row.content_hash, row.distortion, row.augmentation), {})
            for network, target in zip(self._columns, of_row, strict=True):
                if network in found:
                    target[:] = draw(found[network], cells)
        return maps

    def _add(self, table: LabelTable) -> None:
        columns = read_table(table.path)
        names = ("content_hash", "distortion", "strength", "augmentation", "network")
        truth, found = truth_of(columns), detections_of(columns)
        objects, detections = flatten(truth), flatten(found)
        which, of_object = matches(detections, objects, IOU)
        best = np.zeros(len(objects.rows), dtype=np.float32)
        np.maximum.at(best, of_object, detections.scores[which])
        firsts = np.searchsorted(objects.rows, np.arange(len(truth) + 1))
        keys = zip(*(columns[name].to_pylist() for name in names), strict=True)
        for index, (source, kind, strength, augmentation, network) in enumerate(keys):
            scores = best[firsts[index] : firsts[index + 1]]
            of_row = self._found.setdefault((source, Distortion(kind, strength), augmentation), {})
            of_row[network] = Found(truth[index].boxes, scores)


def draw(found: Found, cells: int) -> Map:
    """What a detector finds where.

    Args:
        found: the objects of a picture.
        cells: places along each side of the map.

    Returns:
        (cells, cells) float32: an object's score in the middle of its box, the highest where several meet; NaN in the
        rest of the boxes, which is left open; 0 outside of them.
    """
    drawn = np.zeros((cells, cells), dtype=np.float32)
    for left, top, right, bottom in found.boxes * cells:
        drawn[_span(top, bottom, cells), _span(left, right, cells)] = np.nan
    for (left, top, right, bottom), score in zip(found.boxes * cells, found.scores, strict=True):
        middle = _middle(top, bottom, cells), _middle(left, right, cells)
        drawn[middle] = np.fmax(np.where(drawn[middle] > 0, drawn[middle], LEAST), score)
    return drawn


def _span(first: float, last: float, cells: int) -> slice:
    return slice(max(0, int(first)), min(cells, int(np.ceil(last))))


def _middle(first: float, last: float, cells: int) -> slice:
    centre, reach = (first + last) / 2, (last - first) * CENTRE / 2
    return slice(max(0, int(centre - reach)), min(cells, int(centre + reach) + 1))
