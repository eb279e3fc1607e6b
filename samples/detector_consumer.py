"""Kept frames into a torchvision detector: python samples/detector_consumer.py CLIP [--weights FILE.pth]"""

import argparse

import torch
from torchvision.models.detection import FasterRCNN_MobileNet_V3_Large_FPN_Weights, fasterrcnn_mobilenet_v3_large_fpn

from streamfilter import StreamFilter

PUBLISHED = FasterRCNN_MobileNet_V3_Large_FPN_Weights.COCO_V1
CONFIDENCE = 0.5


def load(weights: str | None) -> torch.nn.Module:
    """The detector with its published weights, downloaded on first use, or those of a local file."""
    if weights is None:
        return fasterrcnn_mobilenet_v3_large_fpn(weights=PUBLISHED).eval()
    detector = fasterrcnn_mobilenet_v3_large_fpn(weights=None, weights_backbone=None)
    detector.load_state_dict(torch.load(weights, weights_only=True))
    return detector.eval()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("clip")
    parser.add_argument("--weights", help="the published weights as a file, for machines that are offline")
    arguments = parser.parse_args()
    detector = load(arguments.weights)
    for frame, decision in StreamFilter(task="detection").filter(arguments.clip):
        if decision.keep:
            with torch.inference_mode():
                found = detector([torch.from_numpy(frame.rgb).permute(2, 0, 1) / 255])[0]
            seen = [PUBLISHED.meta["categories"][label] for label in found["labels"][found["scores"] >= CONFIDENCE]]
            print(f"frame {frame.index}: {', '.join(seen) or 'nothing'}")


if __name__ == "__main__":
    main()
