"""What every labelling network looks like to the rest of the trainer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from streamfilter.errors import ConfigError, ShapeError
from streamfilter.frame import RGB
from streamfilter.spec import TASKS

Floats = npt.NDArray[np.float32]
COCO_UNUSED_IDS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
COCO_CATEGORY_IDS = np.array([i for i in range(1, 91) if i not in COCO_UNUSED_IDS], dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Detections:
    """The K objects a detector sees in one picture, best first or in any order.

    Raises:
        ShapeError: the three arrays disagree in K, or boxes are not (K, 4).
    """

    boxes: Floats
    """(K, 4) float32, xyxy, fractions of the whole picture, 0-1."""
    scores: Floats
    """(K,) float32 confidences, 0-1."""
    category_ids: npt.NDArray[np.int64]
    """(K,) int64 COCO category ids."""

    def __post_init__(self) -> None:
        count = len(self.scores)
        if self.boxes.shape != (count, 4) or self.category_ids.shape != (count,):
            raise ShapeError(
                f"expected ({count}, 4) boxes and ({count},) categories for {count} scores, "
                f"got {self.boxes.shape} and {self.category_ids.shape}"
            )


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
        from trainer.networks.onnx import load_onnx

        return load_onnx(Path(name_or_path), task, device, threads or 1)
    from trainer.networks.torchvision import load_torchvision

    return load_torchvision(str(name_or_path), task, weights_dir, device, threads)
