"""EfficientNet-Lite0, so that its published ImageNet weights fit: the start of the accurate model."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import pad

STEM = 32
NECK = 1280
CLASSES = 1000
EPSILON = 1e-3
"""Of the batch norms, as the weights were trained with."""
STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80),
          (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320))  # fmt: skip
"""Blocks, kernel, stride of the first one, expansion, channels of each stage."""
BLOCKS = sum(stage[0] for stage in STAGES)
DEPTHS = (2, 4, 7, 10, 15)
"""Blocks after which the head of the whole network looks at the features: the last of each size, and the last."""
SURENESSES = 9
HIDDEN = 256
DROPOUT = 0.3
FAR = 8.0
"""Standard deviations beyond which a feature says no more."""
TINY = 1e-6
GRAIN = 32
"""Input sizes are multiples of this: then all strided layers see even sizes, and are padded at the far side only."""


class Trunk(nn.Module):
    """Stem, blocks and neck: (N, 3, S, S) float32 RGB in 0-1, S a multiple of 32 -> (N, 1280, S / 32, S / 32).

    Source: Tan and Le 2019, "EfficientNet", without squeeze-and-excitation, with ReLU6 and fixed stem and head, as in
        the authors' Lite release.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(Same(3, STEM, 3, 2), _norm(STEM), nn.ReLU6())
        blocks: list[nn.Module] = []
        before = STEM
        for count, kernel, stride, expansion, width in STAGES:
            for number in range(count):
                blocks.append(Block(before, width, kernel, stride if number == 0 else 1, expansion))
                before = width
        self.blocks = nn.Sequential(*blocks)
        self.neck = nn.Sequential(Same(before, NECK, 1), _norm(NECK), nn.ReLU6())


class Lite(Trunk):
    """(N, 3, S, S) float32 RGB in 0-1, S a multiple of 32 -> (N, outputs) logits.

    Means and maxima of the places under the head: how much of something there is, and whether it is anywhere.
    """

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.head = nn.Linear(2 * NECK, outputs)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.frozen: tuple[nn.Module, ...] = ()

    def freeze(self, blocks: int) -> None:
        """Keep the stem and the first blocks as they are from now on, their running statistics included."""
        self.frozen = (self.stem, *self.blocks[:blocks])
        for layer in self.frozen:
            layer.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Lite:
        """Set the mode of all but the frozen layers."""
        super().train(mode)
        for layer in self.frozen:
            layer.eval()
        return self

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        """Logits of a batch."""
        places = self.neck(self.blocks(self.stem((255 * planes - 127) / 128)))
        logits: torch.Tensor = self.head(torch.cat((places.mean((2, 3)), places.amax((2, 3))), 1))
        return logits

    def load_published(self, state: dict[str, torch.Tensor]) -> None:
        """Take the weights of the PyTorch release, its classes left out.

        Raises:
            RuntimeError: they are of another network.
        """
        own = {_renamed(key): value for key, value in state.items() if not key.startswith("_fc.")}
        self.load_state_dict({**own, "head.weight": self.head.weight, "head.bias": self.head.bias})


