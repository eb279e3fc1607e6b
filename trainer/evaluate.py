"""`python -m trainer evaluate`: judge a trained network on label tables, with the JPEG-quality oracle beside it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from streamfilter.distort import PRISTINE
from streamfilter.errors import InputError
from trainer.dataset import PRISTINE_QUALITY, Row, label_array, load_tables, merge, split_sources
from trainer.metrics import cross_fitted, figures, fit_platt, quality_oracle, thresholds_to_keep
from trainer.models import UtilityNet, load
from trainer.runs import RunFolder, command_line, sha256
from trainer.views import Pictures, prefetch

BATCH = 64
HELD_BACK = "held_back"
HALVES_SEED = 1
MARGINS = {"classification": (0.1, 0.9), "detection": (0.5, 0.5)}
"""Confidence of a non-useful and of a useful picture."""

Logits = npt.NDArray[np.float32]


def predict(net: UtilityNet, pictures: Pictures, show_progress: bool = False) -> Logits:
    """(N, T + A) float32 logits of the pictures, in full precision and evaluation mode.

    Raises:
        PictureError: a picture cannot be read.
    """
    net.eval()
    device = net.scale.device
    starts = range(0, len(pictures), BATCH)
    jobs = ((lambda first=first: pictures.batch(range(first, min(first + BATCH, len(pictures))))) for first in starts)
    logits = np.empty((len(pictures), len(net.scale)), dtype=np.float32)
    bar = tqdm(total=len(pictures), unit="picture", file=sys.stderr, disable=not show_progress, dynamic_ncols=True)
    with torch.inference_mode(), bar:
        for first, images in zip(starts, prefetch(jobs), strict=True):
            logits[first : first + len(images)] = net.all_logits(torch.from_numpy(images).to(device)).cpu().numpy()
            bar.update(len(images))
    return logits


def judge_held_back(
    logits: Logits, rows: Sequence[Row], tasks: Sequence[str]
) -> tuple[tuple[list[float], list[float]], dict[str, Any]]:
    """Calibrate on the held-back sources, and judge them without letting a source calibrate itself.

    Args:
        logits: (N, T) float32.
        rows: the N held-back rows.
        tasks: the T tasks.

    Returns:
        T scales and T biases fitted on all rows, and each task's figures from two cross-fitted halves of the sources.
    """
    labels = label_array(rows, len(tasks))
    first = split_sources({row.content_hash for row in rows}, 0.5, HALVES_SEED)
    in_first = np.array([row.content_hash in first for row in rows])
    fitted = []
    judged = {}
    for index, task in enumerate(tasks):
        known = ~np.isnan(labels[:, index])
        scores, truth = logits[known, index].astype(np.float64), labels[known, index]
        fitted.append(fit_platt(scores, truth))
        probabilities = cross_fitted(scores, truth, in_first[known])
        chosen = [row for row, keep in zip(rows, known, strict=True) if keep]
        judged[task] = task_figures(probabilities, truth, chosen)
    return ([scale for scale, _ in fitted], [bias for _, bias in fitted]), judged


def calibrate_networks(
    logits: Logits, rows: Sequence[Row], networks: Sequence[tuple[str, str]]
) -> tuple[list[float], list[float]]:
    """Scales and biases that turn the logits of single networks into probabilities of their own binary labels.

    They answer tables I and II, whose pictures are compressed by JPEG and whose classes the paper balances: so they are
    fitted on the rows with JPEG (all rows where those lack a class), and the classes count alike.

    Args:
        logits: (N, A) float32.
        rows: the N held-back rows; their confidences give the labels by the margins of eq. (5) and (6).
        networks: the A (task, network).
    """
    confidences = np.array([row.confidences for row in rows], dtype=np.float64).reshape(len(rows), len(networks))
    is_jpeg = np.array([row.distortion.kind == "jpeg" for row in rows], dtype=bool)
    scales, biases = [], []
    for index, (task, _) in enumerate(networks):
        phi = confidences[:, index]
        low, high = MARGINS[task]
        known = (phi < low) | (phi >= high)
        if len(np.unique(phi[known & is_jpeg] >= high)) == 2:
            known &= is_jpeg
        useful = phi[known] >= high
        scale, bias = fit_platt(logits[known, index].astype(np.float64), useful.astype(np.float64))
        # Classes that count alike: the prior odds are taken out.
        prior = np.log(max(1, useful.sum()) / max(1, (~useful).sum()))
        scales.append(scale)
        biases.append(float(bias - prior))
    return scales, biases


def task_figures(
    probabilities: npt.NDArray[np.float64], labels: npt.NDArray[np.float32], rows: Sequence[Row]
) -> dict[str, Any]:
    """Figures of one task's labelled rows; of those with JPEG, beside the oracle on the very same; and of each kind."""
    kinds = np.array([row.distortion.kind for row in rows])
    compressed = np.isin(kinds, ("jpeg", PRISTINE))
    jpeg, jpeg_labels = probabilities[compressed], labels[compressed]
    quality = np.array([row.quality for row in rows])[compressed]
    by_quality = []
    for value in np.unique(quality):
        here = quality == value
        part = figures(jpeg[here], jpeg_labels[here])
        name = None if value == PRISTINE_QUALITY else float(value)
        by_quality.append({"quality": name, **{key: part[key] for key in ("n0", "n1", "accuracy", "auroc")}})
    return {
        **figures(probabilities, labels),
        "sources": len({row.content_hash for row in rows}),
        "jpeg": figures(jpeg, jpeg_labels),
        "quality_oracle": quality_oracle(quality, jpeg_labels),
        "threshold_to_keep": thresholds_to_keep(probabilities, labels),
        "by_quality": by_quality,
        "by_kind": {kind: figures(probabilities[kinds == kind], labels[kinds == kind]) for kind in np.unique(kinds)},
    }


