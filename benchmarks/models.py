"""How many pictures a second each model scores, in turns within one run: python -m benchmarks.models [MODEL...]"""

from __future__ import annotations

import json
import os
import platform
import tempfile
import time
import warnings
from pathlib import Path

import click
import numpy as np
import onnxruntime

MODELS = Path(__file__).parent.parent / "streamfilter" / "models"
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


def open_session(model: Path, threads: int, device: str = "cpu") -> onnxruntime.InferenceSession:
    """A session on so many threads of the CPU, or on a GPU.

    Raises:
        ClickException: there is no GPU for ONNX Runtime.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=[PROVIDERS[device]])
    if session.get_providers()[0] != PROVIDERS[device]:
        raise click.ClickException(f"ONNX Runtime has no {device} here, only {', '.join(session.get_providers())}")
    return session


def write_resnet18(path: Path, size: int = 224) -> Path:
    """The paper's network at its own size with random weights, in float32: speed does not depend on them."""
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
            input_names=["images"], output_names=["utility"], dynamic_axes={"images": {0: "N"}},
        )  # fmt: skip
    return path


def seconds_a_batch(session: onnxruntime.InferenceSession, size: int, batch: int) -> float:
    """Time of one batch of random pictures."""
    images = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
    start = time.perf_counter()
    session.run(None, {"images": images})
    return time.perf_counter() - start


def input_size(session: onnxruntime.InferenceSession) -> int:
    """Side of the model's square input, pixels."""
    return int(session.get_inputs()[0].shape[1])


def processor() -> str:
    """The processor's name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


@click.command()
@click.argument("models", nargs=-1, type=click.Path(path_type=Path))
@click.option("--rounds", default=15, show_default=True, help="Turns of every model.")
@click.option("--threads", default=os.cpu_count() or 1, show_default=True)
@click.option("--device", type=click.Choice([*PROVIDERS]), default="cpu", show_default=True)
@click.option("--batch", default=8, show_default=True, help="Pictures a batch.")
@click.option("--resnet18-224", is_flag=True, help="ResNet-18 at 224 px in float32 as well; needs torch.")
@click.option("--out", type=click.Path(path_type=Path), help="JSON to write as well.")
def main(
    models: tuple[Path, ...], rounds: int, threads: int, device: str, batch: int, resnet18_224: bool, out: Path | None
) -> None:  # fmt: skip
    """Print a Markdown table: pictures a second (median of the rounds), and how many times the slowest model's."""
    paths = models or tuple(sorted(MODELS.glob("*.onnx")))
    scratch = tempfile.TemporaryDirectory()
    if resnet18_224:
        paths = (*paths, write_resnet18(Path(scratch.name) / "resnet18-224.onnx"))
    sessions = {path.stem: open_session(path, threads, device) for path in paths}
    times: dict[str, list[float]] = {name: [] for name in sessions}
    for number in range(rounds + 1):
        for name, session in sessions.items():
            seconds = seconds_a_batch(session, input_size(session), batch)
            if number:
                times[name].append(seconds)
    medians = {name: float(np.median(values)) for name, values in times.items()}
    slowest = max(medians.values())
    click.echo(
        f"{processor()}, {device}, {threads} threads, onnxruntime {onnxruntime.__version__}, "
        f"batches of {batch}, {rounds} turns\n"
    )
    click.echo("| model | input | file, MB | pictures a second | times the slowest |\n|---|---|---|---|---|")
    rows = []
    for name, path in zip(sessions, paths, strict=True):
        size, megabytes = input_size(sessions[name]), path.stat().st_size / 1e6
        rate, ratio = batch / medians[name], slowest / medians[name]
        rows.append({"model": name, "input": size, "megabytes": megabytes, "per_second": rate, "ratio": ratio})
        click.echo(f"| {name} | {size} x {size} | {megabytes:.1f} | {rate:.0f} | {ratio:.1f} |")
    if out:
        run = {"processor": processor(), "device": device, "threads": threads, "batch": batch}
        out.write_text(json.dumps({**run, "models": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
