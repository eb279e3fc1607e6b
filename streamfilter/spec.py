"""ModelSpec: what a model file says about itself, kept in the ONNX metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from streamfilter.errors import ModelError

SPEC_VERSION = 1
PREFIX = "streamfilter."
STRETCH, WITH_CENTRE = "stretch", "stretch_and_centre"
FITS = (STRETCH, WITH_CENTRE)
CENTRE_SHARE, CENTRE_GRAIN, CENTRE_MOST = 0.7, 32, 224
"""Side of the centre beside the whole frame, as a share of the whole's; a multiple of so many pixels, at most as
many as classifiers are taught on."""
TASKS = ("classification", "detection")


@dataclass(frozen=True)
class ModelSpec:
    """Everything the runtime must know to feed a utility model and read its output.

    The graph takes `images`, (N, H, W, 3) uint8 RGB, H and W being `input_hw`, and gives `utility`, (N, T) float32 in
    [0, 1], one column a task.

    Raises:
        ModelError: a field is out of range.
    """

    name: str
    """Name of the model, as in `--model`."""
    input_size: int
    """S: side of the square input, pixels."""
    tasks: tuple[str, ...]
    """The T tasks in the order of the output's columns."""
    thresholds: Mapping[str, float]
    """Default threshold for each task: a frame is useful to it at or above this utility."""
    fit: str = STRETCH
    """How a frame becomes the input. `stretch` scales both sides to S, whatever the aspect ratio; `stretch_and_centre`
    puts the frame's middle, as classifiers see it, below that (see `streamfilter.preprocess.shrink`)."""
    spec_version: int = SPEC_VERSION
    """Version of this very list of fields."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """Data, networks, command, seed and commit it was trained with."""
    measured: Mapping[str, Any] = field(default_factory=dict)
    """Measured figures for each task, as printed on the model's card."""

    def __post_init__(self) -> None:
        problems = []
        if self.spec_version != SPEC_VERSION:
            problems.append(f"spec_version {self.spec_version}, this program reads {SPEC_VERSION}")
        if not 16 <= self.input_size <= 4096:
            problems.append(f"input_size {self.input_size} outside 16-4096")
        if self.fit not in FITS:
            problems.append(f"fit {self.fit!r}, known: {', '.join(FITS)}")
        if self.fit == WITH_CENTRE and self.input_size < CENTRE_GRAIN:
            problems.append(f"input_size {self.input_size} under {CENTRE_GRAIN}, the least with a centre")
        if not self.tasks or any(task not in TASKS for task in self.tasks):
            problems.append(f"tasks {self.tasks!r}, known: {', '.join(TASKS)}")
        if set(self.thresholds) != set(self.tasks):
            problems.append(f"thresholds for {sorted(self.thresholds)}, tasks are {sorted(self.tasks)}")
        if any(not 0 <= value <= 1 for value in self.thresholds.values()):
            problems.append(f"thresholds {dict(self.thresholds)} outside 0-1")
        if problems:
            raise ModelError(f"bad model spec of {self.name}: {'; '.join(problems)}")

    @property
    def input_hw(self) -> tuple[int, int]:
        """Height and width of the graph's input, pixels."""
        return input_hw(self.input_size, self.fit)

    def to_metadata(self) -> dict[str, str]:
        """The spec as ONNX metadata: one JSON value a field, every key with our prefix."""
        return {PREFIX + key: json.dumps(value) for key, value in vars(self).items()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], where: str) -> ModelSpec:
        """Read a spec back.

        Args:
            metadata: the custom metadata map of an ONNX file.
            where: the file, for messages.

        Raises:
            ModelError: keys are missing (all are named), not JSON, or out of range.
        """
        wanted = list(cls.__dataclass_fields__)
        missing = [key for key in wanted if PREFIX + key not in metadata]
        if missing:
            raise ModelError(
                f"{where} is not a utility model: its metadata lacks {', '.join(PREFIX + key for key in missing)}; "
                "make one with `python -m export`"
            )
        try:
            fields = {key: json.loads(metadata[PREFIX + key]) for key in wanted}
            return cls(**{**fields, "tasks": tuple(fields["tasks"])})
        except (ValueError, TypeError, AttributeError) as error:
            raise ModelError(f"{where} has an unreadable model spec ({error}); export the model again") from error


def centre_side(size: int) -> int:
    """Side of the centre that stands below a frame stretched to `size`, pixels."""
    return min(CENTRE_MOST, max(CENTRE_GRAIN, round(CENTRE_SHARE * size / CENTRE_GRAIN) * CENTRE_GRAIN))


def input_hw(size: int, fit: str) -> tuple[int, int]:
    """Height and width of a model's input, pixels."""
    return (size + centre_side(size), size) if fit == WITH_CENTRE else (size, size)
