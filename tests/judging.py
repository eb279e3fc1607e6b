"""Small label and score tables, written by hand."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from trainer.tables import schema

QUALITIES = (5.0, 10.0, 50.0)
NETWORKS = {"classification": ("calm", "bold"), "detection": ("near", "far")}
LEFT, RIGHT = [0.0, 0.0, 0.5, 1.0], [0.5, 0.0, 1.0, 1.0]


def survives(source: int, quality: float | None, network: int) -> bool:
    """Whether a network is right: the higher the source's number, the lower a quality it stands."""
    return quality is None or quality * (1 + source) > 20 + 10 * network


def decision(task: str, right: bool) -> dict[str, object]:
    """One network's decision on one picture."""
    if task == "classification":
        top = 0.95 if right else 0.6
        return {
            "reference_class": 3, "predicted_class": 3 if right else 8,
            "correct_probability": top if right else 0.05, "top_probability": top,
        }  # fmt: skip
    return {
        "boxes": LEFT if right else RIGHT, "scores": [0.9], "category_ids": [1],
        "truth_boxes": LEFT, "truth_category_ids": [1],
    }  # fmt: skip


def write_labels(
    folder: Path, task: str, sources: range = range(6), qualities: tuple[float, ...] = QUALITIES,
    networks: tuple[str, ...] = (),
) -> Path:  # fmt: skip
    """`folder/<task>.parquet` of these sources, pristine and at these qualities."""
    folder.mkdir(parents=True, exist_ok=True)
    names = networks or NETWORKS[task]
    rows = [
        {"picture": f"p{source}.png", "content_hash": f"{task}{source}", "split": "test",
         "distortion": "pristine" if quality is None else "jpeg", "strength": quality,
         "network": name, "augmentation": 0, **decision(task, survives(source, quality, place))}
        for source in sources for quality in (None, *qualities) for place, name in enumerate(names)
    ]  # fmt: skip
    metadata = {"task": task, "images": "pictures", "networks": [{"name": name} for name in names]}
    pq.write_table(pa.Table.from_pylist(rows, schema=schema(task, metadata)), folder / f"{task}.parquet")
    return folder


def write_scores(path: Path, sources: range = range(6), **columns: object) -> Path:
    """A score table of both tasks' sources; `columns` are functions of (task, source, quality) or leave the default.

    The model `ours` scores what a picture stands; the rivals are `energy` (the source's number), `ssim` (the quality),
    `fisher_information` and `jpeg_quality` (not defined for pristine pictures).
    """
    scorers = {
        "ours:classification": lambda task, source, quality: min(0.98, (quality or 101) * (1 + source) / 51),
        "ours:detection": lambda task, source, quality: min(0.98, (quality or 101) * (1 + source) / 51),
        "energy": lambda task, source, quality: float(source),
        "ssim": lambda task, source, quality: 1 - 1 / (quality or 101),
        "fisher_information": lambda task, source, quality: 1e3 * source + (quality or 101),
        "jpeg_quality": lambda task, source, quality: float("nan") if quality is None else quality,
        **columns,
    }
    rows = [
        {"picture": f"p{source}.png", "content_hash": f"{task}{source}", "split": "test",
         "distortion": "pristine" if quality is None else "jpeg", "strength": quality, "images": "pictures",
         **{name: scorer(task, source, quality) for name, scorer in scorers.items()}}
        for task in NETWORKS for source in sources for quality in (None, *QUALITIES)
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path
