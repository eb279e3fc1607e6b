"""The bound: worked by hand, and held over many drawn data sets; frames taken as independent break it."""

import math

import numpy as np
import pytest

from streamfilter.calibration import Goal, Table, choose_threshold
from streamfilter.calibration.bound import best_share, blocks_needed, log_wealth, passes, stake


def test_wealth_by_hand() -> None:
    """Two blocks: the stake is 0.95 of the largest, 1 / 0.9; Z = (0 - 0.4) / 4 and (1 - 0.2) / 4."""
    lost, useful = np.array([0.0, 1.0]), np.array([4.0, 2.0])
    nu = 0.95 / 0.9
    assert stake(2, 0.1, 0.95) == pytest.approx(nu)
    assert log_wealth(lost, useful, 4, 0.1, 0.95) == pytest.approx(math.log(1 + 0.1 * nu) + math.log(1 - 0.2 * nu))


def test_blocks_needed_by_hand() -> None:
    """At 5 % and 95 % the stake is 1, a block without loss gains 5 %: ln 20 / ln 1.05 = 61.4."""
    assert blocks_needed(0.05, 0.95) == 62
    full, none = np.full(62, 7.0), np.zeros(62)
    assert passes(none, full, 7, 0.05, 0.95)
    assert not passes(none[1:], full[1:], 7, 0.05, 0.95)
    assert best_share(62, 0.95) == 0.95
    assert best_share(61, 0.95) == 0.94
    assert best_share(1, 0.95) == 0.0 or blocks_needed(1 - best_share(1, 0.95), 0.95) == 1


def test_no_bound_can_need_fewer_blocks_than_a_coin_does() -> None:
    """(1 - alpha)^n <= delta is needed for n blocks of which each may be lost as a whole."""
    for alpha in (0.01, 0.05, 0.2, 0.5):
        least = math.log(0.05) / math.log(1 - alpha)
        assert least <= blocks_needed(alpha, 0.95) <= 1.25 * least + 1


def test_blocks_that_are_half_empty_count_half() -> None:
    assert 2 * blocks_needed(0.05, 0.95) - 5 <= blocks_needed(0.05, 0.95, fill=0.5) <= 2 * blocks_needed(0.05, 0.95) + 5


def test_the_order_of_the_blocks_does_not_matter() -> None:
    random = np.random.default_rng(0)
    useful = random.integers(0, 9, 200).astype(float)
    lost = np.floor(useful * random.random(200) ** 8)
    order = random.permutation(200)
    assert log_wealth(lost, useful, 8, 0.1, 0.95) == pytest.approx(log_wealth(lost[order], useful[order], 8, 0.1, 0.95))


def test_more_losses_never_help() -> None:
    useful = np.full(300, 5.0)
    wealth = [log_wealth(np.minimum(useful, lost), useful, 5, 0.1, 0.95) for lost in (0, 1, 2, 5)]
    assert wealth == sorted(wealth, reverse=True)


FRAMES, BLOCKS, RUNS = 10, 60, 400


def drawn(random: np.random.Generator, independent: bool) -> Table:
    """Blocks whose frames all look alike: the share of useful frames under a threshold is that threshold."""
    level = np.repeat(random.random(BLOCKS), FRAMES)
    utility = np.clip(level + random.normal(0, 0.001, level.size), 0, 1)
    count = level.size
    useful = np.arange(count) % FRAMES > 0
    rows = np.arange(count)
    block = rows if independent else rows // FRAMES
    return Table(block, int(block.max()) + 1, utility, useful, np.ones(count, bool), np.zeros(count, bool))


def broken_promises(independent: bool) -> float:
    random = np.random.default_rng(1)
    chosen = [choose_threshold(drawn(random, independent), Goal("keep_useful", 0.9)).threshold for _ in range(RUNS)]
    return float(np.mean([threshold > 0.101 for threshold in chosen]))


def test_the_promise_is_kept_as_often_as_it_says() -> None:
    assert broken_promises(independent=False) <= 0.05


def test_frames_taken_as_independent_break_the_promise() -> None:
    assert broken_promises(independent=True) > 0.2


def test_errors_are_removed_as_often_as_promised() -> None:
    """Every frame is wrong, so the share that remains over a threshold t is 1 - t."""
    random = np.random.default_rng(2)
    broken = 0
    for _ in range(RUNS):
        table = drawn(random, independent=False)
        all_wrong = Table(table.block, table.blocks, table.utility, table.useful, table.counts, np.ones(600, bool))
        broken += choose_threshold(all_wrong, Goal("confident_errors", 0.5)).threshold < 0.499
    assert broken <= 0.05 * RUNS
