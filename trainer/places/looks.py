"""What the frozen part of a network makes of pictures: made once, remembered, read again every epoch."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from trainer.models import UtilityNet
from trainer.places.network import Centred, Looks
from trainer.rivals.sessions import Session
from trainer.views import Pictures, room

OPSET = 18
NAMES = ("fine", "middle", "coarse", "statistics", "centre")
Indices = Sequence[int] | npt.NDArray[np.int64]
Halves = npt.NDArray[np.float16]


class RememberedLooks:
    """Looks at the pictures of rows, as float16, up to a bound; may be asked by many threads.

    Args:
        net: whose backbone looks; its frozen part is copied into an ONNX graph, which runs on the CPU.
        pictures: what to look at.
        cache_mb: bound on what is remembered, MiB.
        folder: where to remember it, for other runs of the same network on the same rows as well; None for memory.
    """

    def __init__(self, net: UtilityNet, pictures: Pictures, cache_mb: int, folder: Path | None = None) -> None:
        self.pictures = pictures
        graph = _graph(net, pictures.shape)
        self._session = Session(graph, "the frozen part")
        empty = np.zeros((1, *pictures.shape), np.uint8)
        self._shapes = [answer.shape[1:] for answer in self._session.run(NAMES, empty)]
        width = sum(map(prod, self._shapes))
        rows = min(len(pictures), cache_mb * 2**20 // (2 * width))
        key = hashlib.sha256(pictures.key().encode() + graph).hexdigest()[:16]
        self._cache, self._made = room(folder and folder / f"{key}-looks", (rows, width), np.float16)

    def __len__(self) -> int:
        return len(self.pictures)

    def batch(self, indices: Indices) -> Looks:
        """`Centred.look` at these pictures, rounded to float16 and widened again.

        Raises:
            PictureError: a picture cannot be read.
        """
        flat = np.stack([self._one(int(index)) for index in indices]).astype(np.float32)
        ends = np.cumsum([prod(shape) for shape in self._shapes])
        parts = np.split(flat, ends[:-1], axis=1)
        return tuple(
            torch.from_numpy(np.ascontiguousarray(part).reshape(-1, *shape))
            for part, shape in zip(parts, self._shapes, strict=True)
        )

    def batches(self, size: int) -> Iterator[Indices]:
        """The indices of all rows, `size` at a time."""
        return (range(first, min(first + size, len(self))) for first in range(0, len(self), size))

    def _one(self, index: int) -> Halves:
        if index < len(self._made) and self._made[index]:
            known: Halves = self._cache[index]
            return known
        answers = self._session.run(NAMES, self.pictures[index][np.newaxis])
        look: Halves = np.concatenate([answer.ravel() for answer in answers]).astype(np.float16)
        if index < len(self._made):
            self._cache[index] = look
            self._made[index] = True
        return look


class _Frozen(nn.Module):
    def __init__(self, net: UtilityNet, backbone: Centred) -> None:
        super().__init__()
        self.net, self.backbone = net, backbone

    def forward(self, images: torch.Tensor) -> Looks:
        return self.backbone.look(self.net.planes(images))


def _graph(net: UtilityNet, shape: tuple[int, ...]) -> bytes:
    assert isinstance(net.backbone, Centred)
    example = torch.zeros((2, *shape), dtype=torch.uint8, device=net.scale.device)
    buffer = io.BytesIO()
    training = net.training
    axes = {name: {0: "N"} for name in ("images", *NAMES)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own age and of foldings it leaves out
        torch.onnx.export(
            _Frozen(net, net.backbone).eval(), (example,), buffer, dynamo=False, opset_version=OPSET,
            input_names=["images"], output_names=list(NAMES), dynamic_axes=axes,
        )  # fmt: skip
    net.train(training)
    return buffer.getvalue()
