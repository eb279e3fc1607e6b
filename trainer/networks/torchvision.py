"""torchvision's named networks with their published weights and their own transforms."""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from streamfilter.consumers.detections import Detections, Floats
from streamfilter.digest import file_sha256
from streamfilter.errors import ConfigError, DeviceError, MissingExtraError, ModelError, first_line
from streamfilter.frame import RGB

if TYPE_CHECKING:
    import torch
    from torchvision.models import WeightsEnum

MAX_BATCH = 8


@dataclass(frozen=True)
class Published:
    """One of torchvision's networks as published."""

    task: str
    """`classification` or `detection`."""
    weights: str
    """Name of its enum of weights; the enum's DEFAULT is used."""


NETWORKS = {
    "alexnet": Published("classification", "AlexNet_Weights"),
    "densenet121": Published("classification", "DenseNet121_Weights"),
    "efficientnet_b7": Published("classification", "EfficientNet_B7_Weights"),
    "inception_v3": Published("classification", "Inception_V3_Weights"),
    "resnext50_32x4d": Published("classification", "ResNeXt50_32X4D_Weights"),
    "vgg19": Published("classification", "VGG19_Weights"),
    "fasterrcnn_mobilenet_v3_large_fpn": Published("detection", "FasterRCNN_MobileNet_V3_Large_FPN_Weights"),
    "fasterrcnn_resnet50_fpn": Published("detection", "FasterRCNN_ResNet50_FPN_Weights"),
    "maskrcnn_resnet50_fpn": Published("detection", "MaskRCNN_ResNet50_FPN_Weights"),
    "retinanet_resnet50_fpn": Published("detection", "RetinaNet_ResNet50_FPN_Weights"),
    "ssd300_vgg16": Published("detection", "SSD300_VGG16_Weights"),
    "ssdlite320_mobilenet_v3_large": Published("detection", "SSDLite320_MobileNet_V3_Large_Weights"),
}


class TorchvisionNetwork:
    """A torchvision module behind the `Network` protocol."""

    def __init__(self, name: str, task: str, module: torch.nn.Module, transform: Any, sha256: str) -> None:
        self.name = name
        self.task = task
        self.source = name
        self.sha256 = sha256
        self._module = module
        self._transform = transform
        self._device = next(module.parameters()).device

    def predict(self, pictures: Sequence[RGB]) -> Floats | list[Detections]:
        """See `Network.predict`."""
        import torch

        ask = self._detect if self.task == "detection" else self._classify
        answers: list[Any] = []
        try:
            with torch.inference_mode():
                for start in range(0, len(pictures), MAX_BATCH):
                    answers.extend(ask(pictures[start : start + MAX_BATCH]))
        except RuntimeError as error:
            raise ModelError(f"network {self.name} failed on a picture: {first_line(error)}") from error
        return answers if self.task == "detection" else np.array(answers, dtype=np.float32).reshape(-1, 1000)

    def _inputs(self, pictures: Sequence[RGB]) -> list[torch.Tensor]:
        from PIL import Image

        return [self._transform(Image.fromarray(rgb)).to(self._device) for rgb in pictures]

    def _classify(self, pictures: Sequence[RGB]) -> Floats:
        import torch

        logits = self._module(torch.stack(self._inputs(pictures)))
        return np.asarray(logits.float().softmax(dim=1).cpu().numpy(), dtype=np.float32)

    def _detect(self, pictures: Sequence[RGB]) -> list[Detections]:
        found = self._module(self._inputs(pictures))
        return [_detections(one, rgb) for one, rgb in zip(found, pictures, strict=True)]


