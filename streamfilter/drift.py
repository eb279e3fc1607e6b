"""How far the scores of a stream have moved away from those its profile was made on. Pure."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from streamfilter.canary import BlockKey
from streamfilter.interval import doublings, student_quantile

LEVEL = 0.2
"""Distance at which scores count as drifted: somewhere a fifth of the frames has changed sides."""
SETTLED_LEVEL = 0.15
"""Distance under which they count as settled again."""
WINDOW_BLOCKS = 30
"""Blocks that are compared with the profile: the last half hour, at a minute each."""
FEWEST_BLOCKS = 10
RARE = 0.01
"""How often chance alone may look like drift, each time one looks."""
DECIMALS = 6
MANY = 1e6


@dataclass(frozen=True)
class Drift:
    """How the recent scores of a stream lie beside its profile's."""

    distances: Mapping[str, float]
    """Kolmogorov-Smirnov distance for each task, 0-1."""
    critical: Mapping[str, float]
    """Distance that chance alone exceeds in one case of a hundred, for each task."""
    effective_frames: Mapping[str, float]
    """Frames that owe each other nothing and would tell as much, for each task."""
    blocks: int
    """Stretches of time that were compared."""
    is_drifted: bool


@dataclass(frozen=True)
class Quantiles:
    """A distribution by its quantiles, as cells: under the lowest, at it, between it and the next, and so on.

    Raises:
        ValueError: there are fewer than two quantiles, or they fall.
    """

    values: Sequence[float]
    """Quantiles of evenly spaced probabilities from 0 to 1, rising."""

    def __post_init__(self) -> None:
        if len(self.values) < 2 or any(low > high for low, high in zip(self.values, self.values[1:], strict=False)):
            raise ValueError(f"expected rising quantiles, got {list(self.values)}")

    def steps(self) -> list[float]:
        """The distinct quantiles."""
        return sorted({round(value, DECIMALS) for value in self.values})

    def distance(self, counts: Sequence[int]) -> float:
        """Largest difference between the distribution function and that of counted cells.

        Where several quantiles are one value, the function jumps there, and what is known of its two ends is between
        which probabilities they lie: only what is outside counts.
        """
        total, step = sum(counts), 1 / (len(self.values) - 1)
        shares = [one / total for one in accumulate(counts)]
        rounded, worst = [round(value, DECIMALS) for value in self.values], 0.0
        for place, value in enumerate(self.steps()):
            first, last = bisect_left(rounded, value), bisect_right(rounded, value) - 1
            slack = step if last > first else 0.0
            under, upto = shares[2 * place], shares[2 * place + 1]
            worst = max(worst, under - first * step, last * step - upto)
            worst = max(worst, first * step - slack - under, upto - last * step - slack)
        return worst


class DriftMeter:
    """Compares the scores of the last blocks with those of a profile.

    The distance is Kolmogorov's and Smirnov's between the two distribution functions, taken at the profile's
    quantiles: D = max |F_recent(q) - F_profile(q)|. It counts when it is both large and beyond chance:

        D > max(LEVEL, c / sqrt(n_eff)),  c = sqrt(-ln(RARE / 2 / tasks) / 2),                            (1)
        n_eff = sum_q F(q) (1 - F(q)) / sum_q var F(q)                                                   (2)

    with the variance of each F(q) taken between blocks, because neighbouring frames resemble each other, and c widened
    by Student's quantile over the normal one, because blocks are few. Blocks of doubled length are tried as in
    `interval.blocked_interval`, and the widest c / sqrt(n_eff) counts. It has settled under `SETTLED_LEVEL`.

    Args:
        scores: the profile's quantiles for each task, evenly spaced from 0 to 100 %.
        window_blocks: how many of the last blocks are compared.

    Source: (1) Smirnov 1948, "Table for Estimating the Goodness of Fit of Empirical Distributions", Annals of
        Mathematical Statistics 19(2); (2) the effective sample size of Kish 1965, "Survey Sampling", 8.2, of the
        distribution function. The profile's own chance is not in it.
    """

    def __init__(self, scores: Mapping[str, Sequence[float]], window_blocks: int = WINDOW_BLOCKS) -> None:
        self._profile = {task: Quantiles(values) for task, values in scores.items()}
        self._steps = {task: quantiles.steps() for task, quantiles in self._profile.items()}
        self._blocks: OrderedDict[BlockKey, dict[str, list[int]]] = OrderedDict()
        self._window = window_blocks
        self._is_drifted = False

    def saw(self, key: BlockKey, utility: Mapping[str, float]) -> None:
        """Add the scores of a frame to its block; the blocks beyond the window are forgotten."""
        counts = self._blocks.get(key)
        if counts is None:
            counts = self._blocks[key] = {task: [0] * (2 * len(steps) + 1) for task, steps in self._steps.items()}
            while len(self._blocks) > self._window:
                self._blocks.popitem(last=False)
        for task, steps in self._steps.items():
            if task in utility:
                value = round(utility[task], DECIMALS)
                counts[task][bisect_left(steps, value) + bisect_right(steps, value)] += 1

    def look(self) -> Drift | None:
        """How the scores lie now; None while there are too few blocks."""
        distances, critical, effective = {}, {}, {}
        for task, quantiles in self._profile.items():
            blocks = [counts[task] for counts in self._blocks.values() if any(counts[task])]
            if len(blocks) < FEWEST_BLOCKS:
                return None
            distances[task] = quantiles.distance([sum(cell) for cell in zip(*blocks, strict=True)])
            levels = {len(level): effective_frames(level) for level in doublings(blocks)}
            effective[task] = min(levels.values())
            rare = RARE / len(self._profile)
            critical[task] = max(_critical(frames, many, rare) for many, frames in levels.items())
        if self._is_drifted:
            self._is_drifted = max(distances.values()) > SETTLED_LEVEL
        else:
            self._is_drifted = any(distances[task] > max(LEVEL, critical[task]) for task in distances)
        return Drift(distances, critical, effective, len(self._blocks), self._is_drifted)


def effective_frames(blocks: Sequence[Sequence[int]]) -> float:
    """How many independent frames tell as much of a distribution function as these blocks do, eq. (2)."""
    frames, many = [sum(block) for block in blocks], len(blocks)
    total = sum(frames)
    running = [list(accumulate(block))[:-1] for block in blocks]
    spread = variance = 0.0
    for column in zip(*running, strict=True):
        share = sum(column) / total
        squares = sum((one - share * own) ** 2 for one, own in zip(column, frames, strict=True))
        spread += share * (1 - share)
        variance += many / (many - 1) * squares / total**2
    return min(total, spread / variance) if variance else float(many)


def _critical(effective: float, blocks: int, rare: float) -> float:
    few = student_quantile(1 - rare / 2, blocks - 1) / student_quantile(1 - rare / 2, MANY)
    return min(1.0, few * math.sqrt(-math.log(rare / 2) / 2 / effective))
