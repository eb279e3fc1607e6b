"""The utility networks: a torchvision backbone with one logit a task, normalisation and calibration inside."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
import torchvision
from torch import nn
from torch.nn.functional import avg_pool2d

from streamfilter.errors import ConfigError, ModelError
from streamfilter.spec import STRETCH, WITH_CENTRE
from trainer.efficientnet import Lite, WholeLite
from trainer.places.network import CENTRED, Centred
from trainer.shufflenet import Nano
from trainer.weights import lite_weights, load_authors, load_torchvision, read_checkpoint

log = logging.getLogger(__name__)

NANO, LITE, WHOLE = "nano", "lite0", "lite0_whole"
MODELS = ("resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5", NANO, LITE, WHOLE, CENTRED)
OURS: dict[str, type[Nano] | type[Lite] | type[WholeLite] | type[Centred]] = {
    NANO: Nano, LITE: Lite, WHOLE: WholeLite, CENTRED: Centred,
}  # fmt: skip
"""Those that start from a file of their authors' weights."""
INITS = ("none", "imagenet")
FRONTS = ("residual", "rgb", "unit")
KNEE = 4.0
"""Grey levels at which the residual front is half way to its limit: flat patches stand out from faint texture."""
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class UtilityNet(nn.Module):
    """Images in, one logit a task out; the same front for training, parity and export.

    While it learns, further logits may stand behind the tasks': one for each labelling network.
    Binary cross-entropy on one logit is the two-class cross-entropy with one redundant output removed.
    """

    mean: torch.Tensor
    std: torch.Tensor
    scale: torch.Tensor
    bias: torch.Tensor

    def __init__(
        self, backbone: nn.Module, tasks: Sequence[str], front: str = "rgb", networks: Sequence[tuple[str, str]] = ()
    ) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self.networks = tuple(networks)
        self.front = front
        self.backbone = backbone.to(memory_format=torch.channels_last)
        self.register_buffer("mean", 255 * torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.ones(len(self.tasks) + len(self.networks)))
        self.register_buffer("bias", torch.zeros(len(self.tasks) + len(self.networks)))

    @property
    def fit(self) -> str:
        """How a picture becomes the input, one of `streamfilter.spec.FITS`."""
        return WITH_CENTRE if isinstance(self.backbone, Centred) else STRETCH

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits before calibration.

        Args:
            images: (N, S, S, 3) uint8, RGB, NHWC, 0-255.

        Returns:
            (N, T) float32, one column a task.
        """
        logits = self.all_logits(images)
        return logits[:, : len(self.tasks)] if self.networks else logits

    def all_logits(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of the tasks, then of the labelling networks.

        Args:
            images: (N, S, S, 3) uint8, RGB, NHWC, 0-255.

        Returns:
            (N, T + A) float32.
        """
        logits: torch.Tensor = self.backbone(self.planes(images))
        return logits if logits.dtype == torch.float32 else logits.to(torch.float32)

    def planes(self, images: torch.Tensor) -> torch.Tensor:
        """What the backbone sees.

        Args:
            images: (N, S, S, 3) uint8, RGB, NHWC, 0-255.

        Returns:
            (N, 3, S, S) float32.
        """
        planes = images.permute(0, 3, 1, 2).to(torch.float32)
        if self.front == "residual":
            return residual(planes)
        return planes / 255 if self.front == "unit" else (planes - self.mean) / self.std

    def probabilities(self, images: torch.Tensor) -> torch.Tensor:
        """Calibrated utility: sigmoid(scale * logit + bias), with one scale and bias a task.

        Args:
            images: (N, S, S, 3) uint8, RGB, NHWC, 0-255.

        Returns:
            (N, T) float32 in [0, 1].

        Source: Platt 1999, "Probabilistic outputs for support vector machines".
        """
        tasks = len(self.tasks)
        return torch.sigmoid(self.scale[:tasks] * self(images) + self.bias[:tasks])

    def all_probabilities(self, images: torch.Tensor) -> torch.Tensor:
        """(N, T + A) float32 in [0, 1]: `probabilities`, then the calibrated utility to each labelling network."""
        return torch.sigmoid(self.scale * self.all_logits(images) + self.bias)

    def calibrate(self, scale: Sequence[float], bias: Sequence[float]) -> None:
        """Set the T + A scales and biases of `all_probabilities`."""
        self.scale.copy_(torch.tensor(scale))
        self.bias.copy_(torch.tensor(bias))


