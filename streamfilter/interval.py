"""Confidence intervals for a share, exact for small counts, of frames that resemble their neighbours. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from statistics import NormalDist

CONFIDENCE = 0.95
FEWEST_LONGER = 20
"""Blocks of doubled length that are enough to say how different they are."""
TINY = 1e-300
PRECISION = 1e-15
BISECTIONS = 60
MOST_STEPS = 10_000

Interval = tuple[float, float]


def drawn_interval(population: int, drawn: int, hits: int, confidence: float = CONFIDENCE) -> Interval:
    """Interval for the share of hits in a finite population of which some were drawn at random.

    The exact one: all shares that would not make so few, or so many, hits rarer than half of 1 - confidence under the
    hypergeometric distribution. It holds however alike neighbouring frames are, since chance lies in the draw alone;
    with a small part drawn it is Clopper's and Pearson's, with all drawn it is the share itself.

    Args:
        population: frames there were.
        drawn: frames looked at, drawn at random among them.
        hits: of those drawn.
        confidence: at least this share of the draws gives an interval that holds the truth.

    Returns:
        Both ends, 0-1; (0, 1) when nothing was drawn.

    Raises:
        ValueError: not 0 <= hits <= drawn <= population.

    Source: Buonaccorsi 1987, "A Note on Confidence Intervals for Proportions in Finite Populations", The American
        Statistician 41(3); Clopper and Pearson 1934, Biometrika 26(4), is its limit.
    """
    if not 0 <= hits <= drawn <= population:
        raise ValueError(f"expected 0 <= hits <= drawn <= population, got {hits}, {drawn}, {population}")
    if drawn == 0:
        return 0.0, 1.0
    rare = (1 - confidence) / 2
    fewest, most = hits, population - (drawn - hits)
    low = _first(fewest, most, lambda total: _at_most(population, total, drawn, hits - 1) < 1 - rare)
    high = _first(fewest, most, lambda total: _at_most(population, total, drawn, hits) <= rare)
    if _at_most(population, high, drawn, hits) <= rare:
        high -= 1
    return low / population, high / population


def _first(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """The smallest number of a range from which on a condition holds; its end when it holds nowhere before."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def _at_most(population: int, total: int, drawn: int, hits: int) -> float:
    """Probability of at most so many hits among the drawn, when there are `total` in the population."""
    fewest, most = max(0, drawn - (population - total)), min(total, drawn)
    if hits < fewest or hits >= most:
        return float(hits >= most)
    mode = (drawn + 1) * (total + 1) // (population + 2)
    if hits > mode:
        return 1.0 - _sum(population, total, drawn, range(hits + 1, most + 1))
    return _sum(population, total, drawn, range(hits, fewest - 1, -1))


def _sum(population: int, total: int, drawn: int, numbers: range) -> float:
    """Probability of these numbers of hits, which lead away from the likeliest one."""
    first = numbers[0]
    term = math.exp(
        _log_choose(total, first)
        + _log_choose(population - total, drawn - first)
        - _log_choose(population, drawn)
    )  # fmt: skip
    found, rest = term, population - total - drawn
    for hits in numbers[1:]:
        if numbers.step > 0:
            term *= (total - hits + 1) * (drawn - hits + 1) / (hits * (rest + hits))
        else:
            term *= (hits + 1) * (rest + hits + 1) / ((total - hits) * (drawn - hits))
        found += term
        if term < PRECISION * found:
            break
    return found


def _log_choose(items: int, chosen: int) -> float:
    return math.lgamma(items + 1) - math.lgamma(chosen + 1) - math.lgamma(items - chosen + 1)


