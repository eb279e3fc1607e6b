"""Mean utility of a folder of pictures as it is and at a low JPEG quality: python -m benchmarks.jpeg_gap FOLDER"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import numpy as np
from PIL import Image

PICTURES = (".jpg", ".jpeg", ".png", ".webp")


def compress(folder: Path, target: Path, quality: int) -> None:
    """Every picture of a folder, as a JPEG of that quality."""
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in PICTURES:
            with Image.open(path) as picture:
                picture.convert("RGB").save(target / f"{path.stem}.jpg", quality=quality)


def mean_utility(folder: Path, model: str) -> dict[str, float]:
    """What `streamfilter score` prints for a folder, averaged for each task."""
    command = [sys.executable, "-m", "streamfilter", "score", str(folder), "--model", model]
    printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=3600).stdout
    scores = [json.loads(line)["utility"] for line in printed.splitlines()]
    return {task: float(np.mean([score[task] for score in scores])) for task in scores[0]}


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--quality", default=3, show_default=True, help="JPEG quality of the second folder.")
@click.option("--model", default="utility-nano", show_default=True)
def main(folder: Path, quality: int, model: str) -> None:
    """Print both means and their distance as a Markdown table."""
    with tempfile.TemporaryDirectory() as target:
        compress(folder, Path(target), quality)
        before, after = mean_utility(folder, model), mean_utility(Path(target), model)
    print(f"{model}, {platform.machine()}, {folder.name}\n")
    print(f"| task | as they are | JPEG quality {quality} | apart |\n|---|---|---|---|")
    for task in before:
        print(f"| {task} | {before[task]:.3f} | {after[task]:.3f} | {before[task] - after[task]:.3f} |")


if __name__ == "__main__":
    main()