def residual(planes: torch.Tensor) -> torch.Tensor:
    """What each pixel differs by from the mean of its 3 x 3 neighbourhood, r / (|r| + knee), in (-1, 1).

    Compression and blur flatten pictures, and that is what is left when the scene itself is taken away.

    Args:
        planes: (N, 3, H, W) float32, RGB, 0-255.
    """
    difference = planes - avg_pool2d(planes, 3, stride=1, padding=1, count_include_pad=False)
    return difference / (difference.abs() + KNEE)


def build(
    name: str,
    tasks: Sequence[str],
    init: str = "none",
    weights_dir: Path | None = None,
    front: str = "rgb",
    networks: Sequence[tuple[str, str]] = (),
) -> UtilityNet:
    """A fresh utility network.

    Args:
        name: one of `MODELS`.
        tasks: the tasks, in the order of the output's columns.
        init: `none` for a random initialisation, `imagenet` for the published weights of torchvision's networks and of
            EfficientNet-Lite0, a file of weights as their authors published them (`nano`: ShuffleNetV2 0.5x's), or the
            folder of a finished run for at least these tasks; weights come under a new head where the outputs differ.
        weights_dir: folder that holds the published weights' file; None downloads it.
        front: what the backbone sees: `rgb`, normalised, the `residual` of each pixel to its neighbourhood, or `unit`,
            RGB in 0-1.
        networks: (task, network) that get a logit of their own behind the tasks'.

    Raises:
        ConfigError: unknown model, initialisation or front, or published weights under a front they do not know.
        ModelError: the published weights cannot be had, or are another network's.
    """
    if name not in MODELS:
        raise ConfigError(f"unknown model {name!r}; known: {', '.join(MODELS)}")
    is_file = name in OURS and Path(init).is_file()
    if init not in INITS and not Path(init).is_dir() and not is_file:
        raise ConfigError(
            f"unknown initialisation {init!r}; known: {', '.join(INITS)}, the folder of a finished run, "
            f"or a weight file for {' or '.join(OURS)}"
        )
    if name == NANO and init == "imagenet":
        raise ConfigError(f"{name} starts from a file of its authors' weights: give its path as --init")
    starts_ready = is_file or init == "imagenet"
    wanted = ("unit" if name in OURS else "rgb") if starts_ready else front
    if front not in FRONTS or front != wanted:
        raise ConfigError(f"front {front!r}: known are {', '.join(FRONTS)}, and these published weights want {wanted}")
    outputs = len(tasks) + len(networks)
    if name in OURS:
        backbone: nn.Module = OURS[name](outputs)
    else:
        backbone = torchvision.models.get_model(name, weights=None, num_classes=outputs)
    if isinstance(backbone, Centred):
        backbone.correct([task == "detection" for task in (*tasks, *(of for of, _ in networks))])
    if isinstance(backbone, tuple(OURS.values())):
        if starts_ready:
            load_authors(backbone, Path(init) if is_file else lite_weights(weights_dir))
    elif init == "imagenet":
        load_torchvision(backbone, name, weights_dir)
    net = UtilityNet(backbone, tasks, front, networks)
    if init not in INITS and not is_file:
        _load_run(net, name, Path(init))
    return net


def load(run: Path) -> UtilityNet:
    """The network of a run folder, calibrated, in evaluation mode on the CPU.

    Raises:
        ModelError: the run has no finished checkpoint, or it is damaged.
    """
    checkpoint = read_checkpoint(run / "checkpoint.pt")
    recipe = checkpoint["recipe"]
    if not checkpoint["calibrated"]:
        done = f"{checkpoint['epoch']} of {recipe['epochs']} epochs"
        raise ModelError(f"{run} is not finished ({done}); give its training command again to go on")
    networks = [(task, network) for task, network in recipe.get("networks", ())]
    net = build(recipe["model"], recipe["tasks"], front=recipe["front"], networks=networks)
    net.load_state_dict(checkpoint["model"])
    return net.eval()


def _load_run(net: UtilityNet, name: str, run: Path) -> None:
    earlier = load(run)
    recipe = read_checkpoint(run / "checkpoint.pt")["recipe"]
    if (recipe["model"], earlier.front) != (name, net.front) or not set(net.tasks) <= set(earlier.tasks):
        what = f"{recipe['model']} for {', '.join(earlier.tasks)} with front {earlier.front}"
        raise ConfigError(f"{run} is a {what}; start from another run")
    own = net.backbone.state_dict()
    fitting = {key: value for key, value in earlier.backbone.state_dict().items() if own[key].shape == value.shape}
    net.backbone.load_state_dict(fitting, strict=False)