def load_torchvision(
    name: str, task: str, weights_dir: Path | None, device: str, threads: int | None
) -> TorchvisionNetwork:
    """Build a named network and load its published weights.

    Raises:
        ConfigError: the name is unknown.
        ModelError: the network is of another task, or its weight file is missing, damaged or cannot be downloaded.
        DeviceError: `cuda` is asked for and torch has none.
        MissingExtraError: torchvision is not installed.
    """
    published = NETWORKS.get(name)
    if published is None:
        raise ConfigError(f"unknown network {name!r}: give an .onnx file or one of {', '.join(NETWORKS)}")
    if published.task != task:
        raise ModelError(f"network {name} is for {published.task}, not {task}")
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError(f"network {name} needs torchvision: pip install 'streamfilter[train]'") from error
    if device == "cuda" and not torch.cuda.is_available():
        raise DeviceError(f"no cuda for {name}: torch sees no CUDA device")
    if threads is not None:
        torch.set_num_threads(threads)
    weights = published_weights(name)
    path = _weight_file(name, weights, weights_dir)
    module = _build(name, weights, _load_state(path)).eval().to(device)
    return TorchvisionNetwork(name, task, module, weights.transforms(), file_sha256(path))


def published_weights(name: str) -> WeightsEnum:
    """torchvision's default weights of a network in `NETWORKS`: their address, transforms and categories."""
    published = NETWORKS[name]
    package = "torchvision.models" + (".detection" if published.task == "detection" else "")
    weights: WeightsEnum = getattr(importlib.import_module(package), published.weights).DEFAULT
    return weights


def weight_file_name(name: str) -> str:
    """File name under which torchvision publishes a network's weights."""
    return str(published_weights(name).url).rsplit("/", 1)[-1]


def _weight_file(name: str, weights: WeightsEnum, weights_dir: Path | None) -> Path:
    from torch import hub

    wanted = weight_file_name(name)
    if weights_dir is not None:
        if not (weights_dir / wanted).is_file():
            raise ModelError(f"weights of {name} are missing: put {wanted} (from {weights.url}) into {weights_dir}")
        return weights_dir / wanted
    cached = Path(hub.get_dir()) / "checkpoints" / wanted
    if not cached.is_file():
        cached.parent.mkdir(parents=True, exist_ok=True)
        prefix = wanted.removesuffix(".pth").rsplit("-", 1)[-1]
        try:
            hub.download_url_to_file(weights.url, str(cached), hash_prefix=prefix)
        except (OSError, RuntimeError) as error:
            raise ModelError(
                f"weights of {name} cannot be downloaded ({error}): get {wanted} from {weights.url} elsewhere and pass "
                "its folder as --weights-dir"
            ) from error
    return cached


def _load_state(path: Path) -> dict[str, torch.Tensor]:
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ModelError(f"weight file {path} cannot be read ({first_line(error)}): fetch it again") from error
    if not isinstance(state, dict):
        raise ModelError(f"weight file {path} holds no state dict but a {type(state).__name__}: fetch it again")
    return state


def _build(name: str, weights: WeightsEnum, state: dict[str, torch.Tensor]) -> torch.nn.Module:
    from torchvision.models import get_model

    with _answering_with(type(weights), state):
        try:
            module: torch.nn.Module = get_model(name, weights=weights)
        except RuntimeError as error:
            raise ModelError(f"the weight file of {name} belongs to another network: {first_line(error)}") from error
    return module


@contextmanager
def _answering_with(kind: type[WeightsEnum], state: dict[str, torch.Tensor]) -> Iterator[None]:
    """Have torchvision's own builder take `state` instead of downloading.

    Building with `weights=` matters: it also sets frozen batch norms, their epsilon, input transforms and key names as
    the published weights need them.
    """

    def get_state_dict(self: WeightsEnum, *args: Any, **kwargs: Any) -> dict[str, torch.Tensor]:
        return state

    kind.get_state_dict = get_state_dict
    try:
        yield
    finally:
        del kind.get_state_dict


def _detections(found: dict[str, torch.Tensor], rgb: RGB) -> Detections:
    height, width = rgb.shape[:2]
    sides = np.array([width, height, width, height], dtype=np.float32)
    boxes = np.clip(found["boxes"].float().cpu().numpy() / sides, 0, 1)
    scores = found["scores"].float().cpu().numpy().astype(np.float32)
    return Detections(boxes.astype(np.float32), scores, found["labels"].cpu().numpy().astype(np.int64))
