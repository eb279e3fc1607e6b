"""A finished training run, asked about pictures: also what it says of each labelling network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from streamfilter.frame import RGB
from streamfilter.preprocess import shrink
from trainer.models import load
from trainer.runs import RunFolder, sha256


class RunModel:
    """The network of a run folder; may be asked by many threads, each question on one thread.

    Args:
        place: the folder of a finished `python -m trainer train`, whose name is the model's, or NAME=FOLDER.

    Raises:
        ModelError: the run is not finished, or damaged.
    """

    def __init__(self, place: str) -> None:
        name, _, path = place.rpartition("=")
        folder = Path(path)
        name = name or folder.resolve().name
        self.net = load(folder)
        self.size = int(RunFolder(folder).read_json("run.json")["config"]["input_size"])
        self.sha256 = sha256(folder / "checkpoint.pt")
        tasks = [f"{name}:{task}" for task in self.net.tasks]
        self.names = (*tasks, *(f"{name}:{task}:{network}" for task, network in self.net.networks))
        torch.set_num_threads(1)

    def __call__(self, rgb: RGB) -> tuple[float, ...]:
        """Calibrated utility for each task, then for each labelling network, in [0, 1].

        Args:
            rgb: (H, W, 3) uint8, RGB, HWC, 0-255.
        """
        small = np.ascontiguousarray(shrink(rgb, self.size, self.net.fit))
        with torch.inference_mode():
            found = self.net.all_probabilities(torch.from_numpy(small[np.newaxis]))[0]
        return tuple(map(float, found))
