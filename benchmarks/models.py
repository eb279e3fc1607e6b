"""How many pictures a second each model scores, in turns within one run: python -m benchmarks.models [MODEL...]"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import click
import numpy as np

from streamfilter import ModelSpec, Scorer, StreamFilterError, shipped_models

RESNET18 = "resnet18-224"
INSTRUCTIONS = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_vnni": "VNNI", "avx512_bf16": "bfloat16"}


def write_resnet18(path: Path, size: int = 224) -> Path:
    """The paper's network at its own size with random weights: speed does not depend on them."""
    import onnx
    import torch
    import torchvision

    class Scored(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = torchvision.models.resnet18(weights=None, num_classes=2)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.sigmoid(self.network(images.permute(0, 3, 1, 2).to(torch.float32) / 255))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            Scored().eval(), (torch.zeros(2, size, size, 3, dtype=torch.uint8),), path, dynamo=False,
            input_names=["images"], output_names=["utility"],
            dynamic_axes={"images": {0: "N"}, "utility": {0: "N"}},
        )  # fmt: skip
    tasks = ("classification", "detection")
    model = onnx.load(path)
    onnx.helper.set_model_props(model, ModelSpec(RESNET18, size, tasks, dict.fromkeys(tasks, 0.5)).to_metadata())
    onnx.save(model, path)
    return path


def seconds_a_batch(scorer: Scorer, batch: int) -> float:
    """Time of one batch of random pictures."""
    images = np.random.default_rng(0).integers(0, 256, (batch, *scorer.spec.input_hw, 3), dtype=np.uint8)
    start = time.perf_counter()
    scorer.score(images)
    return time.perf_counter() - start


def gpus() -> list[str]:
    """Name and driver of each NVIDIA GPU; none where the driver's own tool is missing or finds none."""
    asked = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        found = subprocess.run(asked, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [" with driver ".join(line.split(", ")) for line in found.stdout.splitlines()]


def machine() -> str:
    """What computes here: the processor and the GPUs."""
    return ", ".join([processor(), *gpus()])


def processor() -> str:
    """The processor's name, and which of the instructions it has that change what is fast."""
    path = Path("/proc/cpuinfo")
    pairs = [line.partition(":")[::2] for line in path.read_text().splitlines()] if path.exists() else []
    told = {key.strip(): value.strip() for key, value in reversed(pairs)}
    name = told.get("model name") or platform.processor() or platform.machine()
    found = [words for flag, words in INSTRUCTIONS.items() if flag in told.get("flags", "").split()]
    return f"{name} ({', '.join(found)})" if found else name


def version() -> str:
    """Of ONNX Runtime."""
    import onnxruntime

    return str(onnxruntime.__version__)


def measure(scorers: dict[str, Scorer], batch: int, rounds: int) -> list[dict[str, Any]]:
    """A row a model: pictures a second (median of the rounds), and how many times the slowest model's."""
    times: dict[str, list[float]] = {name: [] for name in scorers}
    for number in range(rounds + 1):
        for name, scorer in scorers.items():
            seconds = seconds_a_batch(scorer, batch)
            if number:
                times[name].append(seconds)
    medians = {name: float(np.median(values)) for name, values in times.items()}
    slowest = max(medians.values())
    return [
        {
            "model": name, "input": _size(scorer.spec.input_hw), "megabytes": scorer.path.stat().st_size / 1e6,
            "batch": batch, "per_second": batch / medians[name], "ratio": slowest / medians[name],
        }
        for name, scorer in scorers.items()
    ]  # fmt: skip


def _size(hw: tuple[int, int]) -> str:
    return f"{hw[1]} x {hw[0]}"


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in Markdown."""
    lines = [
        "| model | input | file, MB | batch | pictures a second | times the slowest |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['model']} | {row['input']} | {row['megabytes']:.1f} | {row['batch']} | "
        f"{row['per_second']:.0f} | {row['ratio']:.1f} |"
        for row in rows
    ]
    return "\n".join(lines)


@click.command()
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--rounds", default=15, show_default=True, help="Turns of every model.")
@click.option("--threads", default=os.cpu_count() or 1, show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--precision", default="fp32", show_default=True)
@click.option("--batch", "batches", multiple=True, type=int, default=(8,), help="Pictures a batch [8]; repeatable.")
@click.option("--resnet18-224", is_flag=True, help="ResNet-18 at 224 px as well; needs torch.")
@click.option("--out", type=click.Path(path_type=Path), help="JSON to write as well.")
def main(
    models: tuple[str, ...], rounds: int, threads: int, device: str, precision: str, batches: tuple[int, ...],
    resnet18_224: bool, out: Path | None,
) -> None:  # fmt: skip
    """Print a table of how many pictures a second each MODEL scores: names, files, or all that ship."""
    run = {"processor": machine(), "device": device, "precision": precision, "threads": threads, "rounds": rounds}
    click.echo(", ".join(f"{key} {value}" for key, value in run.items()) + f", onnxruntime {version()}\n")
    names = list(models or shipped_models())
    with tempfile.TemporaryDirectory() as scratch:
        if resnet18_224:
            names.append(str(write_resnet18(Path(scratch) / f"{RESNET18}.onnx")))
        try:
            scorers = [Scorer(name, device, threads, precision, max(batches)) for name in names]
            by_name = {scorer.path.stem: scorer for scorer in scorers}
            rows: list[dict[str, Any]] = []
            for batch in batches:
                rows += measure(by_name, batch, rounds)
                if out:
                    # After each, so that a run whose time is up leaves what it has.
                    out.write_text(json.dumps({**run, "onnxruntime": version(), "models": rows}, indent=1) + "\n")
        except StreamFilterError as error:
            raise click.ClickException(str(error)) from error
    click.echo(table(rows))


if __name__ == "__main__":
    main()