class WholeLite(Trunk):
    """The published network as it is, its 1,000 classes included, under a head that alone learns.

    The head sees how sure the network is of its classes, and what passes through it at several depths: means, maxima
    and standard deviations over the places.

    (N, 3, S, S) float32 RGB in 0-1, S a multiple of 32 -> (N, outputs) logits.
    """

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.classes = nn.Linear(NECK, CLASSES)
        self.requires_grad_(False)
        widths = [block.project[0].out_channels for index, block in enumerate(self.blocks) if index in DEPTHS]
        seen = 3 * sum(widths) + 2 * NECK + SURENESSES
        self.scale = nn.BatchNorm1d(seen, affine=False)
        self.head = nn.Sequential(
            nn.Dropout(DROPOUT), nn.Linear(seen, HIDDEN), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(HIDDEN, outputs)
        )

    def train(self, mode: bool = True) -> WholeLite:
        """Set the mode of what learns; the rest stays as published."""
        super().train(mode)
        for layer in (self.stem, self.blocks, self.neck):
            layer.eval()
        return self

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        """Logits of a batch."""
        return self.judge(self.seen(planes))

    def judge(self, seen: torch.Tensor) -> torch.Tensor:
        """(N, D) what the head sees, unscaled -> (N, outputs) logits."""
        logits: torch.Tensor = self.head(self.scale(seen).clamp(-FAR, FAR))
        return logits

    def seen(self, planes: torch.Tensor) -> torch.Tensor:
        """(N, D) what the head sees, unscaled."""
        return self.look(planes)[0]

    def look(self, planes: torch.Tensor) -> tuple[torch.Tensor, dict[int, torch.Tensor]]:
        """(N, D) what the head sees, unscaled, and the features after each block."""
        features = self.stem((255 * planes - 127) / 128)
        found, after = [], {}
        for index, block in enumerate(self.blocks):
            features = after[index] = block(features)
            if index in DEPTHS:
                mean = features.mean((2, 3))
                spread = (features - mean[:, :, None, None]).square().mean((2, 3)).sqrt()
                found += [mean, features.amax((2, 3)), spread]
        places = self.neck(features)
        mean = places.mean((2, 3))
        return torch.cat((*found, mean, places.amax((2, 3)), sureness(self.classes(mean))), 1), after

    def load_published(self, state: dict[str, torch.Tensor]) -> None:
        """Take the weights of the PyTorch release.

        Raises:
            RuntimeError: they are of another network.
        """
        own = {_renamed(key): value for key, value in state.items()}
        new = {key: value for key, value in self.state_dict().items() if key.startswith(("head.", "scale."))}
        self.load_state_dict({**own, **new})


def sureness(logits: torch.Tensor) -> torch.Tensor:
    """(N, C) logits of classes -> (N, `SURENESSES`): how sure a classifier is, in the ways the field has measured it.

    Highest probability, its logarithm and that of its complement; lead over the second; the five highest together; sum
    of squares (1 minus it is the trace of the Fisher information with respect to the logits); entropy; energy (Liu et
    al. 2020); highest logit.
    """
    shares = logits.softmax(1)
    best = shares.topk(5, 1).values
    first, second = best[:, 0], best[:, 1]
    columns = (
        first, (first + TINY).log(), (1 - first + TINY).log(), first - second, best.sum(1), shares.square().sum(1),
        -(shares * (shares + TINY).log()).sum(1), logits.logsumexp(1), logits.amax(1),
    )  # fmt: skip
    return torch.stack(columns, 1)


class Block(nn.Module):
    """Expansion, depthwise convolution, projection; the input is added where the shape stays."""

    def __init__(self, before: int, width: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        middle = before * expansion
        self.expand = nn.Sequential(Same(before, middle, 1), _norm(middle), nn.ReLU6()) if expansion > 1 else None
        self.depth = nn.Sequential(Same(middle, middle, kernel, stride, groups=middle), _norm(middle), nn.ReLU6())
        self.project = nn.Sequential(Same(middle, width, 1), _norm(width))
        self.adds = stride == 1 and before == width

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, width, H / stride, W / stride)."""
        middle = features if self.expand is None else self.expand(features)
        result: torch.Tensor = self.project(self.depth(middle))
        return result + features if self.adds else result


class Same(nn.Conv2d):
    """A convolution padded as TensorFlow's "SAME" does: at even sizes a stride of 2 leaves nothing to the near side."""

    def __init__(self, before: int, after: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        total = kernel - stride
        self.near, self.far = total // 2, total - total // 2
        even = self.near == self.far
        super().__init__(before, after, kernel, stride, self.near if even else 0, groups=groups, bias=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, after, H / stride, W / stride)."""
        if self.near != self.far:
            features = pad(features, (self.near, self.far, self.near, self.far))
        return super().forward(features)


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=EPSILON)


_NAMES = {"_fc": "classes", "_conv_stem": "stem.0", "_bn0": "stem.1", "_conv_head": "neck.0", "_bn1": "neck.1"}
_IN_BLOCK = {"_expand_conv": "expand.0", "_bn0": "expand.1", "_depthwise_conv": "depth.0", "_bn1": "depth.1",
             "_project_conv": "project.0", "_bn2": "project.1"}  # fmt: skip


def _renamed(key: str) -> str:
    """A tensor's name in the PyTorch release -> its name here."""
    if not key.startswith("_blocks."):
        first, _, rest = key.partition(".")
        return f"{_NAMES.get(first, first)}.{rest}"
    _, number, layer, rest = key.split(".", 3)
    return f"blocks.{number}.{_IN_BLOCK.get(layer, layer)}.{rest}"
