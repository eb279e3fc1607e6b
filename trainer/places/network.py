"""A published network that looks twice: at the centre, as it was taught, and at the whole, with a map of places."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d, relu6

from trainer.efficientnet import FAR, STAGES, WholeLite

CENTRED = "lite0_centred"
FINE, MIDDLE, COARSE = 4, 10, 15
"""Blocks after which the places take up features: strides of 8, 16 and 32 pixels."""
STRIDE = 16
"""Input pixels to a place of the map."""
WIDTH = 64
HIDDEN = 256
DROPOUT = 0.3
TOP = 5
"""Surest places that count together."""
RARE = -3.0
"""Logit of a place before anything is learned: few hold an object."""

Looks = tuple[torch.Tensor, ...]


class Centred(nn.Module):
    """The published network, left as it is, looks twice: at the centre as classifiers do, and at the whole frame.

    What passes through it at the centre leads to a first answer; what the whole frame shows corrects some. There, a map
    has a channel an output: how sure a labelling detector is at each place of an object that it finds rightly. Its
    surest places, its features and the statistics of the whole frame lead to the correction.

    (N, 3, S + C, S) float32 RGB in 0-1, S a multiple of 32, the centre below the whole, see
    `streamfilter.preprocess.shrink` -> (N, outputs) logits.
    """

    corrected: torch.Tensor

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.whole = WholeLite(outputs)
        widths = [width for count, *_, width in STAGES for _ in range(count)]
        self.fine = nn.Sequential(nn.Conv2d(2 * widths[FINE], WIDTH, 1, bias=False), nn.BatchNorm2d(WIDTH))
        self.middle = nn.Sequential(nn.Conv2d(widths[MIDDLE], WIDTH, 1, bias=False), nn.BatchNorm2d(WIDTH))
        self.coarse = nn.Sequential(nn.Conv2d(widths[COARSE], WIDTH, 1, bias=False), nn.BatchNorm2d(WIDTH))
        self.mix = nn.Sequential(_separable(WIDTH), _separable(WIDTH))
        self.map = nn.Conv2d(WIDTH, outputs, 1)
        nn.init.constant_(self.map.bias, RARE)  # type: ignore[arg-type]
        seen = 2 * WIDTH + 3 * outputs + int(self.whole.head[1].in_features)
        self.scale = Standard(seen, affine=False)
        self.head = nn.Sequential(
            nn.Dropout(DROPOUT), nn.Linear(seen, HIDDEN), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(HIDDEN, outputs)
        )
        nn.init.zeros_(self.head[-1].weight)
        nn.init.zeros_(self.head[-1].bias)
        self.register_buffer("corrected", torch.ones(outputs))

    def correct(self, outputs: Sequence[bool]) -> None:
        """Set which outputs the whole frame corrects; the others hear the centre alone."""
        self.corrected.copy_(torch.tensor(outputs, dtype=torch.float32))

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        """Logits of a batch."""
        return self.answer(self.look(planes))[0]

    def look(self, planes: torch.Tensor) -> Looks:
        """What stays the same however long one trains.

        Args:
            planes: (N, 3, S + C, S) float32, RGB, 0-1.

        Returns:
            Features of the whole frame at S / 16, S / 16 and S / 32, its (N, D) statistics, and those of the centre.
        """
        size = int(planes.shape[-1])
        side = int(planes.shape[-2]) - size
        statistics, after = self.whole.look(planes[:, :, :size])
        fine = torch.cat((avg_pool2d(after[FINE], 2), max_pool2d(after[FINE], 2)), 1)
        return fine, after[MIDDLE], after[COARSE], statistics, self.whole.seen(planes[:, :, size:, :side])

    def answer(self, looks: Looks) -> tuple[torch.Tensor, torch.Tensor]:
        """What is learned: (N, outputs) logits and the (N, outputs, S / 16, S / 16) map of logits."""
        fine, middle, coarse, statistics, centre = looks
        far = interpolate(self.coarse(coarse), scale_factor=2.0, mode="nearest")
        features = self.mix(relu6(self.fine(fine) + self.middle(middle) + far))
        chart = self.map(features)
        flat = chart.flatten(2)
        surest = flat.topk(min(TOP, int(chart.shape[2] * chart.shape[3])), 2).values
        seen = torch.cat(
            (
                features.mean((2, 3)),
                features.amax((2, 3)),
                surest[:, :, 0],
                surest.mean(2),
                flat.logsumexp(2),
                statistics,
            ),
            1,
        )
        correction = self.head(self.scale(seen).clamp(-FAR, FAR))
        return self.whole.judge(centre) + self.corrected * correction, chart

    def load_published(self, state: dict[str, torch.Tensor]) -> None:
        """Take the weights of the PyTorch release.

        Raises:
            RuntimeError: they are of another network.
        """
        self.whole.load_published(state)


class Standard(nn.BatchNorm1d):
    """A batch norm that is plain arithmetic once it is trained: the exporter need not know how wide its input is."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(N, C) -> (N, C)."""
        if self.training or self.running_mean is None or self.running_var is None:
            return super().forward(features)
        return (features - self.running_mean) / (self.running_var + self.eps).sqrt()


def _separable(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, width, 5, padding=2, groups=width, bias=False), nn.BatchNorm2d(width),
        nn.Conv2d(width, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU6(),
    )  # fmt: skip
