"""Kept frames into an ONNX classifier (`images` uint8 NHWC in, probabilities out):
python samples/classifier_consumer.py CLIP CLASSIFIER.onnx"""

import sys

import cv2
import numpy as np
import onnxruntime

from streamfilter import StreamFilter


class Classifier:
    """An ONNX file with its normalisation inside and `input_size` in its metadata."""

    def __init__(self, path: str) -> None:
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self.size = int(self.session.get_modelmeta().custom_metadata_map["input_size"])

    def probabilities(self, rgb: np.ndarray) -> np.ndarray:
        """(C,) float32 for a picture (H, W, 3) uint8 RGB: shorter side to size / 0.875, then the central square."""
        scale = round(self.size / 0.875) / min(rgb.shape[:2])
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=interpolation)
        top, left = ((side - self.size) // 2 for side in small.shape[:2])
        square = small[top : top + self.size, left : left + self.size]
        return self.session.run(None, {"images": square[np.newaxis]})[0][0]


def main() -> None:
    classifier = Classifier(sys.argv[2])
    for frame, decision in StreamFilter(task="classification").filter(sys.argv[1]):
        if decision.keep:
            found = classifier.probabilities(frame.rgb)
            print(f"frame {frame.index}: class {found.argmax()} at {found.max():.2f}")


if __name__ == "__main__":
    main()
