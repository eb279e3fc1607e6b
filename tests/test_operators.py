"""One label and one value of several networks, against numbers worked by hand."""

import numpy as np
import pytest

from streamfilter.errors import ConfigError, ShapeError
from trainer.operators import OPERATORS, combine, combine_continuous, share_useful

VOTES = np.array(
    [[1, 1, 1], [0, 0, 0], [1, 0, 1], [1, 0, 0], [1, 1, -1], [1, 0, -1], [0, -1, 0], [1, -1, -1], [-1, -1, -1]], np.int8
)


@pytest.mark.parametrize(
    ("operator", "labels"),
    [
        ("unanimous", [1, 0, -1, -1, -1, -1, -1, -1, -1]),
        ("mean", [1, 0, 1, 0, 1, 1, 0, 1, -1]),
        ("max", [1, 0, 1, 1, 1, 1, 0, 1, -1]),
        ("majority", [1, 0, 1, 0, 1, -1, 0, 1, -1]),
    ],
)
def test_labels_by_equation_3(operator, labels):
    combined = combine(VOTES, operator)
    assert combined.tolist() == labels
    assert combined.dtype == np.int8
    assert combine(VOTES[:, :1], operator).tolist() == VOTES[:, 0].tolist()


def test_networks_must_all_agree_by_default():
    assert combine(VOTES).tolist() == combine(VOTES, "unanimous").tolist()


def test_the_share_is_the_mean_before_it_is_a_label():
    shares = share_useful(VOTES)
    assert shares.tolist() == pytest.approx([1, 0, 2 / 3, 1 / 3, 1, 0.5, 0, 1, np.nan], nan_ok=True)
    labels = combine(VOTES, "mean")
    assert (shares[:-1] >= 0.5).tolist() == (labels[:-1] == 1).tolist()


@pytest.mark.parametrize(
    ("operator", "values"),
    [
        ("mean", [0.1, 0.5, np.nan]),
        ("max", [0.9, 0.9, np.nan]),
        ("majority", [0.2, 0.5, np.nan]),
        ("unanimous", [-0.8, 0.1, np.nan]),
    ],
)
def test_values_by_equation_3(operator, values):
    utilities = np.array([[0.9, -0.8, 0.2], [0.9, np.nan, 0.1], [np.nan] * 3], np.float32)
    combined = combine_continuous(utilities, operator)
    assert combined.tolist() == pytest.approx(values, nan_ok=True)
    assert combined.dtype == np.float32
    assert combine_continuous(utilities[:0], operator).shape == (0,)


def test_median_and_minimum_ask_what_the_votes_ask():
    """Thresholding the combined value is combining the thresholded values, for three networks and any threshold."""
    values = np.random.default_rng(0).uniform(-1, 1, (200, 3)).astype(np.float32)
    for threshold in (-0.5, 0.0, 0.5):
        votes = (values >= threshold).astype(np.int8)
        for operator in ("majority", "max"):
            assert ((combine_continuous(values, operator) >= threshold) == (combine(votes, operator) == 1)).all()
        assert ((combine_continuous(values, "unanimous") >= threshold) == (combine(votes) == 1)).all()


@pytest.mark.parametrize("function", [combine, combine_continuous, share_useful])
@pytest.mark.parametrize("shape", [(3,), (3, 0)])
def test_combining_nothing_is_refused(function, shape):
    with pytest.raises(ShapeError, match="M >= 1"):
        function(np.zeros(shape, np.int8))


@pytest.mark.parametrize("function", [combine, combine_continuous])
def test_an_unknown_operator_is_refused(function):
    with pytest.raises(ConfigError, match=", ".join(OPERATORS)):
        function(VOTES, "median")
