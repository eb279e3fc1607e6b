"""ONNX networks with the uniform interface: uint8 NHWC RGB in, preprocessing named in the metadata.

Metadata: `task`, `input_size` (S), `fit` and, where they apply, `crop_ratio` (default 0.875) or
`pad_value` (default 0).
`shorter_side_then_center_crop` belongs to classifiers, `stretch` and `letterbox_top_left` to detectors.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streamfilter.consumers.detections import Detections, Floats
from streamfilter.digest import file_sha256
from streamfilter.errors import DeviceError, MissingExtraError, ModelError, first_line
from streamfilter.frame import RGB
from streamfilter.sessions import cuda

FITS = {"classification": ("shorter_side_then_center_crop",), "detection": ("stretch", "letterbox_top_left")}
OUTPUTS = {"classification": ("probabilities",), "detection": ("boxes", "scores", "labels")}
MAX_BATCH = 32

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fit:
    """How a picture becomes the network's square input."""

    kind: str
    """One of `FITS`."""
    size: int
    """S: side of the input, pixels."""
    crop_ratio: float = 0.875
    """S over the length the shorter side is scaled to, before the centre is cropped."""
    pad_value: int = 0
    """Grey level beside a letterboxed picture, 0-255."""

    def __call__(self, rgb: RGB) -> RGB:
        """(H, W, 3) -> (S, S, 3) uint8 RGB."""
        if self.kind == "stretch":
            return resize(rgb, self.size, self.size)
        if self.kind == "letterbox_top_left":
            return self._letterbox(rgb)
        return self._center_crop(rgb)

    def scale(self, rgb: RGB) -> tuple[int, int]:
        """Height and width in pixels that the picture takes of the S x S input."""
        if self.kind == "stretch":
            return self.size, self.size
        height, width = rgb.shape[:2]
        if self.kind == "letterbox_top_left":
            factor = self.size / max(height, width)
            return max(1, round(height * factor)), max(1, round(width * factor))
        factor = round(self.size / self.crop_ratio) / min(height, width)
        return max(self.size, round(height * factor)), max(self.size, round(width * factor))

    def _letterbox(self, rgb: RGB) -> RGB:
        height, width = self.scale(rgb)
        canvas = np.full((self.size, self.size, 3), self.pad_value, dtype=np.uint8)
        canvas[:height, :width] = resize(rgb, height, width)
        return canvas

    def _center_crop(self, rgb: RGB) -> RGB:
        height, width = self.scale(rgb)
        top, left = (height - self.size) // 2, (width - self.size) // 2
        return resize(rgb, height, width)[top : top + self.size, left : left + self.size]


def resize(rgb: RGB, height: int, width: int) -> RGB:
    """Area interpolation down, bilinear up."""
    import cv2

    shrinks = height <= rgb.shape[0] and width <= rgb.shape[1]
    resized = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.uint8)


class OnnxNetwork:
    """An ONNX file that answers about pictures of any size.

    Args:
        path: the file.
        task: `classification` or `detection`.
        session: ONNX Runtime's.
        fit: how a picture becomes its input.
        category_ids: (L,) int64, which category each label of a detector is; None = the label itself.
    """

    def __init__(
        self, path: Path, task: str, session: Any, fit: Fit, category_ids: npt.NDArray[np.int64] | None = None
    ) -> None:
        self.name = path.stem
        self.task = task
        self.source = str(path.resolve())
        self.sha256 = file_sha256(path)
        self.fit = fit
        self._session = session
        self._category_ids = category_ids
        self._batch = 1 if isinstance(session.get_inputs()[0].shape[0], int) else MAX_BATCH

    def predict(self, pictures: Sequence[RGB]) -> Floats | list[Detections]:
        """Ask about N pictures of any size.

        Args:
            pictures: N times (H, W, 3) uint8, RGB, HWC, 0-255, upright.

        Returns:
            Classification: (N, C) float32 probabilities, rows sum to 1. Detection: N `Detections`.

        Raises:
            ModelError: the network failed on a picture.
        """
        if self.task == "detection":
            return [self._detect(rgb) for rgb in pictures]
        batches = [pictures[start : start + self._batch] for start in range(0, len(pictures), self._batch)]
        rows = [self._run(np.stack([self.fit(rgb) for rgb in batch]))[0] for batch in batches]
        return np.concatenate(rows) if rows else np.zeros((0, 1000), np.float32)

    def _detect(self, rgb: RGB) -> Detections:
        boxes, scores, labels = self._run(self.fit(rgb)[np.newaxis])
        height, width = self.fit.scale(rgb)
        to_picture = self.fit.size / np.array([width, height, width, height], dtype=np.float32)
        fractions = np.asarray(np.clip(np.reshape(boxes, (-1, 4)) * to_picture, 0, 1), np.float32)
        categories = np.asarray(labels, np.int64)
        if self._category_ids is not None:
            categories = self._category_ids[categories]
        return Detections(fractions, np.asarray(scores, np.float32), categories)

    def _run(self, images: RGB) -> list[Any]:
        from onnxruntime.capi import onnxruntime_pybind11_state as ort

        try:
            outputs: list[Any] = self._session.run(list(OUTPUTS[self.task]), {"images": images})
        except (ort.EPFail, ort.Fail, ort.InvalidArgument, ort.NotImplemented, ort.RuntimeException) as error:
            raise ModelError(f"network {self.name} failed on a picture: {first_line(error)}") from error
        return outputs


