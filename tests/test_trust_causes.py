"""The measurement of causes counts every distorted picture once, by what was told of it."""

import math

import pytest

from benchmarks.trust_cases.causes import NOTHING, measure, share, test_pictures
from streamfilter.frame import Cause
from tests.tiny_kit import write_kit
from trainer.causes.examples import CAUSE_OF

test_pictures.__test__ = False


def test_every_distorted_picture_is_counted_once(tmp_path):
    kit = write_kit(tmp_path)
    assert len(test_pictures(kit)) == 16
    outcome = measure(kit, at_most=2, workers=1)
    names = {cause.value for cause in CAUSE_OF.values()}
    assert names == {cause.value for cause in Cause} - {"covered", "frozen"}
    assert outcome.figures["distorted pictures"] == 2 * len(CAUSE_OF) * 5
    dropped = sum(row["dropped"] for row in outcome.rows)
    assert dropped == outcome.figures["dropped by the default model and thresholds (these count)"]
    for row in outcome.rows:
        called = sum(row[f"called {name}"] for name in (*names, NOTHING))
        assert called == row["dropped"]
        assert row[f"called {row['true cause']}"] == pytest.approx(row["right"] * row["dropped"], nan_ok=True)


def test_nothing_told_has_no_share():
    assert math.isnan(share([]))
