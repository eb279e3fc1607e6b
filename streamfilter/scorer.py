"""Utility of pictures by a model file, with ONNX Runtime."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import numpy.typing as npt

from streamfilter.digest import file_sha256
from streamfilter.errors import ModelError, ShapeError
from streamfilter.frame import RGB
from streamfilter.sessions import INPUT, OUTPUT, Wanted, open_model
from streamfilter.spec import ModelSpec


def shipped_models() -> dict[str, Path]:
    """Name -> ONNX file of the models that come with the package."""
    with as_file(files("streamfilter") / "models") as folder:
        return {path.stem: path for path in sorted(folder.glob("*.onnx"))}


def find_model(name_or_path: str | Path) -> Path:
    """The file of a shipped model's name, or of a path.

    Raises:
        ModelError: there is no such model or file.
    """
    shipped = shipped_models()
    if name_or_path in shipped:
        return shipped[name_or_path]
    path = Path(name_or_path)
    if os.path.isfile(path):
        return path
    names = ", ".join(shipped)
    raise ModelError(f"no model {name_or_path}: give the path of an ONNX file, or a shipped name ({names})")


class Scorer:
    """A utility model, loaded and warmed up.

    Args:
        model: name of a shipped model, or the path of an ONNX file.
        device: `auto`, `cpu`, `cuda` or `tensorrt`.
        threads: of the CPU; 0 = one a core.
        precision: arithmetic of the convolutions, `fp32` or `fp16`.
        batch_size: most pictures at once; larger batches are split on a GPU.

    Raises:
        ModelError: the file is missing, corrupt, not a utility model, or its graph is not what its spec says.
        DeviceError: the device asked for cannot be had.
        MissingExtraError: ONNX Runtime is not installed, or the package `onnx` for float16.
    """

    def __init__(
        self, model: str | Path, device: str = "auto", threads: int = 0, precision: str = "fp32", batch_size: int = 8
    ) -> None:
        self.path = find_model(model)
        opened = open_model(self.path, Wanted(device, threads, precision, batch_size))
        self.device, self._session = opened.device, opened.session
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.spec = ModelSpec.from_metadata(metadata, str(self.path))
        self._check_graph()
        self._runs = opened.runs(self.spec.input_hw, len(self.spec.tasks))

    @cached_property
    def sha256(self) -> str:
        """Hex digest of the model file."""
        return file_sha256(self.path)

    def score(self, pictures: Sequence[RGB] | RGB) -> npt.NDArray[np.float32]:
        """Utility of a batch.

        Args:
            pictures: N pictures of (H, W, 3), H and W being `spec.input_hw`, or one (N, H, W, 3) array; uint8, RGB,
                NHWC, 0-255.

        Returns:
            (N, T) float32, one column a task in the order of `spec.tasks`, in [0, 1].

        Raises:
            ShapeError: a picture is not (H, W, 3) uint8.
            DeviceError: a GPU failed.
        """
        height, width = self.spec.input_hw
        if len(pictures) == 0:
            return np.zeros((0, len(self.spec.tasks)), np.float32)
        for picture in pictures:
            if picture.shape != (height, width, 3) or picture.dtype != np.uint8:
                got = f"{(len(pictures), *picture.shape)} {picture.dtype}"
                raise ShapeError(f"expected (N, {height}, {width}, 3) uint8, got {got}")
        return self._runs(pictures)

    def _check_graph(self) -> None:
        inputs = {node.name: node.type for node in self._session.get_inputs()}
        outputs = {node.name for node in self._session.get_outputs()}
        if inputs != {INPUT: "tensor(uint8)"} or OUTPUT not in outputs:
            raise ModelError(
                f"{self.path} takes {inputs} and gives {sorted(outputs)}; a utility model takes uint8 "
                f"`{INPUT}` and gives `{OUTPUT}`; export the model again"
            )
        fixed = self._session.get_inputs()[0].shape[0]
        count = fixed if isinstance(fixed, int) else 2
        scores = self._session.run([OUTPUT], {INPUT: np.zeros((count, *self.spec.input_hw, 3), np.uint8)})[0]
        if scores.shape != (count, len(self.spec.tasks)) or not ((scores >= 0) & (scores <= 1)).all():
            raise ModelError(f"{self.path} gives {scores.shape} for {count} pictures and {len(self.spec.tasks)} tasks")
