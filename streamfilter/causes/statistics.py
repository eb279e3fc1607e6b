"""What a sample of a picture measures: light, structure at several scales, blocks, grain, borders. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamfilter.causes.sample import BLOCK, Grey, Sample

LEVELS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
REACHED = np.array(LEVELS) - 1e-9
SCALES = (1, 2, 4, 8, 16)
SMALL = 0.05
"""Added before a logarithm, grey levels."""
THINNED = 4
"""Every so many rows are enough for a distribution."""
GREYS = np.arange(256.0)
ALIKE = np.ones(BLOCK, np.float32)

Floats = npt.NDArray[np.float64]
Named = Iterator[tuple[str, float]]


@dataclass(frozen=True, eq=False)
class Steps:
    """Steps between neighbouring pixels inside patches, grey levels."""

    right: Grey
    """(P * S, S - 1) uint8, the patches one under the other."""
    down: Grey
    """(P * (S - 1), S) uint8."""
    patches: int

    @classmethod
    def of(cls, patches: Grey) -> Steps:
        """The steps inside (P, S, S) uint8 patches."""
        import cv2

        count, side = patches.shape[:2]
        flat = patches.reshape(-1, side)
        right, down = np.empty((count * side, side - 1), np.uint8), np.zeros((count * side, side), np.uint8)
        cv2.absdiff(flat[:, 1:], flat[:, :-1], right)
        cv2.absdiff(flat[1:], flat[:-1], down[:-1])
        inner = np.ascontiguousarray(down.reshape(count, side, side)[:, :-1]).reshape(-1, side)
        return cls(right, inner, count)

    def profiles(self) -> tuple[list[float], list[float]]:
        """Mean step by its place in a patch, 1 to S - 1, to the right and downwards."""
        down = _sums(self.down, 1).reshape(self.patches, -1).mean(axis=0) / self.down.shape[1]
        return (_sums(self.right, 0) / len(self.right)).tolist(), down.tolist()

    def mean(self) -> float:
        """Mean of all."""
        return (_mean(self.right) + _mean(self.down)) / 2

    def by_patch(self) -> Floats:
        """(P,) mean step in each patch."""
        right = _sums(self.right, 1).reshape(self.patches, -1).mean(axis=1) / max(1, self.right.shape[1])
        down = _sums(self.down, 1).reshape(self.patches, -1).mean(axis=1) / self.down.shape[1]
        both: Floats = (right + down) / 2
        return both


def measure(sample: Sample) -> dict[str, float]:
    """Every statistic by name; the names are the same for every sample, and so is their order."""
    steps = Steps.of(sample.luma)
    parts = (
        _light(sample.overview),
        _scales(sample.luma, steps),
        _edges(steps),
        _grain(sample.luma),
        _colour(sample.chroma),
        _borders(sample.lines),
    )
    return {name: value for part in parts for name, value in part}


def _light(overview: Grey) -> Named:
    """How bright it is, and how much of it is at either end."""
    shares = _histogram(overview)
    reached = np.cumsum(shares)
    for level, grey in zip(LEVELS, np.searchsorted(reached, REACHED).tolist(), strict=True):
        yield f"luma_{100 * level:g}", grey / 255
    yield "luma_mean", float(shares @ GREYS) / 255
    yield "black", float(shares[:6].sum())
    yield "white", float(shares[250:].sum())


def _scales(luma: Grey, steps: Steps) -> Named:
    """Mean step at each scale against the scale below, and how it is spread over the patches."""
    import cv2

    count, side = luma.shape[:2]
    last = 0.0
    for scale in SCALES:
        if scale > 1:
            size = (side // scale, count * side // scale)
            small = np.asarray(cv2.resize(luma.reshape(-1, side), size, interpolation=cv2.INTER_AREA), np.uint8)
            steps = Steps.of(small.reshape(count, side // scale, side // scale)) if side > scale else steps
        mean = _log(steps.mean())
        yield f"step_{scale}", mean
        if scale > 1:
            yield f"slope_{scale}", mean - last
        if scale in (1, 4):
            each = np.sort(steps.by_patch())
            for name, place in (("least", 0.1), ("middle", 0.5), ("most", 0.9)):
                yield f"{name}_{scale}", _log(each[int(place * len(each))]) - mean
        last = mean


def _edges(steps: Steps) -> Named:
    """How single steps are distributed, which way they go, and whether they fall on a grid."""
    shares = (_histogram(steps.right[::THINNED]) + _histogram(steps.down[::THINNED])) / 2
    mean = float(shares @ GREYS)
    yield "still", float(shares[0])
    yield "nearly_still", float(shares[0] + shares[1])
    yield "steep", _log(float(np.searchsorted(np.cumsum(shares), 0.99)))
    yield "peaked", math.log((shares @ GREYS**2 + SMALL) / (mean**2 + SMALL))
    yield "aslant", _log(_mean(steps.right)) - _log(_mean(steps.down))
    right, down = steps.profiles()
    for grid in (4, 8, 16):
        yield f"grid_{grid}", (_on_grid(right, grid) + _on_grid(down, grid)) / 2
    yield "any_grid", (_strongest_phase(right) + _strongest_phase(down)) / 2


def _grain(luma: Grey) -> Named:
    """Noise by the mask that is blind to edges, over all and in the quietest patches; places without any.

    Source: Immerkaer 1996, "Fast Noise Variance Estimation".
    """
    import cv2

    count, side = luma.shape[:2]
    values = luma.astype(np.int16)
    bent = values[:, :-2] + values[:, 2:] - 2 * values[:, 1:-1]
    answer = bent[:, :, :-2] + bent[:, :, 2:] - 2 * bent[:, :, 1:-1]
    inner = np.asarray(cv2.convertScaleAbs(answer.reshape(-1, side - 2)), np.uint8)
    shares = _histogram(inner[::THINNED])
    each = np.sort(_sums(inner, 1).reshape(count, -1).mean(axis=1)) / (side - 2)
    yield "grain", _log(_mean(inner))
    yield "least_grain", _log(each[int(0.1 * count)])
    yield "flat", float(shares[0])
    yield "nearly_flat", float(shares[:3].sum())


def _colour(chroma: Grey) -> Named:
    """How much colour there is, and how much of it changes from pixel to pixel."""
    import cv2

    steps, flat = Steps.of(chroma), chroma.reshape(-1, chroma.shape[2])
    changes = cv2.countNonZero(steps.right) / steps.right.size + cv2.countNonZero(steps.down) / steps.down.size
    yield "colour", _log(_mean(np.asarray(cv2.absdiff(flat, np.full_like(flat, 128)), np.uint8)))
    yield "colour_step", _log(steps.mean())
    yield "colour_still", 1 - changes / 2


def _borders(lines: tuple[Grey, Grey, Grey, Grey]) -> Named:
    """Steps between rows of blocks that are not there a row above or below: slices that do not fit their neighbours."""
    before, above, below, after = (_packed(one) for one in lines)
    shape = lines[0].shape[:2]
    step, over, under = (
        _by_block(one, other).reshape(shape) for one, other in ((above, below), (before, above), (below, after))
    )
    around = np.maximum(over, under)
    excess = np.sort(np.clip(step - around, 0, 40).mean(axis=1))
    middle = (excess[(len(excess) - 1) // 2] + excess[len(excess) // 2]) / 2
    torn = (step > 2 * around + 4).mean(axis=1)
    yield "row_grid", _log(step.mean()) - _log(around.mean())
    yield "worst_row", _log(excess[-1])
    yield "worse_than_most", _log(excess[-1]) - _log(middle)
    yield "torn", float(torn.mean())
    yield "worst_torn", float(torn.max())


def _packed(lines: Grey) -> Grey:
    """(K * B, `BLOCK`) copy; whole blocks of 16 bytes are copied ten times faster than their pixels one by one."""
    return np.ascontiguousarray(lines.view("V16")).view(np.uint8).reshape(-1, BLOCK)


def _by_block(one: Grey, other: Grey) -> Floats:
    """(K * B,) mean difference of two lines, block by block."""
    import cv2

    apart = np.asarray(cv2.absdiff(one, other), np.uint8)
    return np.asarray(apart.astype(np.float32) @ ALIKE, np.float64) / BLOCK


def _on_grid(profile: list[float], grid: int) -> float:
    """How much stronger steps are between blocks of a grid than elsewhere, a logarithm."""
    there = profile[grid - 1 :: grid]
    if not there:
        return 0.0
    rest = (sum(profile) - sum(there)) / (len(profile) - len(there))
    return _log(sum(there) / len(there)) - _log(rest)


def _strongest_phase(profile: list[float]) -> float:
    """The same for the strongest of the eight places a grid of eight can have, as after cropping."""
    whole = len(profile) // 8
    phases = sorted(sum(profile[phase : 8 * whole : 8]) / whole for phase in range(8))
    return _log(phases[-1]) - _log(phases[4])


def _mean(values: Grey) -> float:
    import cv2

    return float(cv2.mean(values)[0])


def _sums(values: Grey, axis: int) -> Floats:
    import cv2

    if values.size == 0:
        return np.zeros(values.shape[1 - axis])
    return np.asarray(cv2.reduce(values, axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S), np.float64).ravel()


def _histogram(values: Grey) -> Floats:
    """(256,) share of each value."""
    import cv2

    flat = np.ascontiguousarray(values).reshape(len(values), -1)
    counts: Floats = np.asarray(cv2.calcHist([flat], [0], None, [256], [0, 256]), np.float64).ravel()
    return counts / max(1, values.size)


def _log(value: float) -> float:
    return math.log(float(value) + SMALL)
