"""The kit's detectors as Python entry points; each remembers its answers, so that a second model asks for nothing."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

KIT = Path(os.environ.get("STREAMFILTER_KIT", "../shared/kit"))

Found = list[tuple[int, float, list[float]]]


class Detector:
    """One network of the kit, loaded when first asked."""

    def __init__(self, name: str) -> None:
        self._path = KIT / "networks" / f"{name}.onnx"
        self._answers: dict[int, Found] = {}
        self._network = None

    def __call__(self, rgb: npt.NDArray[np.uint8]) -> Found:
        """What it sees: (label, score, box in pixels)."""
        key = zlib.crc32(np.ascontiguousarray(rgb).data)
        if key not in self._answers:
            self._answers[key] = self._ask(rgb)
        return self._answers[key]

    def _ask(self, rgb: npt.NDArray[np.uint8]) -> Found:
        from trainer.networks import load_network

        self._network = self._network or load_network(self._path, "detection")
        (found,) = self._network.predict([rgb])
        height, width = rgb.shape[:2]
        boxes = found.boxes * np.array([width, height, width, height], np.float32)
        return [
            (int(label), float(score), [float(side) for side in box])
            for label, score, box in zip(found.category_ids, found.scores, boxes, strict=True)
        ]


picodet_s_416 = Detector("picodet_s_416")
"""One of those the models' labels come from."""
fastestdet_352 = Detector("fastestdet_352")
"""One that no model has learned from."""
