"""What every labelling network looks like to the rest of the trainer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from streamfilter.consumers.detections import Detections, Floats
from streamfilter.errors import ConfigError
from streamfilter.frame import RGB
from streamfilter.spec import TASKS

COCO_UNUSED_IDS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
COCO_CATEGORY_IDS = np.array([i for i in range(1, 91) if i not in COCO_UNUSED_IDS], dtype=np.int64)


class Network(Protocol):
    """A classifier or detector with its weights and its own preprocessing. `predict` may be called by many threads."""

    name: str
    """File stem or torchvision name."""
    task: str
    """`classification` or `detection`."""
    source: str
    """What `load_network` needs to load it again: an absolute path or a torchvision name."""
    sha256: str
    """Hex digest of the weight file."""

    def predict(self, pictures: Sequence[RGB]) -> Floats | list[Detections]:
        """Ask about N pictures of any size.

        Args:
            pictures: N times (H, W, 3) uint8, RGB, HWC, 0-255, upright.

        Returns:
            Classification: (N, 1000) float32 probabilities, rows sum to 1. Detection: N `Detections`.

        Raises:
            ModelError: the network failed on a picture.
        """
        ...


def load_network(
    name_or_path: str | Path,
    task: str,
    weights_dir: Path | None = None,
    device: str = "cpu",
    threads: int | None = None,
) -> Network:
    """An ONNX file with the uniform interface, or a torchvision network by name.

    Args:
        name_or_path: a path ending in `.onnx`, or a torchvision model name.
        task: `classification` or `detection`; a network of the other task is refused.
        weights_dir: folder with torchvision's published weight files; None lets torchvision download them.
        device: `cpu` or `cuda`.
        threads: threads inside one prediction; None for 1 with ONNX Runtime and, with torch, for torch's own
            setting, which belongs to the whole process.

    Raises:
        ModelError: the file or its weights cannot be used, or belong to the other task.
        DeviceError: the device is not there.
        ConfigError: the name, task or device is unknown.
        MissingExtraError: torchvision is needed and not installed.
    """
    if task not in TASKS:
        raise ConfigError(f"unknown task {task!r}, known: {', '.join(TASKS)}")
    if device not in ("cpu", "cuda"):
        raise ConfigError(f"unknown device {device!r}, known: cpu, cuda")
    if str(name_or_path).lower().endswith(".onnx"):
        from streamfilter.consumers.onnx import load_onnx

        return load_onnx(Path(name_or_path), task, device, threads or 1, COCO_CATEGORY_IDS)
    from trainer.networks.torchvision import load_torchvision

    return load_torchvision(str(name_or_path), task, weights_dir, device, threads)
