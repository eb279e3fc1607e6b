"""ShuffleNetV2 as its authors arranged it, so that their ImageNet weights fit: the start of the small model."""

from __future__ import annotations

import torch
from torch import nn

STEM = 24
NECK = 384
WIDTHS = (48, 96, 192)
DEPTHS = (4, 8, 4)


class ShuffleNetV2(nn.Module):
    """The 0.5x backbone: (N, 3, H, W) float32 in 0-1 -> (N, 192, H / 32, W / 32).

    Source: Ma et al. 2018, "ShuffleNet V2", table 5; the halves are the even and the odd channels, as in the authors'
        release, where torchvision's are the first and the second half: its weights do not fit here, nor these there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first_conv = nn.Sequential(nn.Conv2d(3, STEM, 3, 2, 1, bias=False), nn.BatchNorm2d(STEM), nn.ReLU())
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        before = STEM
        for number, (width, depth) in enumerate(zip(WIDTHS, DEPTHS, strict=True), start=2):
            units: list[nn.Module] = [Downsample(before, width), *(Unit(width) for _ in range(depth - 1))]
            setattr(self, f"stage{number}", nn.Sequential(*units))
            before = width

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        """Features of a batch."""
        features = self.maxpool(self.first_conv(planes))
        for number in range(2, 2 + len(WIDTHS)):
            features = getattr(self, f"stage{number}")(features)
        return features


class Nano(nn.Module):
    """The 0.5x backbone under a head that knows both how much of something there is and whether it is anywhere."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.features = ShuffleNetV2()
        self.neck = nn.Sequential(*_pointwise(WIDTHS[-1], NECK))
        self.head = nn.Linear(2 * NECK, outputs)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) float32 RGB 0-1 -> (N, outputs) logits."""
        places = self.neck(self.features(planes))
        logits: torch.Tensor = self.head(torch.cat((places.mean((2, 3)), places.amax((2, 3))), 1))
        return logits

    def load_published(self, state: dict[str, torch.Tensor]) -> None:
        """Take the authors' ImageNet weights, which expect BGR in 0-1: the first layer is turned round, for RGB.

        Raises:
            KeyError, RuntimeError: they are of another network.
        """
        first = state["first_conv.0.weight"]
        self.features.load_state_dict({**state, "first_conv.0.weight": first.flip(1)})


class Unit(nn.Module):
    """Even channels as they are, odd ones through the branch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch_main = _main(width // 2, width // 2, width // 2, stride=1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> the same shape."""
        return torch.cat((features[:, 0::2], self.branch_main(features[:, 1::2])), 1)


class Downsample(nn.Module):
    """Half the size; both branches see all channels."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.branch_main = _main(before, width // 2, width - before, stride=2)
        self.branch_proj = nn.Sequential(*_spatial(before, stride=2), *_pointwise(before, before))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, width, H / 2, W / 2)."""
        return torch.cat((self.branch_proj(features), self.branch_main(features)), 1)


def _main(before: int, middle: int, after: int, stride: int) -> nn.Sequential:
    return nn.Sequential(*_pointwise(before, middle), *_spatial(middle, stride), *_pointwise(middle, after))


def _pointwise(before: int, after: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(before, after, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()


def _spatial(width: int, stride: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(width, width, 3, stride, 1, groups=width, bias=False), nn.BatchNorm2d(width)