def blocked_interval(blocks: Sequence[tuple[int, int]], confidence: float = CONFIDENCE) -> Interval:
    """Interval for the share of hits that a process goes on to make, from blocks of frames that resemble each other.

    n frames of m blocks count as n* frames that owe each other nothing, on which Clopper's and Pearson's is taken:

        deff = max(1, var / (p (1 - p) / n)),  var = m / (m - 1) sum_b (x_b - p n_b)^2 / n^2              (1)
        n* = min(n, n / deff (t(n - 1) / t(m - 1))^2)                                                    (2)

    with t the Student quantile of the confidence. Neighbouring blocks may resemble each other as well, so n* is the
    least over blocks of one, two, four ... times the length, as long as there are `FEWEST_LONGER` of them. We depart in
    one more point: without a hit, or with nothing but hits, (1) knows nothing of the blocks, and n / deff is m, as if
    each block had said one thing.

    Args:
        blocks: frames looked at and hits among them, for each block in the order of time; those without frames do not
            count.
        confidence: the share of cases in which the interval is to hold the truth.

    Returns:
        Both ends, 0-1; (0, 1) with fewer than two blocks.

    Source: Korn and Graubard 1998, "Confidence Intervals for Proportions with Small Expected Number of Positive Counts
        Estimated from Survey Data", Survey Methodology 24(2); (1) is the linearised variance of a ratio between
        clusters, cut at 1 as in Parker et al. 2017, National Center for Health Statistics, Series 2 no. 175. Blocks of
        doubled length: Flyvbjerg and Petersen 1989, "Error Estimates on Averages of Correlated Data", Journal of
        Chemical Physics 91.
    """
    seen = [block for block in blocks if block[0] > 0]
    frames, hits = sum(one for one, _ in seen), sum(one for _, one in seen)
    if len(seen) < 2:
        return 0.0, 1.0
    upper = (1 + confidence) / 2
    levels = doublings(seen) if 0 < hits < frames else [seen]
    least = min(_effective(level, hits / frames) / student_quantile(upper, len(level) - 1) ** 2 for level in levels)
    effective = min(float(frames), least * student_quantile(upper, frames - 1) ** 2)
    return _clopper_pearson(effective, hits / frames, confidence)


def _effective(blocks: Sequence[Sequence[int]], share: float) -> float:
    """Frames that owe each other nothing and say as much as these blocks, n / deff of eq. (1)."""
    if not 0 < share < 1:
        return float(len(blocks))
    frames, many = sum(own for own, _ in blocks), len(blocks)
    squares = sum((hits - share * own) ** 2 for own, hits in blocks)
    variance = many / (many - 1) * squares / frames**2
    return frames / max(1.0, variance * frames / (share * (1 - share)))


def doublings(blocks: Sequence[Sequence[int]]) -> Iterator[Sequence[Sequence[int]]]:
    """The blocks, and neighbours added up to blocks of two, four ... times the length, while there are enough."""
    yield blocks
    while (len(blocks) + 1) // 2 >= FEWEST_LONGER:
        blocks = [
            [sum(cell) for cell in zip(*blocks[place : place + 2], strict=True)] for place in range(0, len(blocks), 2)
        ]
        yield blocks


def _clopper_pearson(frames: float, share: float, confidence: float) -> Interval:
    hits, misses, rare = share * frames, (1 - share) * frames, (1 - confidence) / 2
    low = beta_quantile(rare, hits, misses + 1) if hits > 0 else 0.0
    high = beta_quantile(1 - rare, hits + 1, misses) if misses > 0 else 1.0
    return low, high


@lru_cache(maxsize=4096)
def student_quantile(probability: float, freedom: float) -> float:
    """Quantile of Student's distribution for a probability over one half.

    Source: Abramowitz and Stegun 1964, 26.7.5, from a hundred degrees of freedom on.
    """
    if freedom >= 100:
        z = NormalDist().inv_cdf(probability)
        first, second = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
        third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
        return z + first / freedom + second / freedom**2 + third / freedom**3
    part = beta_quantile(2 * (1 - probability), freedom / 2, 0.5)
    return math.sqrt(freedom * (1 - part) / part)


def beta_quantile(probability: float, a: float, b: float) -> float:
    """The value under which a beta distribution has this probability, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if incomplete_beta(middle, a, b) < probability else (low, middle)
    return (low + high) / 2


def incomplete_beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b): the beta distribution's share under x.

    Source: NIST Digital Library of Mathematical Functions, 8.17.22: its continued fraction, by Lentz's method.
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1.0 - incomplete_beta(1 - x, b, a)
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    fraction, above, below = 1.0, 1.0, 0.0
    for step in range(1, MOST_STEPS):
        half = step // 2
        if step % 2:
            part = -(a + half) * (a + b + half) * x / ((a + 2 * half) * (a + 2 * half + 1))
        else:
            part = half * (b - half) * x / ((a + 2 * half - 1) * (a + 2 * half))
        below = 1 / (1 + part * below or TINY)
        above = 1 + part / above or TINY
        fraction *= above * below
        if abs(above * below - 1) < PRECISION:
            break
    return math.exp(front) / (a * fraction)
