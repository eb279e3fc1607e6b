"""What a classifier's own logits say about a picture: its energy and its Fisher information."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

from streamfilter.digest import file_sha256
from streamfilter.errors import ModelError
from trainer.networks.onnx import load_onnx
from trainer.rivals.case import Case
from trainer.rivals.sessions import Session

if TYPE_CHECKING:
    import onnx

Floats = npt.NDArray[np.floating[Any]]
OUTPUT = "probabilities"


class Classifier:
    """An ONNX classifier with the uniform interface whose logits, the input of its last Softmax, are read as well.

    The file is not written.

    Raises:
        ModelError: the file is missing, no classifier with the uniform interface, or has no Softmax.
        MissingExtraError: ONNX Runtime is not installed.
    """

    names = ("energy", "fisher_information")

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self.sha256 = file_sha256(path) if path.is_file() else ""
        self._fit = load_onnx(path, "classification", "cpu", 1).fit
        model, self._logits = _with_logits(path)
        self._session = Session(model, str(path))

    def logits(self, case: Case) -> Floats:
        """(C,) float64 logits of the distorted picture.

        Raises:
            ModelError: the network failed on it.
        """
        images = self._fit(case.rgb)[np.newaxis]
        return self._session.run([self._logits], images)[0].astype(np.float64).ravel()

    def __call__(self, case: Case) -> tuple[float, float]:
        """Energy and Fisher information, the signs such that higher means expected to be more useful."""
        logits = self.logits(case)
        return energy(logits), fisher_information(logits)


def energy(logits: Floats) -> float:
    """Minus the free energy of a picture at temperature 1: -E = log sum_c exp(f_c).

    Source: Liu et al. 2020, eq. (4).
    """
    return float(logsumexp(logits))


def fisher_information(logits: Floats) -> float:
    """Minus the trace of the Fisher information of the categorical distribution p in its logits, diag(p) - p p^T.

    -tr = sum_c p_c^2 - 1, from 1/C - 1 for complete doubt to 0 for certainty.
    """
    probabilities = np.exp(logits - logsumexp(logits))
    return float((probabilities**2).sum() - 1)


def _with_logits(path: Path) -> tuple[bytes, str]:
    """The model with the input of its last Softmax as one more output, and that output's name."""
    import onnx

    model = onnx.load(path)
    logits = _softmax_input(model.graph)
    if logits is None:
        raise ModelError(f"network {path} has no Softmax before `{OUTPUT}`: its logits are unknown, choose another")
    model.graph.output.append(onnx.helper.make_tensor_value_info(logits, onnx.TensorProto.FLOAT, None))
    return model.SerializeToString(), logits


def _softmax_input(graph: onnx.GraphProto) -> str | None:
    """The tensor that goes into the Softmax nearest to the output, following the nodes backwards."""
    makers = {output: node for node in graph.node for output in node.output}
    seen: set[str] = set()
    ahead = [OUTPUT]
    while ahead:
        node = makers.get(ahead.pop(0))
        if node is None or node.output[0] in seen:
            continue
        if node.op_type == "Softmax":
            return str(node.input[0])
        seen.add(node.output[0])
        ahead += node.input
    return None
