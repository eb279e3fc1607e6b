"""What is judged: rows of label tables with what the networks said, and every scorer's score of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from streamfilter.distort import JPEG_QUALITIES, PRISTINE
from streamfilter.errors import ConfigError, InputError, InputNotFoundError
from streamfilter.spec import TASKS
from trainer.tables import derive, metadata_of, read_table

Floats = npt.NDArray[np.float64]
Utilities = npt.NDArray[np.int8]
ROWS = ("paper", "unseen-jpeg", "all", "with-pristine")
"""JPEG at the paper's nine qualities; at any other; every distorted row; and the pristine ones too."""

DECISION_COLUMNS = (
    "reference_class", "predicted_class", "top_probability",
    "boxes", "scores", "category_ids", "truth_boxes", "truth_category_ids",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Evidence:
    """N rows of one task, one a (source, distortion, strength), as M networks decided on them."""

    task: str
    """`classification` or `detection`."""
    networks: tuple[str, ...]
    """The M networks."""
    content_hash: npt.NDArray[np.str_]
    """(N,) hash of the source picture."""
    distortion: npt.NDArray[np.str_]
    """(N,) kind of distortion."""
    strength: Floats
    """(N,) in the kind's own unit, NaN for pristine."""
    label: Utilities
    """(N,) combined label with margins: 1, 0 or -1."""
    margin: Utilities
    """(N, M) utility with margins: 1, 0 or -1."""
    plain: Utilities
    """(N, M) utility without margins, -1 where the pristine decision was wrong."""
    continuous: Floats
    """(N,) continuous utility averaged over the networks, NaN where none counts."""
    distorted: tuple[pa.Table, ...]
    """M tables of N rows: what each network decided, the `DECISION_COLUMNS` of its task."""
    pristine: tuple[pa.Table, ...]
    """The same of the N rows' pristine versions."""
    models: tuple[str, ...] = ()
    """Scorers whose score is a probability with the threshold 0.5; keys of `scores`."""
    scores: Mapping[str, Floats] = field(default_factory=dict)
    """(N,) of every scorer: models, oracles, rivals; higher is more useful, NaN where a rival is not defined."""
    heads: Mapping[tuple[str, str], Floats] = field(default_factory=dict)
    """(N,) of (model, network): the model's own head for one network."""
    across: Mapping[str, Floats] = field(default_factory=dict)
    """(N,) of `<model>:<task>`: the model's head for another task."""

    def __len__(self) -> int:
        return len(self.content_hash)

    def take(self, rows: npt.NDArray[Any]) -> Evidence:
        """These rows only.

        Args:
            rows: (N,) bool or (K,) indices.
        """
        places = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        changes: dict[str, Any] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, np.ndarray):
                changes[one.name] = value[places]
            elif isinstance(value, Mapping):
                changes[one.name] = {key: array[places] for key, array in value.items()}
            elif one.name in ("distorted", "pristine"):
                changes[one.name] = tuple(table.take(pa.array(places)) for table in value)
        return replace(self, **changes)

    def select(self, rows: str) -> Evidence:
        """The rows of one of `ROWS`.

        Raises:
            ConfigError: `rows` is none of them.
            InputError: no row is left.
        """
        jpeg, trained = self.distortion == "jpeg", np.isin(self.strength, JPEG_QUALITIES)
        choices = {
            "paper": jpeg & trained,
            "unseen-jpeg": jpeg & ~trained,
            "all": self.distortion != PRISTINE,
            "with-pristine": np.ones(len(self), dtype=bool),
        }
        if rows not in choices:
            raise ConfigError(f"unknown rows {rows!r}, known: {', '.join(ROWS)}")
        if not choices[rows].any():
            raise InputError(f"the {self.task} tables hold no row of the kind {rows!r}: choose others with --rows")
        return self.take(choices[rows])

    def identities(self) -> list[tuple[str, str, float | None]]:
        """(content hash, distortion, strength or None for pristine) of every row."""
        strengths = [None if np.isnan(one) else float(one) for one in self.strength]
        return list(zip(self.content_hash.tolist(), self.distortion.tolist(), strengths, strict=True))


