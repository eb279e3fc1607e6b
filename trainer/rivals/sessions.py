"""ONNX Runtime sessions on one CPU thread, with its errors as ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from streamfilter.errors import MissingExtraError, ModelError, first_line

ERRORS_ONLY = 3


class Session:
    """An ONNX graph that can be asked by many threads, each question on one thread.

    Raises:
        ModelError: the file cannot be read or run.
        MissingExtraError: ONNX Runtime is not installed.
    """

    def __init__(self, model: bytes, where: str) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingExtraError("ONNX models need ONNX Runtime: pip install 'streamfilter[cpu]'") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = ERRORS_ONLY
        self.where = where
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except _failures() as error:
            raise ModelError(f"{where} is not a usable ONNX model: {first_line(error)}") from error
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        self.inputs = {node.name: node.type for node in self._session.get_inputs()}
        self.outputs = [node.name for node in self._session.get_outputs()]

    def run(self, outputs: Sequence[str], images: npt.NDArray[np.uint8]) -> list[npt.NDArray[Any]]:
        """The named outputs for the input `images`.

        Raises:
            ModelError: the graph failed.
        """
        try:
            answers: list[npt.NDArray[Any]] = self._session.run(list(outputs), {"images": images})
        except _failures() as error:
            raise ModelError(f"{self.where} failed on a picture: {first_line(error)}") from error
        return answers


def _failures() -> tuple[type[Exception], ...]:
    from onnxruntime.capi import onnxruntime_pybind11_state as ort

    return (
        ort.EPFail,
        ort.Fail,
        ort.InvalidArgument,
        ort.InvalidGraph,
        ort.InvalidProtobuf,
        ort.NotImplemented,
        ort.RuntimeException,
    )
