"""How often the cause that a dropped picture gets is the distortion it really has."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image

from benchmarks.outcome import RESULTS, Outcome, record
from benchmarks.trust_cases.detectors import KIT
from streamfilter import Frame, StreamFilter
from streamfilter.distort import KINDS, Distortion, apply
from trainer.causes.examples import CAUSE_OF

MODEL = "utility-nano"
NOTHING = "none"
ASKED = "at least 85 % of the causes right on single distortions of the kit's test pictures"


@dataclass(frozen=True)
class Told:
    """What the filter said of one distorted picture."""

    kind: str
    level: int
    """1 (mild) to 5 (hard)."""
    cause: str
    """What it said, or `none`."""
    is_dropped: bool
    """Whether the default settings drop it."""

    @property
    def is_right(self) -> bool:
        """Whether it said what people call the distortion."""
        return self.cause == CAUSE_OF[self.kind].value


@click.command()
@click.option("--pictures", type=int, help="Only so many of the test pictures, evenly spread [all].")
@click.option("--workers", default=os.cpu_count() or 1, show_default=True)
@click.option("--kit", type=click.Path(path_type=Path), default=KIT, show_default=True, help="Labelled photographs.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS, show_default=True)
def causes(pictures: int | None, workers: int, kit: Path, out: Path) -> None:
    """Causes told of single distortions, the ten kinds at their five levels, against the distortion made."""
    record("trust", "causes", out, partial(measure, kit, pictures, workers), model=MODEL, quick=pictures is not None)


def measure(kit: Path, at_most: int | None, workers: int) -> Outcome:
    """Distort every test picture in every way; count the dropped ones, and all of them beside."""
    paths = test_pictures(kit)
    paths = paths[:: max(1, len(paths) // at_most)][:at_most] if at_most else paths
    with ProcessPoolExecutor(workers) as pool:
        told = [one for part in pool.map(tell, paths) for one in part]
    dropped = [one for one in told if one.is_dropped]
    names = [cause.value for cause in dict.fromkeys(CAUSE_OF.values())]
    figures = {
        "test pictures": len(paths),
        "distorted pictures": len(told),
        "dropped by the default model and thresholds (these count)": len(dropped),
        "right, of the dropped": share(dropped),
        "mean over the six causes, of the dropped": float(np.mean([share(of_cause(dropped, name)) for name in names])),
        "right, of all distorted ones, those still useful included": share(told),
    }
    return Outcome(ASKED, figures, [*(_row(name, of_cause(dropped, name), told, names) for name in names)])


def _row(name: str, dropped: Sequence[Told], told: Sequence[Told], names: Sequence[str]) -> dict[str, Any]:
    """One row of the confusion matrix, of dropped pictures; and how it is split over distortions."""
    called = Counter(one.cause for one in dropped)
    kinds = [kind for kind, cause in CAUSE_OF.items() if cause.value == name]
    split = ", ".join(f"{kind} {share(of_kind(dropped, [kind])):.3f}" for kind in kinds)
    return {
        "true cause": name,
        "dropped": len(dropped),
        "right": share(dropped),
        "right of all levels": share(of_cause(told, name)),
        **{f"called {other}": called[other] for other in [*names, NOTHING]},
        "right by distortion": split,
    }


def of_cause(told: Iterable[Told], name: str) -> list[Told]:
    """Those whose true cause this is."""
    return [one for one in told if CAUSE_OF[one.kind].value == name]


def of_kind(told: Iterable[Told], kinds: Sequence[str]) -> list[Told]:
    """Those with one of these distortions."""
    return [one for one in told if one.kind in kinds]


def share(told: Sequence[Told]) -> float:
    """Share of right ones; NaN of none."""
    return sum(one.is_right for one in told) / len(told) if told else float("nan")


def test_pictures(kit: Path) -> list[Path]:
    """The test pictures of both tasks."""
    with (kit / "classification" / "labels.csv").open(newline="") as file:
        classified = [row["path"] for row in csv.DictReader(file) if row["split"] == "test"]
    images = json.loads((kit / "detection" / "instances.json").read_text())["images"]
    detected = [image["file_name"] for image in images if image["split"] == "test"]
    return [*(kit / "classification" / name for name in classified), *(kit / "detection" / name for name in detected)]


def tell(path: Path) -> list[Told]:
    """What the filter says of one picture under every distortion, pixels alone given."""
    rgb = np.array(Image.open(path).convert("RGB"))
    stream_filter, told = _strict(), []
    for kind in CAUSE_OF:
        for level, strength in enumerate(KINDS[kind].levels, start=1):
            frame = Frame(path.name, 0, array=apply(rgb, Distortion(kind, strength)))
            (decision,), _ = stream_filter.decide([frame], stream_filter.new_state())
            cause = NOTHING if decision.cause is None else decision.cause.value
            told.append(Told(kind, level, cause, not _default().is_useful(dict(decision.utility or {}))))
    return told


@cache
def _strict() -> StreamFilter:
    """Drops everything, so that everything gets a cause."""
    return StreamFilter(model=MODEL, device="cpu", threads=1, threshold=1.0, max_gap_seconds=0)


@cache
def _default() -> StreamFilter:
    return StreamFilter(model=MODEL, device="cpu", threads=1)
