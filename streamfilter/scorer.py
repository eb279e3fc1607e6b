"""Utility of pictures by a model file, with ONNX Runtime."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from functools import cached_property
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from streamfilter.digest import file_sha256
from streamfilter.errors import DeviceError, MissingExtraError, ModelError, ShapeError
from streamfilter.frame import RGB
from streamfilter.spec import ModelSpec

if TYPE_CHECKING:
    import onnxruntime

INPUT, OUTPUT = "images", "utility"
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
ERRORS_ONLY = 3

logger = logging.getLogger(__name__)


def shipped_models() -> dict[str, Path]:
    """Name -> ONNX file of the models that come with the package."""
    with as_file(files("streamfilter") / "models") as folder:
        return {path.stem: path for path in sorted(folder.glob("*.onnx"))}


def find_model(name_or_path: str) -> Path:
    """The file of a shipped model's name, or of a path.

    Raises:
        ModelError: there is no such model or file.
    """
    shipped = shipped_models()
    if name_or_path in shipped:
        return shipped[name_or_path]
    path = Path(name_or_path)
    if path.is_file():
        return path
    names = ", ".join(shipped)
    raise ModelError(f"no model {name_or_path}: give the path of an ONNX file, or a shipped name ({names})")


class Scorer:
    """A utility model, loaded and warmed up.

    Raises:
        ModelError: the file is missing, corrupt, not a utility model, or its graph is not what its spec says.
        DeviceError: `cuda` was asked for and cannot be had.
        MissingExtraError: ONNX Runtime is not installed.
    """

    def __init__(self, model: str, device: str = "auto", threads: int = 0) -> None:
        self.path = find_model(model)
        self.device, self._session = _open_session(self.path, device, threads)
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.spec = ModelSpec.from_metadata(metadata, str(self.path))
        self._check_graph()

    @cached_property
    def sha256(self) -> str:
        """Hex digest of the model file."""
        return file_sha256(self.path)

    def score(self, pictures: Sequence[RGB] | RGB) -> npt.NDArray[np.float32]:
        """Utility of a batch.

        Args:
            pictures: N pictures of (S, S, 3), or one (N, S, S, 3) array; uint8, RGB, NHWC, 0-255.

        Returns:
            (N, T) float32, one column a task in the order of `spec.tasks`, in [0, 1].

        Raises:
            ShapeError: a picture is not (S, S, 3) uint8.
        """
        size = self.spec.input_size
        if len(pictures) == 0:
            return np.zeros((0, len(self.spec.tasks)), np.float32)
        batch = np.ascontiguousarray(pictures)
        if batch.shape[1:] != (size, size, 3) or batch.dtype != np.uint8:
            raise ShapeError(f"expected (N, {size}, {size}, 3) uint8, got {batch.shape} {batch.dtype}")
        return np.asarray(self._session.run([OUTPUT], {INPUT: batch})[0], dtype=np.float32)

    def _check_graph(self) -> None:
        inputs = {node.name: node.type for node in self._session.get_inputs()}
        outputs = {node.name for node in self._session.get_outputs()}
        if inputs != {INPUT: "tensor(uint8)"} or OUTPUT not in outputs:
            raise ModelError(
                f"{self.path} takes {inputs} and gives {sorted(outputs)}; a utility model takes uint8 "
                f"`{INPUT}` and gives `{OUTPUT}`; export the model again"
            )
        size = self.spec.input_size
        scores = self._session.run([OUTPUT], {INPUT: np.zeros((2, size, size, 3), np.uint8)})[0]
        if scores.shape != (2, len(self.spec.tasks)) or not ((scores >= 0) & (scores <= 1)).all():
            raise ModelError(f"{self.path} gives {scores.shape} for 2 pictures and {len(self.spec.tasks)} tasks")


def _open_session(path: Path, device: str, threads: int) -> tuple[str, onnxruntime.InferenceSession]:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError(
            'ONNX Runtime is not installed; run: pip install "streamfilter[cpu]" (or "streamfilter[cuda]")'
        ) from error
    chosen = _choose_device(device, onnxruntime.get_available_providers())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or os.cpu_count() or 1
    options.log_severity_level = ERRORS_ONLY
    # Threads that wait by spinning take the cores from the decoder: filtering ran at 0.70 of decoding, not 0.83.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = _load(path, options, list(dict.fromkeys([PROVIDERS[chosen], PROVIDERS["cpu"]])))
    started = "cuda" if session.get_providers()[0] == PROVIDERS["cuda"] else "cpu"
    if device == "cuda" and started != "cuda":
        raise DeviceError("ONNX Runtime offers CUDA but could not start it; check the driver, or use --device cpu")
    if device == "auto":
        logger.info(
            "device auto: %s (ONNX Runtime offers %s)", started, ", ".join(onnxruntime.get_available_providers())
        )
    return started, session


def _load(path: Path, options: onnxruntime.SessionOptions, providers: list[str]) -> onnxruntime.InferenceSession:
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as failures

    unreadable = (failures.Fail, failures.InvalidProtobuf, failures.InvalidGraph, failures.InvalidArgument)
    try:
        return onnxruntime.InferenceSession(path, options, providers=providers)
    except unreadable as error:
        reason = _first_line(error)
        raise ModelError(f"{path} is not a readable ONNX model ({reason}); copy or export it again") from error
    except (failures.NotImplemented, failures.RuntimeException, failures.NoSuchFile) as error:
        reason = _first_line(error)
        raise ModelError(f"{path} cannot be run by this ONNX Runtime ({reason}); export it again") from error


def _choose_device(device: str, providers: Sequence[str]) -> str:
    has_cuda = PROVIDERS["cuda"] in providers
    if device == "cuda" and not has_cuda:
        raise DeviceError(
            "no CUDA here: the installed ONNX Runtime runs on "
            f"{', '.join(providers)}; install streamfilter[cuda] on a machine with an NVIDIA GPU, or use --device cpu"
        )
    return ("cuda" if has_cuda else "cpu") if device == "auto" else device


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
