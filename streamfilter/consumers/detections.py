"""What a detector says about one picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamfilter.errors import ShapeError

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Detections:
    """The K objects a detector sees in one picture, best first or in any order.

    Raises:
        ShapeError: the three arrays disagree in K, or boxes are not (K, 4).
    """

    boxes: Floats
    """(K, 4) float32, xyxy; fractions of the whole picture, 0-1, from networks, pixels from a user's own program."""
    scores: Floats
    """(K,) float32 confidences, 0-1."""
    category_ids: npt.NDArray[np.int64]
    """(K,) int64 categories; COCO ids where the trainer asks networks of COCO's 80 labels."""

    def __post_init__(self) -> None:
        count = len(self.scores)
        if self.boxes.shape != (count, 4) or self.category_ids.shape != (count,):
            raise ShapeError(
                f"expected ({count}, 4) boxes and ({count},) categories for {count} scores, "
                f"got {self.boxes.shape} and {self.category_ids.shape}"
            )
