"""The model's card: what it is, what it measured and how to make it again, all from the run's own records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streamfilter.spec import ModelSpec
from trainer.rounding import FLOAT16

LEAST_ROWS = 10
"""A quality with fewer labelled rows is left out of the card."""
FIGURES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "ece": "ECE",
}
HELD_BACK = "held_back"


def render(
    spec: ModelSpec,
    record: Mapping[str, Any],
    metrics: Mapping[str, Any],
    command: str,
    file_bytes: int,
    parameters: int,
    difference: float,
    keep_useful: str,
) -> str:
    """The card as Markdown.

    Args:
        spec: what the file says about itself.
        record: the run's `run.json`.
        metrics: the run's `metrics.json`.
        command: the export's command line.
        file_bytes: size of the ONNX file.
        parameters: number of weights.
        difference: largest difference of the ONNX graph from torch.
        keep_useful: share of the useful held-back pictures that the thresholds keep.
    """
    config = record["config"]
    made = f"{config['model']}, {parameters / 1e6:.2f} M parameters, front: {config['front']}"
    weights = config.get("weights", FLOAT16)
    facts = [
        ("architecture", f"{made}, initial weights: {config['init']}"),
        ("file", f"{file_bytes / 1e6:.1f} MB, ONNX, weights stored as {weights}, arithmetic in float32"),
        ("input", f"`images`: uint8 RGB (N, {spec.input_hw[0]}, {spec.input_hw[1]}, 3), fit: {spec.fit}"),
        ("output", f"`utility`: float32 (N, {len(spec.tasks)}): {', '.join(spec.tasks)}; calibrated, 0 to 1"),
        ("thresholds", ", ".join(f"{task} {value:g}" for task, value in spec.thresholds.items())),
        ("chosen so that", f"each task keeps {float(keep_useful):.0%} of its useful held-back pictures"),
        ("ONNX against torch", f"differs by at most {difference:.1e}"),
        ("seed", str(config["seed"])),
        ("commit", str(record["commit"])),
        ("trained with", f"torch {record['torch']}, {record['device']}, {record['precision']}"),
    ]
    parts = [
        f"# {spec.name}",
        f"Predicts how useful a picture is to machines: {' and '.join(spec.tasks)}.",
        _table(["", ""], facts),
        "## Measured",
        *[_measured(part, judged) for part, judged in metrics.items()],
        "## Data",
        *_data(record),
        "## Made by",
        f"```sh\n{chr(10).join(_commands(record, metrics, command))}\n```",
        "## What it has learned, and what not",
        *_limits(record, metrics),
    ]
    return "\n\n".join(parts) + "\n"


def _measured(part: str, judged: Mapping[str, Any]) -> str:
    title = "On the held-back source pictures" if part == HELD_BACK else f"On `{part}`"
    networks = sorted({name for label in judged["labels"] for name in label["networks"]})
    note = f"Labels by {', '.join(networks)}. "
    note += (
        "The held-back sources took no part in training; the calibration is cross-fitted over two halves of them."
        if part == HELD_BACK
        else "With the calibration in the file."
    )
    heads = ["task", "useful / not", "sources", *FIGURES.values()]
    heads += [f"{who}: {what}" for who in ("JPEG rows", "oracle") for what in ("balanced accuracy", "AUROC")]
    rows = [_row(task, figures) for task, figures in judged["tasks"].items()]
    oracle = (
        "JPEG rows are the compressed and the pristine ones; the oracle is the best threshold on the true JPEG "
        "quality, chosen and judged on these very rows."
    )
    tables = [*_by_kind(judged["tasks"]), *_by_quality(judged["tasks"])]
    return "\n\n".join([f"### {title}", note, _table(heads, rows), oracle, *tables])


def _row(task: str, figures: Mapping[str, Any]) -> list[str]:
    values = [figures[name] for name in FIGURES]
    values += [figures[part][name] for part in ("jpeg", "quality_oracle") for name in ("balanced_accuracy", "auroc")]
    return [task, f"{figures['n1']} / {figures['n0']}", str(figures["sources"]), *map(_number, values)]


def _by_kind(tasks: Mapping[str, Any]) -> list[str]:
    heads = ["task", "distortion", "useful / not", "accuracy", "AUROC"]
    rows = [
        [task, kind, f"{part['n1']} / {part['n0']}", _number(part["accuracy"]), _number(part["auroc"])]
        for task, figures in tasks.items() for kind, part in figures["by_kind"].items()
    ]  # fmt: skip
    return [_table(heads, rows)]


def _by_quality(tasks: Mapping[str, Any]) -> list[str]:
    heads = ["task", "JPEG quality", "useful / not", "accuracy", "AUROC"]
    rows = [
        [task, "pristine" if part["quality"] is None else f"{part['quality']:g}", f"{part['n1']} / {part['n0']}",
         _number(part["accuracy"]), _number(part["auroc"])]
        for task, figures in tasks.items() for part in figures["by_quality"] if part["n0"] + part["n1"] >= LEAST_ROWS
    ]  # fmt: skip
    return [_table(heads, rows)]


def _data(record: Mapping[str, Any]) -> list[str]:
    tables = [
        [label["task"], f"`{label['images']}`", ", ".join(label["networks"]), f"`{label['sha256'][:16]}`"]
        for label in record["labels"]
    ]
    counts = [
        [task, *(f"{ones} / {zeros}" for zeros, ones in (part["labelled"], part["balanced"], part["held_back"]))]
        for task, part in record["counts"].items()
    ]
    sources = record["sources"]
    return [
        _table(["task", "pictures", "labelled by", "table (SHA-256)"], tables),
        f"{sources['training']} source pictures for training, {sources['held_back']} held back; "
        "no source is on both sides. Rows, useful / not:",
        _table(
            ["task", "training, as labelled", f"training, balance: {record['config']['balance']}", "held back"], counts
        ),
    ]


def _commands(record: Mapping[str, Any], metrics: Mapping[str, Any], command: str) -> list[str]:
    judged = [part["command"] for name, part in metrics.items() if name != HELD_BACK]
    before = [f"{run['command']}  # at commit {run['commit'][:12]}" for run in record["started_from"]]
    earlier = [label for run in record["started_from"] for label in run.get("labels", ())]
    labels = dict.fromkeys([*earlier, *(label["command"] for label in record["labels"])])
    return [*labels, *before, record["command"], *judged, command]


def _limits(record: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[str]:
    seen: dict[str, set[float]] = {}
    for label in record["labels"]:
        for kind, strength in label["distortions"]:
            seen.setdefault(kind, set()).update([] if strength is None else [strength])
    shown = "; ".join(
        f"{kind} at {', '.join(f'{one:g}' for one in sorted(them))}" if them else f"{kind} at random strengths"
        for kind, them in seen.items()
    )
    lines = [f"- It was shown these distortions and no others: {shown}. On any other its utility is a guess."]
    for task, figures in metrics[HELD_BACK]["tasks"].items():
        mine, oracle = figures["jpeg"]["auroc"], figures["quality_oracle"]["auroc"]
        if mine is not None and oracle is not None:
            verdict = "better than" if mine > oracle else "no better than"
            lines.append(
                f"- {task}: it ranks compressed held-back pictures {verdict} the JPEG quality alone would "
                f"(AUROC {_number(mine)} against {_number(oracle)})."
            )
    learned_all = record["config"].get("target") == "confidence"
    left_out = "of the figures above" if learned_all else "of training and of the figures above"
    lines.append(f"- Pictures on which the labelling networks disagree were left out {left_out}.")
    return ["\n".join(lines)]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
