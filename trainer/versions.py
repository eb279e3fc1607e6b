"""Which versions of a picture are made: augmented how, distorted how; the same for the same content."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from streamfilter.distort import Distortion, draw
from trainer.augment import LARGEST_SEED


def kinds_of(distortions: Iterable[Distortion]) -> list[str]:
    """The kinds of these distortions, each once."""
    return list(dict.fromkeys(distortion.kind for distortion in distortions))


def versions_of(
    distortions: tuple[Distortion, ...], sample: int | None, content_hash: str, augmentation: int = 0
) -> tuple[Distortion, ...]:
    """What is done to the picture of this content, augmented with this seed (0 for none).

    Args:
        distortions: what may be done.
        sample: how many to draw of their kinds, at random strengths; None for all as they are.
        content_hash: of the picture.
        augmentation: its seed.
    """
    seed = f"{content_hash} {augmentation}" if augmentation else content_hash
    return draw(kinds_of(distortions), sample, seed) if sample else distortions


def seeds_of(augmented: int, content_hash: str) -> list[int]:
    """The seeds that the picture of this content is augmented with, from 1; only 0, none, where `augmented` is 0."""
    if not augmented:
        return [0]
    return [1 + zlib.crc32(f"{content_hash} {count}".encode()) % LARGEST_SEED for count in range(augmented)]
