"""Weights rounded to what a smaller file holds exactly: float16, or int8 with one scale for each output channel."""

from __future__ import annotations

import torch

from streamfilter.errors import ModelError

FLOAT16, INT8 = "float16", "int8"
WEIGHTS = (FLOAT16, INT8)
MOST = 127
"""Largest int8 in use: the largest weight of each channel."""
UPPER_HALF = -(1 << 16)
"""Keeps sign, exponent and 7 bits of a float32: a scale this coarse times an int8 is exact in float32."""


def round_weights(module: torch.nn.Module, weights: str) -> None:
    """Round every weight in place.

    Args:
        module: the trained network.
        weights: `float16`, or `int8`: convolutions and linear layers then have 8 bits a weight, the rest float16.

    Raises:
        ModelError: a weight is too large for float16: the training has diverged.
    """
    with torch.no_grad():
        for tensor in module.state_dict().values():
            if not tensor.is_floating_point():
                continue
            if weights == INT8 and tensor.ndim > 1:
                tensor.copy_(_to_grid(tensor))
            else:
                tensor.copy_(tensor.half())
            if not torch.isfinite(tensor).all():
                raise ModelError("a weight is over 65504: the training has diverged, lower --lr")


def _to_grid(tensor: torch.Tensor) -> torch.Tensor:
    """(O, ...) float32 -> the nearest whole multiples, -127 to 127, of one step an output channel."""
    rows = tensor.flatten(1)
    step = (rows.abs().amax(1, keepdim=True) / MOST).view(torch.int32).bitwise_and(UPPER_HALF).view(torch.float32)
    levels = (rows / step.where(step > 0, torch.ones_like(step))).round().clamp(-MOST, MOST)
    return (levels * step).view(tensor.shape)
