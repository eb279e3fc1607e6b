"""Distortions: what happens to a picture on its way to a machine."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from streamfilter.distort import codecs, optics
from streamfilter.errors import ConfigError
from streamfilter.frame import RGB, check_rgb

JPEG_QUALITIES = (1, 2, 3, 5, 8, 12, 18, 30, 50)
PRISTINE = "pristine"
COMBINED = (
    ("defocus", "jpeg"),
    ("lowres", "jpeg"),
    ("motion", "h264"),
    ("noise", "h264"),
    ("darkness", "h265"),
    ("overexposure", "defocus"),
)


@dataclass(frozen=True)
class Kind:
    """One family of distortions and the strengths it knows."""

    apply: Callable[[RGB, float], RGB]
    """Picture and strength -> distorted picture of the same size; the same input always gives the same output."""
    lowest: float
    """Smallest strength allowed, in `unit`."""
    highest: float
    """Largest strength allowed, in `unit`."""
    levels: tuple[float, ...]
    """Five strengths from hardly visible to hopeless, within the range."""
    unit: str
    """What the strength counts."""
    whole: bool = False
    """Whether only whole strengths exist."""

    def at(self, level: float) -> float:
        """The strength at a level from 1 (mild) to 5 (hard), between the five given ones in a straight line."""
        strength = float(np.interp(level, range(1, 1 + len(self.levels)), self.levels))
        return float(round(strength)) if self.whole else strength


@dataclass(frozen=True)
class Distortion:
    """A kind at one strength, or `Distortion("pristine")`.

    Raises:
        ConfigError: the kind is unknown or the strength outside its range.
    """

    kind: str
    """`pristine` or a key of `KINDS`."""
    strength: float | None = None
    """In the kind's own unit; None for pristine."""

    def __post_init__(self) -> None:
        if self.kind == PRISTINE:
            if self.strength is not None:
                raise ConfigError(f"a pristine picture has no strength, got {self.strength}")
            return
        kind = KINDS.get(self.kind)
        if kind is None:
            raise ConfigError(f"unknown distortion {self.kind!r}, known: {', '.join((PRISTINE, *KINDS))}")
        if self.strength is None or not kind.lowest <= self.strength <= kind.highest:
            bounds = f"{kind.lowest:g}-{kind.highest:g}"
            raise ConfigError(f"{self.kind} strength {self.strength} outside {bounds} ({kind.unit})")
        if kind.whole and self.strength != round(self.strength):
            raise ConfigError(f"{self.kind} strength {self.strength} is not whole ({kind.unit})")


def apply(rgb: RGB, distortion: Distortion) -> RGB:
    """The distorted picture; the pristine one comes back as it is.

    Args:
        rgb: (H, W, 3) uint8, RGB, HWC, 0-255.
        distortion: what to do to it.

    Returns:
        (H, W, 3) uint8, RGB, HWC, 0-255.

    Raises:
        ShapeError: `rgb` is not (H, W, 3) uint8, or has no pixels.
        PictureError: the codec refuses a picture of this size.
    """
    check_rgb(rgb)
    if distortion.strength is None:
        return rgb
    return KINDS[distortion.kind].apply(rgb, distortion.strength)


def draw(kinds: Sequence[str], count: int, seed: str) -> tuple[Distortion, ...]:
    """Distortions drawn at random, the kinds in turn and the level uniform between 1 and 5; the same for a seed.

    Args:
        kinds: keys of `KINDS` to draw from.
        count: how many, all different.
        seed: any text; a picture's content hash gives each picture strengths of its own.
    """
    random = np.random.default_rng(zlib.crc32(seed.encode()))
    drawn: dict[Distortion, None] = {}
    while len(drawn) < count:
        for kind in random.permutation(kinds)[: count - len(drawn)]:
            strength = KINDS[kind].at(random.uniform(1, 5))
            drawn[Distortion(str(kind), float(f"{strength:.3g}"))] = None
    return tuple(drawn)


def parse(text: str) -> tuple[Distortion, ...]:
    """Distortions as people type them: words `KIND` (its five levels), `KIND=STRENGTH,STRENGTH` or `all`.

    Raises:
        ConfigError: a word is none of these.
    """
    found: dict[Distortion, None] = {}
    for word in text.split():
        kind, _, strengths = word.partition("=")
        names = list(KINDS) if word == "all" else [kind]
        for name in names:
            try:
                values = [float(part) for part in strengths.split(",")] if strengths else KINDS[name].levels
            except (ValueError, KeyError) as error:
                known = ", ".join(KINDS)
                raise ConfigError(f"{word!r}: wanted all, KIND or KIND=STRENGTH,..., KIND one of {known}") from error
            found.update(dict.fromkeys(Distortion(name, value) for value in values))
    if not found:
        raise ConfigError(f"no distortion in {text!r}; wanted all, KIND or KIND=STRENGTH,...")
    return tuple(found)


def combination(first: str, second: str) -> Kind:
    """Two kinds one after the other, both at the same level; the strength is that level, 1 to 5."""

    def both(rgb: RGB, level: float) -> RGB:
        return KINDS[second].apply(KINDS[first].apply(rgb, KINDS[first].at(level)), KINDS[second].at(level))

    return Kind(both, 1, 5, (1, 2, 3, 4, 5), "level")


KINDS: dict[str, Kind] = {
    "jpeg": Kind(codecs.jpeg, 1, 100, (30, 12, 6, 3, 1), "libjpeg quality", whole=True),
    "h264": Kind(codecs.h264, 0, 51, (28, 34, 40, 46, 51), "QP", whole=True),
    "h265": Kind(codecs.h265, 0, 51, (28, 34, 40, 46, 51), "QP", whole=True),
    "loss": Kind(codecs.loss, 0, 95, (4, 12, 30, 55, 85), "% of packets lost"),
    "defocus": Kind(optics.defocus, 0, 20, (0.4, 0.9, 1.6, 2.8, 5), "radius, % of the shorter side"),
    "motion": Kind(optics.motion, 0, 50, (1.5, 3, 6, 11, 20), "length, % of the shorter side"),
    "noise": Kind(optics.noise, 0, 255, (8, 20, 40, 70, 110), "standard deviation, grey levels"),
    "darkness": Kind(optics.darkness, 0, 12, (2, 4, 5.5, 7, 8.5), "stops"),
    "overexposure": Kind(optics.overexposure, 0, 12, (1, 2, 3, 4.5, 6), "stops"),
    "lowres": Kind(optics.lowres, 1, 64, (2, 3.5, 6, 10, 16), "times smaller"),
}
KINDS.update({f"{first}+{second}": combination(first, second) for first, second in COMBINED})
