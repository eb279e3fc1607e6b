"""Drift of scores: distances worked by hand, frames that resemble each other, and no flapping."""

from itertools import pairwise

import numpy as np
import pytest

from streamfilter.drift import FEWEST_BLOCKS, LEVEL, Drift, DriftMeter, Quantiles, effective_frames

EVEN = tuple(step / 20 for step in range(21))


def counted(quantiles: Quantiles, scores: list[float]) -> list[int]:
    steps = np.array(quantiles.steps())
    places = np.searchsorted(steps, scores, "left") + np.searchsorted(steps, scores, "right")
    return np.bincount(places, minlength=2 * len(steps) + 1).tolist()


def test_distance_of_worked_numbers() -> None:
    even = Quantiles(EVEN)
    assert even.distance(counted(even, list(np.arange(1000) / 1000))) == pytest.approx(0, abs=0.002)
    assert even.distance(counted(even, [0.52] * 10)) == pytest.approx(0.5)  # F jumps from 0 to 1 between 0.5 and 0.55
    assert even.distance(counted(even, [0.31] * 5 + [0.91] * 5)) == pytest.approx(0.4)
    assert even.distance(counted(even, [1.0] * 3)) == pytest.approx(1.0)


def test_scores_that_are_often_the_same_are_no_distance_apart() -> None:
    """Half of the profile's frames scored 0.99: where in the jump the quantiles lie says nothing."""
    tied = Quantiles((*np.linspace(0, 0.9, 10), *[0.99] * 11))
    like = [*np.linspace(0, 0.9, 480), *[0.99] * 520]
    assert tied.distance(counted(tied, like)) < 0.03
    assert tied.distance(counted(tied, [0.99] * 10)) == pytest.approx(0.45)


@pytest.mark.parametrize("values", [(0.5,), (0.5, 0.4)])
def test_no_quantiles_are_refused(values: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="rising"):
        Quantiles(values)


def test_frames_that_are_all_alike_count_as_one_a_block() -> None:
    alike = [[10, 0] if block % 2 else [0, 10] for block in range(40)]
    assert effective_frames(alike) == pytest.approx(39)
    mixed = np.random.default_rng(1).binomial(10, 0.5, 400)
    assert effective_frames([[one, 10 - one] for one in mixed]) == pytest.approx(4000, rel=0.15)
    assert effective_frames([[0, 7]] * 12) == 12


def day(meter: DriftMeter, rates: list[float], frames: int = 40, first: int = 0) -> list[Drift | None]:
    """A look after each block; a block's scores are uniform, moved by its rate."""
    random, looks = np.random.default_rng(3), []
    for block, rate in enumerate(rates, start=first):
        for score in np.clip(random.random(frames) + rate, 0, 1):
            meter.saw(("cam", block), {"detection": float(score)})
        looks.append(meter.look())
    return looks


def test_nothing_is_said_of_few_blocks() -> None:
    looks = day(DriftMeter({"detection": EVEN}), [0.0] * FEWEST_BLOCKS)
    assert [look is None for look in looks] == [True] * (FEWEST_BLOCKS - 1) + [False]


def test_natural_scores_do_not_drift_and_darker_ones_do() -> None:
    meter = DriftMeter({"detection": EVEN})
    assert not any(look.is_drifted for look in day(meter, [0.0] * 40) if look)
    looks = day(meter, [-0.5] * 30, first=40)
    assert [look.is_drifted for look in looks if look] == sorted(look.is_drifted for look in looks if look)
    assert looks[-1] is not None
    assert looks[-1].is_drifted
    assert looks[-1].distances["detection"] == pytest.approx(0.5, abs=0.06)
    assert looks[-1].blocks == 30


def test_blocks_whose_frames_are_all_alike_are_no_drift_by_chance() -> None:
    """Each block has one score, drawn from the profile's own: far from it on average, but not beyond chance."""
    random, meter = np.random.default_rng(5), DriftMeter({"detection": EVEN}, window_blocks=12)
    looks = []
    for block, score in enumerate(random.random(400)):
        for _ in range(40):
            meter.saw(("cam", block), {"detection": float(score)})
        looks.append(meter.look())
    known = [look for look in looks if look]
    assert sum(look.distances["detection"] > LEVEL for look in known) > 150
    assert sum(look.is_drifted for look in known) / len(known) < 0.02
    assert max(look.effective_frames["detection"] for look in known) < 30


def test_it_does_not_flap_between_its_two_levels() -> None:
    """Distances of 0.15 to 0.2 leave it as it is."""
    meter = DriftMeter({"detection": EVEN}, window_blocks=10)
    looks = [*day(meter, [0.0] * 10, 200), *day(meter, [0.3] * 20, 200, 10), *day(meter, [0.175] * 20, 200, 30)]
    looks += day(meter, [0.0] * 20, 200, 50)
    states = [look.is_drifted for look in looks if look]
    assert sum(one != other for one, other in pairwise(states)) == 2
    assert states[-25]  # still drifted at 0.175
    assert not states[-1]


def test_a_task_that_is_not_scored_is_left_out() -> None:
    meter = DriftMeter({"detection": EVEN})
    for block in range(9):
        meter.saw(("cam", block), {"classification": 0.2})
    assert meter.look() is None
