"""Which share of lost frames the blocks rule out, with confidence: a test by betting. Pure.

Frames of one clip are not independent, so whole blocks (clips, or stretches of time) are the exchangeable unit, as in
conformal risk control (Angelopoulos, Bates, Fisch, Lei, Schuster 2022: a loss that is bounded and monotone in the
threshold, over exchangeable units). That paper bounds the *expected* risk; here the bound shall hold with a stated
confidence over the choice of calibration blocks, so the threshold is chosen as in Bates, Angelopoulos, Lei, Malik,
Jordan 2021 ("Distribution-free, risk-controlling prediction sets", theorem 1): the risk grows with the threshold, and
the largest one is taken up to which every smaller one passes a test of "the risk is over alpha" at level delta.

The risk is the one users speak of, the share of all useful frames that is lost: R = E[lost] / E[useful], both counted a
block. R <= alpha just when E[Z] <= 0 for

    Z = (lost - alpha * useful) / capacity,   -alpha <= Z <= 1 - alpha,

where `capacity` is the most frames a block can hold, known before anything is judged. A block without useful frames
says nothing (Z = 0), and one with many counts for more, as it should. The test is a bet against R > alpha: the wealth

    W = prod over blocks of (1 - nu * Z),   0 <= nu < 1 / (1 - alpha),

has an expectation of at most 1 while R >= alpha, whatever the distribution, so W >= 1 / delta has a probability of at
most delta then (Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting", section 4;
Markov's inequality, as we look once). The stake nu is fixed before the data by the number of blocks alone, so the order
of the blocks does not matter: it is the stake that would be best for the most losses of whole blocks that Hoeffding's
bound, exp(-n kl(x, alpha)) <= delta, lets pass. For blocks that are kept or lost as a whole the test then is about that
bound; blocks that lose a part of their frames, as most do, pass more easily.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

FILL = 0.5
"""Share of the capacity that is expected to be useful; the stake depends on it, the validity does not."""
BOLDEST = 0.95
"""Most of the largest stake that is ever bet: one block lost as a whole shall not end it all."""
MOST_BLOCKS = 10_000_000


def passes(lost: Floats, useful: Floats, capacity: float, alpha: float, confidence: float) -> bool:
    """Whether the blocks rule out, with the confidence, that more than a share alpha of the useful frames is lost.

    Args:
        lost: (B,) float64 useful frames lost in each block.
        useful: (B,) float64 useful frames in each block, at least `lost`, at most `capacity`.
        capacity: most frames a block can hold.
        alpha: the share, inside 0-1.
        confidence: 1 - delta, inside 0-1.
    """
    return log_wealth(lost, useful, capacity, alpha, confidence) >= -math.log(1 - confidence)


def log_wealth(lost: Floats, useful: Floats, capacity: float, alpha: float, confidence: float) -> float:
    """Logarithm of what the bet against R > alpha has made of 1; the arguments are those of `passes`."""
    nu = stake(len(lost), alpha, confidence)
    return float(np.log1p(-nu * (lost - alpha * useful) / capacity).sum())


def stake(blocks: int, alpha: float, confidence: float) -> float:
    """The stake nu for a number of blocks; see above."""
    effective = max(1.0, FILL * blocks)
    low, high = 0.0, alpha
    for _ in range(60):
        middle = (low + high) / 2
        if effective * _divergence(middle, alpha) >= -math.log(1 - confidence):
            low = middle
        else:
            high = middle
    return min((alpha - low) / (alpha * (1 - alpha)), BOLDEST / (1 - alpha))


def blocks_needed(alpha: float, confidence: float, fill: float = 1.0) -> int:
    """Fewest blocks with which anything can pass: those of which none loses a frame.

    Args:
        alpha: share that may be lost, inside 0-1.
        confidence: inside 0-1.
        fill: mean share of the capacity that is useful, over 0, up to 1.

    Returns:
        The number; `MOST_BLOCKS` when it is not less.
    """
    low, high = 0, 1
    while high < MOST_BLOCKS and not _would_pass(high, alpha, confidence, fill):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _would_pass(middle, alpha, confidence, fill) else (middle, high)
    return min(high, MOST_BLOCKS)


def best_share(blocks: int, confidence: float, fill: float = 1.0) -> float:
    """Largest share of kept frames, rounded down to whole percents, that so many blocks can promise; 0 when none."""
    kept = (percent / 100 for percent in range(99, 0, -1))
    return next((share for share in kept if _would_pass(blocks, 1 - share, confidence, fill)), 0.0)


def _would_pass(blocks: int, alpha: float, confidence: float, fill: float) -> bool:
    gain = math.log1p(stake(blocks, alpha, confidence) * alpha * fill)
    return blocks * gain >= -math.log(1 - confidence)


def _divergence(x: float, alpha: float) -> float:
    """Kullback-Leibler divergence of two coins, nats."""
    first = x * math.log(x / alpha) if x > 0 else 0.0
    return first + (1 - x) * math.log((1 - x) / (1 - alpha))