def load_onnx(
    path: Path, task: str | None, device: str, threads: int, category_ids: npt.NDArray[np.int64] | None = None
) -> OnnxNetwork:
    """Open an ONNX network and check that it has the uniform interface.

    Args:
        path: the file.
        task: `classification` or `detection`, a network of the other one is refused; None = what the file says.
        device: `cpu` or `cuda`.
        threads: inside one prediction; 0 = one a core.
        category_ids: (L,) int64, which category each label of a detector is; None = the label itself.

    Raises:
        ModelError: the file is missing, corrupt, of another task or without the interface.
        DeviceError: `cuda` is asked for and ONNX Runtime has none.
        MissingExtraError: ONNX Runtime is not installed.
    """
    if not os.path.isfile(path):
        raise ModelError(f"network {path} does not exist")
    session = _open_session(path, device, threads)
    metadata = session.get_modelmeta().custom_metadata_map
    task = task or metadata.get("task", "")
    fit = _read_fit(path, task, metadata)
    _check_interface(path, task, session, fit.size)
    return OnnxNetwork(path, task, session, fit, category_ids)


def _open_session(path: Path, device: str, threads: int) -> Any:
    try:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as ort
    except ImportError as error:
        raise MissingExtraError("ONNX networks need ONNX Runtime: pip install 'streamfilter[cpu]'") from error
    provider = "CUDAExecutionProvider" if device == "cuda" else "CPUExecutionProvider"
    if provider not in onnxruntime.get_available_providers():
        raise DeviceError(f"no {device} for {path}: this ONNX Runtime has {onnxruntime.get_available_providers()}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    providers = [provider] if device == "cpu" else [provider, "CPUExecutionProvider"]
    if device == "cuda":
        cuda.preload(onnxruntime)
    try:
        session = onnxruntime.InferenceSession(path, options, providers=providers, enable_fallback=0)
    except (
        ort.EPFail,
        ort.Fail,
        ort.InvalidArgument,
        ort.InvalidGraph,
        ort.InvalidProtobuf,
        ort.NoModel,
        ort.NotImplemented,
        ort.RuntimeException,
    ) as error:
        raise ModelError(f"network {path} is not a usable ONNX file: {first_line(error)}") from error
    except RuntimeError as error:
        raise DeviceError(f"{device} cannot be used here for {path} ({cuda.reason(error)})") from error
    if provider not in session.get_providers():
        raise DeviceError(f"{path} fell back to {session.get_providers()}: {device} cannot be used here")
    return session


def _read_fit(path: Path, task: str, metadata: dict[str, str]) -> Fit:
    missing = [key for key in ("task", "input_size", "fit") if key not in metadata]
    if missing:
        raise ModelError(f"network {path} lacks the metadata {', '.join(missing)}: it has not the uniform interface")
    if task not in FITS:
        raise ModelError(f"network {path} is for {task!r}, known: {', '.join(FITS)}")
    if metadata["task"] != task:
        raise ModelError(f"network {path} is for {metadata['task']}, not {task}")
    if metadata["fit"] not in FITS[task]:
        raise ModelError(f"network {path} has fit {metadata['fit']!r}, known for {task}: {', '.join(FITS[task])}")
    try:
        size, ratio = int(metadata["input_size"]), float(metadata.get("crop_ratio", 0.875))
        pad_value = int(metadata.get("pad_value", 0))
    except ValueError as error:
        raise ModelError(f"network {path} has unreadable metadata: {error}") from error
    if size < 1 or not 0 < ratio <= 1 or not 0 <= pad_value <= 255:
        raise ModelError(
            f"network {path} has input_size {size}, crop_ratio {ratio}, pad_value {pad_value}: out of range"
        )
    return Fit(metadata["fit"], size, ratio, pad_value)


def _check_interface(path: Path, task: str, session: Any, size: int) -> None:
    given = [(tensor.name, tensor.type, list(tensor.shape[1:])) for tensor in session.get_inputs()]
    if given != [("images", "tensor(uint8)", [size, size, 3])]:
        raise ModelError(f"network {path} takes {given}, expected `images` uint8 (N, {size}, {size}, 3)")
    outputs = [tensor.name for tensor in session.get_outputs()]
    lacking = [name for name in OUTPUTS[task] if name not in outputs]
    if lacking:
        raise ModelError(f"network {path} gives {', '.join(outputs)}, it lacks {', '.join(lacking)}")
