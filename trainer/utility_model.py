"""A utility model in its ONNX file, asked about pictures of any size."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from streamfilter.errors import ModelError
from streamfilter.frame import RGB
from streamfilter.preprocess import shrink
from streamfilter.spec import ModelSpec
from trainer.rivals.sessions import Session

SHIPPED = Path(__file__).parent.parent / "streamfilter" / "models"
OUTPUT = "utility"


class UtilityModel:
    """A utility model; may be asked by many threads, each question on one thread.

    Args:
        name_or_path: name of a model in the checkout's `streamfilter/models`, or a path.

    Raises:
        ModelError: there is no such model, or it is none that its spec describes.
        MissingExtraError: ONNX Runtime is not installed.
    """

    def __init__(self, name_or_path: str) -> None:
        path = find_model(name_or_path)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ModelError(f"model {path} cannot be read: {error}") from error
        self.name = path.stem
        self.sha256 = hashlib.sha256(data).hexdigest()
        self._session = Session(data, str(path))
        self.spec = ModelSpec.from_metadata(self._session.metadata, str(path))
        if self._session.inputs != {"images": "tensor(uint8)"} or OUTPUT not in self._session.outputs:
            raise ModelError(f"{path} does not take uint8 `images` and give `{OUTPUT}`: export the model again")

    @property
    def names(self) -> tuple[str, ...]:
        """`<model name>:<task>` for each task."""
        return tuple(f"{self.name}:{task}" for task in self.spec.tasks)

    def __call__(self, rgb: RGB) -> tuple[float, ...]:
        """Utility of a picture for each of `spec.tasks`, in [0, 1].

        Args:
            rgb: (H, W, 3) uint8, RGB, HWC, 0-255.

        Raises:
            ModelError: the model failed on it.
        """
        small = np.ascontiguousarray(shrink(rgb, self.spec.input_size, self.spec.fit))
        scores = self._session.run([OUTPUT], small[np.newaxis])[0]
        if scores.shape != (1, len(self.spec.tasks)):
            raise ModelError(f"{self._session.where} gives {scores.shape} for 1 picture, {len(self.spec.tasks)} tasks")
        return tuple(map(float, scores[0]))


def find_model(name_or_path: str) -> Path:
    """The file of a shipped model's name, or of a path.

    Raises:
        ModelError: there is no such model or file.
    """
    shipped = SHIPPED / f"{name_or_path}.onnx"
    for path in (shipped, Path(name_or_path)):
        if path.is_file():
            return path
    names = ", ".join(sorted(path.stem for path in SHIPPED.glob("*.onnx")))
    raise ModelError(f"no model {name_or_path}: give the path of an ONNX file, or a shipped name ({names})")
