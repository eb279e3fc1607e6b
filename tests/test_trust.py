"""The trust benchmarks' own arithmetic, on judged frames whose outcome can be worked out by hand."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks.trust_cases import coverage as coverage_case
from benchmarks.trust_cases import errors as errors_case
from benchmarks.trust_cases.splits import as_independent, attempt, part, random_splits
from streamfilter import Goal, Judged, tabulate_frames

CLIPS = ("a", "b", "c", "d")


def frames(clips: Sequence[str] = CLIPS, count: int = 200) -> list[Judged]:
    """Every second of each clip an original that is useful, and a degraded version that is not, and wrong twice."""
    found = []
    for clip in clips:
        for index in range(count):
            good, bad = 0.8 + index / (10 * count), 0.3 + index / (10 * count)
            found.append(Judged(clip, index, float(index), "pristine", {"detection": good}, True))
            found.append(Judged(clip, index, float(index), "jpeg=1", {"detection": bad}, False, 2))
    return found


def test_splits_are_of_the_share_and_differ() -> None:
    splits = list(random_splits(12, 2 / 3, 50))
    assert {int(split.sum()) for split in splits} == {8}
    assert len({split.tobytes() for split in splits}) > 30
    assert all((one == two).all() for one, two in zip(splits, random_splits(12, 2 / 3, 50), strict=True))


def test_a_part_has_its_blocks_numbered_anew() -> None:
    table = tabulate_frames(frames(), "detection", 0)
    last_two = part(table, table.block >= 2)
    assert (last_two.blocks, last_two.capacity, len(last_two.utility)) == (2, 400, 800)
    assert as_independent(last_two).capacity == 1
    assert as_independent(last_two).blocks == 800


def test_a_refusal_keeps_everything() -> None:
    table = tabulate_frames(frames(), "detection", 0)
    tried = attempt(part(table, table.block < 2), part(table, table.block >= 2), Goal("keep_useful", 0.95))
    assert tried.refused
    assert (tried.test.useful_kept, tried.test.discard, tried.test.ideal_discard) == (1, 0, 0.5)
    short = tabulate_frames(frames(), "detection", 1)
    first = np.arange(len(short.block)) < 800
    tried = attempt(part(short, first), part(short, ~first), Goal("keep_useful", 0.95))
    assert not tried.refused
    assert tried.test.useful_kept >= 0.95
    assert tried.test.discard >= 0.5


def test_errors_on_the_clips_that_were_not_calibrated_on() -> None:
    calibrates = np.array([frame.input in "ac" for frame in frames()])
    found = errors_case.measure(frames(), calibrates, Goal("keep_useful", 0.95))
    assert (found.frames, found.useful, found.errors, found.errors_kept) == (800, 400, 800, 0)
    assert found.errors_on_useful == 0
    assert 0 <= found.useful_lost <= 0.05
    twice = (found + found).row()
    assert (twice["frames"], twice["errors per 1,000 before"], twice["after"], twice["fall"]) == (1600, 1000, 0, 1)
    assert twice["dropped"] == pytest.approx(0.5 + found.useful_lost / 2)


def test_quarters_of_each_clip_are_of_whole_blocks() -> None:
    found = errors_case.quarters(frames())
    assert np.bincount(found).tolist() == [400, 400, 400, 400]
    assert found[:400].tolist() == sorted(found[:400])
    short = [Judged("a", index, index / 4, "pristine", {"detection": 1.0}, True) for index in range(14)]
    assert errors_case.quarters(short).tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3]


def test_coverage_of_clips_that_are_all_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage_case, "judged", lambda detector, model, folder, every: frames(count=100))
    outcome = coverage_case.coverage(["m"], tmp_path, 1.0, 10)
    rows = {(row["split by"], row["method"], row["promised"]): row for row in outcome.rows}
    refused = rows["clip", "blocks: clips", 0.95]
    assert (refused["refused"], refused["kept the promise"], refused["discard"]) == (1, 1, 0)
    carried = rows["1 s", "blocks", 0.95]
    assert carried["refused"] == 0
    assert carried["useful kept"] >= 0.95
    assert 0.5 <= carried["discard"] <= 0.55
    assert carried["ideal discard"] == 0.5
