"""Intervals against SciPy, against numbers worked by hand, and against how often they hold the truth."""

import numpy as np
import pytest
from scipy import stats

from streamfilter.interval import beta_quantile, blocked_interval, drawn_interval, incomplete_beta, student_quantile


def test_the_incomplete_beta_function_is_scipys() -> None:
    random = np.random.default_rng(0)
    for a, b in np.exp(random.uniform(-1, 9, (100, 2))):
        x = stats.beta.rvs(a, b, random_state=random)
        assert incomplete_beta(x, a, b) == pytest.approx(stats.beta.cdf(x, a, b), abs=1e-9)
    assert (incomplete_beta(0, 2, 3), incomplete_beta(1, 2, 3)) == (0, 1)


@pytest.mark.parametrize("freedom", [1, 2, 7, 400, 1e6])
def test_quantiles_are_scipys(freedom: float) -> None:
    assert student_quantile(0.975, freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-9)
    assert beta_quantile(0.025, freedom, 3.5) == pytest.approx(stats.beta.ppf(0.025, freedom, 3.5), abs=1e-9)


def every_share_that_is_not_too_rare(population: int, drawn: int, hits: int) -> tuple[float, float]:
    totals = [
        total
        for total in range(hits, population - drawn + hits + 1)
        if stats.hypergeom.sf(hits - 1, population, total, drawn) > 0.025
        and stats.hypergeom.cdf(hits, population, total, drawn) > 0.025
    ]
    return min(totals) / population, max(totals) / population


@pytest.mark.parametrize(
    ("population", "drawn", "hits"), [(1, 1, 0), (7, 3, 0), (30, 11, 4), (30, 30, 12), (200, 20, 20), (500, 60, 1)]
)
def test_the_drawn_interval_is_every_share_that_is_not_too_rare(population: int, drawn: int, hits: int) -> None:
    assert drawn_interval(population, drawn, hits) == every_share_that_is_not_too_rare(population, drawn, hits)


@pytest.mark.parametrize("hits", [0, 3, 117, 200])
def test_of_a_large_population_it_is_cloppers_and_pearsons(hits: int) -> None:
    expected = stats.binomtest(hits, 200).proportion_ci(0.95, "exact")
    assert drawn_interval(10**8, 200, hits) == pytest.approx((expected.low, expected.high), abs=1e-5)


def test_nothing_drawn_says_nothing_and_all_drawn_says_all() -> None:
    assert drawn_interval(0, 0, 0) == drawn_interval(90, 0, 0) == (0, 1)
    assert drawn_interval(90, 90, 9) == (0.1, 0.1)
    with pytest.raises(ValueError, match="hits <= drawn <= population"):
        drawn_interval(5, 6, 1)


@pytest.mark.parametrize(("population", "share"), [(60, 0.2), (400, 0.05)])
def test_every_draw_of_every_truth_is_held_in_95_of_100(population: int, share: float) -> None:
    """Not simulated: the probabilities of all outcomes whose interval holds the truth are added up."""
    drawn = round(population * share)
    held = {hits: drawn_interval(population, drawn, hits) for hits in range(drawn + 1)}
    for total in range(0, population + 1, 7):
        truth = total / population
        holds = [hits for hits, (low, high) in held.items() if low <= truth <= high]
        assert stats.hypergeom.pmf(holds, population, total, drawn).sum() >= 0.95


def blocks_of(random: np.random.Generator, rate: float, many: int, frames: int, likeness: float) -> list:
    """Blocks whose frames resemble each other: each block has its own rate, beta distributed around the stream's."""
    own = random.beta(rate * (1 / likeness - 1), (1 - rate) * (1 / likeness - 1), many)
    return [(frames, int(hits)) for hits in random.binomial(frames, own)]


@pytest.mark.parametrize(("rate", "likeness"), [(0.1, 0.3), (0.3, 0.5), (0.1, 0.01)])
def test_the_blocked_interval_holds_for_frames_that_resemble_each_other(rate: float, likeness: float) -> None:
    random, runs, held, held_by_frames = np.random.default_rng(7), 300, 0, 0
    for _ in range(runs):
        blocks = blocks_of(random, rate, 40, 15, likeness)
        low, high = blocked_interval(blocks)
        held += low <= rate <= high
        low, high = drawn_interval(10**7, 600, sum(hits for _, hits in blocks))
        held_by_frames += low <= rate <= high
    assert held / runs >= 0.93
    if likeness >= 0.3:
        assert held_by_frames / runs < 0.75  # what comes of taking neighbouring frames for independent ones


def test_neighbouring_blocks_may_resemble_each_other_too() -> None:
    """The rate wanders for ten blocks or so; taken for independent, the blocks promise too much."""
    random, runs, held, held_shuffled = np.random.default_rng(3), 120, 0, 0
    for _ in range(runs):
        wander = np.zeros(640)
        for block in range(1, 640):
            wander[block] = 0.9 * wander[block - 1] + np.sqrt(1 - 0.81) * random.standard_normal()
        hits = random.binomial(4, stats.beta.ppf(stats.norm.cdf(wander), 0.4, 1.6))
        blocks = [(4, int(one)) for one in hits]
        low, high = blocked_interval(blocks)
        held += low <= 0.2 <= high
        low, high = blocked_interval([blocks[place] for place in random.permutation(640)])
        held_shuffled += low <= 0.2 <= high
    assert held / runs >= 0.9
    assert held_shuffled / runs < 0.7


def test_blocks_that_all_say_the_same_count_once_each() -> None:
    assert blocked_interval([(50, 0)] * 20)[1] == pytest.approx(
        stats.binomtest(0, 20).proportion_ci(0.95, "exact").high, rel=0.15
    )
    assert blocked_interval([(50, 0)] * 20)[0] == 0
    assert blocked_interval([(3, 3), (5, 5)])[1] == 1


def test_too_few_blocks_say_nothing() -> None:
    assert blocked_interval([]) == blocked_interval([(100, 3)]) == blocked_interval([(100, 3), (0, 0)]) == (0, 1)