def label_paths(folders: Sequence[Path]) -> dict[str, list[Path]]:
    """The label tables of each task in these folders.

    Raises:
        InputNotFoundError: a folder holds no label table.
    """
    found: dict[str, list[Path]] = {}
    for folder in folders:
        paths = [folder / f"{task}.parquet" for task in TASKS if (folder / f"{task}.parquet").is_file()]
        if not paths:
            raise InputNotFoundError(f"no label table in {folder}; make one with `python -m trainer label`")
        for path in paths:
            found.setdefault(path.stem, []).append(path)
    return found


def load_evidence(paths: Sequence[Path]) -> Evidence:
    """The rows of one task's label tables, without scores; a row that stands in two tables counts once.

    Rows with an augmentation are left out: what was scored is the picture as it is.

    Raises:
        InputError: a table cannot be read, or the tables' networks differ.
    """
    parts = [_load_table(path) for path in paths]
    for path, part in zip(paths, parts, strict=True):
        if set(part.networks) != set(parts[0].networks):
            raise InputError(f"{path} was labelled by other networks than {paths[0]}: judge them one after the other")
    parts = [_reordered(part, parts[0].networks) for part in parts]
    whole = parts[0] if len(parts) == 1 else _joined(parts)
    firsts: dict[tuple[str, str, float | None], int] = {}
    for place, key in enumerate(whole.identities()):
        firsts.setdefault(key, place)
    return whole if len(firsts) == len(whole) else whole.take(np.fromiter(firsts.values(), np.int64))


def _load_table(path: Path) -> Evidence:
    table = read_table(path)
    task = metadata_of(table, path)["task"]
    table = table.filter(pc.equal(table["augmentation"], 0))
    derived = derive(table)
    plain = derive(table, high=0.0, low=1.0) if task == "classification" else derived
    networks = tuple(table["network"].unique().to_pylist())
    keys = list(zip(*(derived[name].to_pylist() for name in ("picture", "distortion", "strength")), strict=True))
    distorted, pristine = zip(*(_versions(table, network, keys) for network in networks), strict=True)
    return Evidence(
        task,
        networks,
        np.array(derived["content_hash"].to_pylist(), dtype=np.str_),
        np.array(derived["distortion"].to_pylist(), dtype=np.str_),
        np.array([np.nan if one is None else one for one in derived["strength"].to_pylist()]),
        derived["label"].to_numpy(),
        np.stack([derived[f"utility_{network}"].to_numpy() for network in networks], axis=1),
        np.stack([plain[f"utility_{network}"].to_numpy() for network in networks], axis=1),
        derived["continuous"].to_numpy().astype(np.float64),
        distorted,
        pristine,
    )


def _versions(
    table: pa.Table, network: str, keys: Sequence[tuple[str, str, float | None]]
) -> tuple[pa.Table, pa.Table]:
    """One network's rows in the order of `keys`, and their pristine versions."""
    mine = table.filter(pc.equal(table["network"], network)).replace_schema_metadata(None)
    columns = (mine[name].to_pylist() for name in ("picture", "distortion", "strength"))
    places = {key: place for place, key in enumerate(zip(*columns, strict=True))}
    distorted = pa.array([places[key] for key in keys])
    pristine = pa.array([places[picture, PRISTINE, None] for picture, _, _ in keys])
    decided = mine.select([name for name in DECISION_COLUMNS if name in mine.column_names])
    return decided.take(distorted), decided.take(pristine)


def _reordered(part: Evidence, networks: tuple[str, ...]) -> Evidence:
    order = [part.networks.index(network) for network in networks]
    return replace(
        part,
        networks=networks,
        margin=part.margin[:, order],
        plain=part.plain[:, order],
        distorted=tuple(part.distorted[place] for place in order),
        pristine=tuple(part.pristine[place] for place in order),
    )


def _joined(parts: Sequence[Evidence]) -> Evidence:
    changes: dict[str, Any] = {}
    for one in fields(Evidence):
        values = [getattr(part, one.name) for part in parts]
        if isinstance(values[0], np.ndarray):
            changes[one.name] = np.concatenate(values)
        elif one.name in ("distorted", "pristine"):
            changes[one.name] = tuple(pa.concat_tables(tables) for tables in zip(*values, strict=True))
    return replace(parts[0], **changes)