def markdown(judged: Mapping[str, Any]) -> str:
    """A table of each task's figures; at the right those of the JPEG and pristine rows, and the oracle on the same."""
    heads = ["task", "useful / not", "accuracy", "balanced accuracy", "AUROC", "AUPRC", "ECE"]
    heads += [f"{who}: {what}" for who in ("JPEG rows", "quality oracle") for what in ("balanced accuracy", "AUROC")]
    lines = [heads, ["---"] * len(heads)]
    for task, figure in judged.items():
        names = ("accuracy", "balanced_accuracy", "auroc", "auprc", "ece")
        values = [figure[name] for name in names]
        values += [figure[part][name] for part in ("jpeg", "quality_oracle") for name in ("balanced_accuracy", "auroc")]
        cells = ["-" if value is None else f"{value:.3f}" for value in values]
        lines.append([task, f"{figure['n1']} / {figure['n0']}", *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def evaluate(run: Path, labels: Sequence[str], name: str, command: str = "", device: str = "cpu") -> dict[str, Any]:
    """Judge a finished run on label tables of other pictures; the figures go to its `metrics.json` under `name`.

    Args:
        run: the run folder.
        labels: folders of label tables; test pictures are welcome here.
        name: of this evaluation.
        command: the command line, for the record.
        device: `cpu` or `cuda`.

    Returns:
        Figures for each task that the tables label.

    Raises:
        InputError: a table cannot be read, has no label, or holds a source picture the run was trained on.
        ModelError: the run is not finished.
    """
    folder, net = RunFolder(run), load(run).to(torch.device(device))
    recipe = folder.read_json("run.json")["config"]
    tasks = [task for task in net.tasks if any((Path(label) / f"{task}.parquet").exists() for label in labels)]
    tables = load_tables(labels, tasks or net.tasks)
    rows = merge(row for table in tables for row in table.rows)
    seen = {row.content_hash for row in rows} & set(folder.read_split()["training"])
    if seen:
        raise InputError(f"{len(seen)} source pictures of {', '.join(labels)} were trained on; give others")
    columns = [net.tasks.index(task) for task in tasks]
    logits = predict(net, Pictures(rows, recipe["input_size"], fit=net.fit), show_progress=True)[:, columns]
    scale, bias = (buffer.cpu().numpy()[columns] for buffer in (net.scale, net.bias))
    probabilities = 1 / (1 + np.exp(-(scale * logits + bias).astype(np.float64)))
    truth = label_array(rows, len(tasks))
    judged = {}
    for index, task in enumerate(tasks):
        marked = ~np.isnan(truth[:, index])
        if not marked.any():
            raise InputError(f"no {task} row of {', '.join(labels)} has a label; label more pictures")
        chosen = [row for row, keep in zip(rows, marked, strict=True) if keep]
        judged[task] = task_figures(probabilities[marked, index], truth[marked, index], chosen)
    used = [
        {"path": table.path.as_posix(), "sha256": sha256(table.path), "task": table.task,
         "networks": [network["name"] for network in table.metadata["networks"]]}
        for table in tables
    ]  # fmt: skip
    folder.update_metrics(name, {"command": command, "labels": used, "tasks": judged})
    return judged


@click.command("evaluate")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--labels", required=True, multiple=True, help="Folder of label tables; may repeat.")
@click.option("--name", default="test", show_default=True, help="Of this evaluation in RUN/metrics.json.")
@click.option("--device", type=click.Choice(("cpu", "cuda")), default="cpu", show_default=True)
def command(run: Path, labels: tuple[str, ...], name: str, device: str) -> None:
    """Judge a finished run on label tables of pictures it was not trained on."""
    if name == HELD_BACK:
        raise click.BadParameter(f"{HELD_BACK} is what training measures; use another", param_hint="--name")
    click.echo(markdown(evaluate(run, labels, name, command_line("trainer"), device)))
