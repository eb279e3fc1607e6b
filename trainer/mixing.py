"""The mean of weights before and after training: better on new pictures than either, where one began from the other."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

State = Mapping[str, torch.Tensor]


def copied(module: nn.Module) -> State:
    """The weights as they are now, running statistics included."""
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def mix(module: nn.Module, initial: State, share: float) -> None:
    """Make every weight (1 - share) * trained + share * initial, in place; counters stay.

    Args:
        module: the trained network.
        initial: the same weights before training.
        share: of the initial ones, 0-1.

    Source: Wortsman et al. 2022, "Robust fine-tuning of zero-shot models", eq. (1).
    """
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                tensor.lerp_(initial[name].to(tensor), share)
