"""Tables of (scores, clock) -> decisions."""

import pytest

from streamfilter.errors import ConfigError
from streamfilter.policy import Policy, PolicyState, decide, is_certain

BOTH = {"classification": 0.5, "detection": 0.5}


def play(policy: Policy, frames: list[tuple[float, float, float | None]]) -> str:
    """One letter a (classification, detection, clock): U useful, H hysteresis, G gap floor, - dropped."""
    letters = {"useful": "U", "hysteresis": "H", "gap_floor": "G", "low_utility": "-"}
    state, out = PolicyState(), ""
    for classification, detection, clock in frames:
        utility = {"classification": classification, "detection": detection}
        keep, reason, state = decide(policy, state, utility, clock)
        assert keep is (letters[reason] != "-")
        out += letters[reason]
    return out


def at_25_fps(*scores: float) -> list[tuple[float, float, float | None]]:
    return [(score, score, index / 25) for index, score in enumerate(scores)]


@pytest.mark.parametrize(
    ("task", "expected"),
    [("any", "-UUU"), ("all", "---U"), ("classification", "-U-U"), ("detection", "--UU")],
)
def test_task_rule(task: str, expected: str) -> None:
    frames: list[tuple[float, float, float | None]] = [(0.1, 0.1, 0), (0.9, 0.1, 1), (0.1, 0.9, 2), (0.9, 0.9, 3)]
    assert play(Policy(BOTH, task=task), frames) == expected


@pytest.mark.parametrize(
    ("policy", "classification", "detection", "expected"),
    [
        (Policy(BOTH), 0.74, 0.45, True),
        (Policy(BOTH), 0.72, 0.45, False),
        (Policy(BOTH), 0.1, 0.26, True),
        (Policy(BOTH), 0.1, 0.28, False),
        (Policy(BOTH), 1.0, 0.5, True),
        (Policy(BOTH), 0.0, 0.0, True),
        (Policy(BOTH, task="all"), 0.74, 0.45, False),
        (Policy(BOTH, task="all"), 0.1, 0.45, True),
        (Policy(BOTH, task="classification"), 0.1, 0.5, True),
        (Policy(BOTH, hysteresis=0.3), 0.1, 0.3, False),
        (Policy(BOTH, hysteresis=0.3), 0.01, 0.05, True),
        (Policy({"classification": 0.0, "detection": 1.0}), 0.0, 1.0, True),
    ],
)
def test_what_is_certain(policy: Policy, classification: float, detection: float, expected: bool) -> None:
    utility = {"classification": classification, "detection": detection}
    assert is_certain(policy, utility, 1.0) is expected


def test_threshold_itself_is_useful() -> None:
    assert play(Policy(BOTH), at_25_fps(0.5, 0.4999999)) == "U-"


@pytest.mark.parametrize(
    ("hysteresis", "expected"),
    [(0.0, "-U-U--"), (0.11, "-UHU--"), (0.25, "-UHUH-")],
)
def test_hysteresis(hysteresis: float, expected: str) -> None:
    policy = Policy(BOTH, hysteresis=hysteresis, max_gap_seconds=0)
    assert play(policy, at_25_fps(0.4, 0.6, 0.4, 0.6, 0.3, 0.2)) == expected


def test_gap_floor_counts_from_the_first_frame_and_from_each_kept_one() -> None:
    policy = Policy(BOTH, max_gap_seconds=2)
    frames: list[tuple[float, float, float | None]] = [(0.1, 0.1, t) for t in (0, 1, 2, 3, 4)] + [(0.9, 0.9, 5)]
    frames += [(0.1, 0.1, t) for t in (6, 7, 8)]
    assert play(policy, frames) == "--G-GU-G-"


def test_a_frame_kept_by_the_floor_does_not_open_the_hysteresis() -> None:
    policy = Policy(BOTH, max_gap_seconds=1, hysteresis=0.4)
    assert play(policy, [(0.2, 0.2, 0), (0.2, 0.2, 1), (0.2, 0.2, 1.5)]) == "-G-"


def test_without_a_clock_the_floor_rests() -> None:
    assert play(Policy(BOTH, max_gap_seconds=0.1), [(0.1, 0.1, None)] * 5) == "-----"


def test_a_clock_that_jumps_back_starts_the_gap_anew() -> None:
    policy = Policy(BOTH, max_gap_seconds=2)
    assert play(policy, [(0.9, 0.9, 100), (0.1, 0.1, 0), (0.1, 0.1, 1), (0.1, 0.1, 2)]) == "U--G"


def test_a_task_the_model_lacks_is_refused() -> None:
    with pytest.raises(ConfigError, match="detection"):
        Policy({"classification": 0.5}, task="detection")
