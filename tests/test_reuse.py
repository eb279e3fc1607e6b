"""Frames that look alike take one utility over, and never where the decision could differ."""

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamfilter import StreamFilter
from streamfilter.batch import StreamState
from streamfilter.checks import ONE_IN, PATIENCE, SMALLEST_SHARE, Checks, learn
from streamfilter.errors import ConfigError
from streamfilter.frame import Decision, Frame, Signs
from streamfilter.preprocess import GLIMPSE_HW, glimpse
from streamfilter.reuse import LONGEST, difference
from tests.media import write_video
from tests.models import brightness_model


def grey(value: int) -> np.ndarray:
    return np.full((96, 128, 3), value, np.uint8)


def video_of(values: Sequence[int]) -> list[Frame]:
    return [Frame("x", index, index / 25, array=grey(value)) for index, value in enumerate(values)]


def decided(
    values: Sequence[int], model: str, batch: int = 64, reuse: float = 2.0, error_budget: float = 1.0
) -> list[Decision]:
    stream_filter = StreamFilter(model=model, device="cpu", reuse=reuse, error_budget=error_budget)
    frames, state, found = video_of(values), StreamState(), []
    for start in range(0, len(frames), batch):
        decisions, state = stream_filter.decide(frames[start : start + batch], state)
        found += decisions
    return found


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(brightness_model(tmp_path / "brightness.onnx"))


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_alike_frames_take_over_the_utility_of_the_scored_one_however_they_are_batched(model: str, batch: int) -> None:
    decisions = decided([240, 241, 242, 243, 243, 200], model, batch)
    assert [decision.is_reused for decision in decisions] == [False, True, True, False, True, False]
    bright = [decision.utility["detection"] * 255 for decision in decisions if decision.utility]
    assert bright == pytest.approx([240, 240, 240, 243, 243, 200], abs=0.1)


def wall() -> np.ndarray:
    """A bright wall that a camera can turn along: large patches and fine grain, alike everywhere."""
    rng = np.random.default_rng(5)
    patches = np.kron(rng.integers(180, 250, (12, 64)), np.ones((8, 8)))
    return np.clip(patches + rng.normal(0, 6, patches.shape), 0, 255).astype(np.uint8)


def turning(count: int) -> list[np.ndarray]:
    view = wall()
    return [np.repeat(view[:, 8 * index : 8 * index + 256, None], 3, axis=2) for index in range(count)]


def reused(arrays: Sequence[np.ndarray], model: str, reuse: float = 2.0) -> list[bool]:
    stream_filter = StreamFilter(model=model, device="cpu", reuse=reuse, error_budget=1, threshold=0.3)
    frames = [Frame("x", index, index / 25, array=array) for index, array in enumerate(arrays)]
    return [decision.is_reused for decision in stream_filter.decide(frames, StreamState())[0]]


def test_while_a_camera_turns_one_frame_in_five_is_scored(model: str) -> None:
    views = turning(12)
    assert difference(*(glimpse(Frame("x", 0, array=view)) for view in views[:2])) > 4
    assert [index for index, is_reused in enumerate(reused(views, model)) if not is_reused] == [0, 5, 10]


@pytest.mark.parametrize(
    "change",
    [
        lambda view: cv2.GaussianBlur(view, (0, 0), 1),
        lambda view: np.asarray(view - 5, np.uint8),
        lambda view: np.clip(view + np.random.default_rng(1).normal(0, 8, view.shape), 0, 255).astype(np.uint8),
        lambda view: cv2.resize(view[::4, ::4], view.shape[1::-1], interpolation=cv2.INTER_NEAREST),
    ],
    ids=["blur", "darker", "noise", "blocks"],
)
def test_another_view_of_another_quality_is_scored(change: Callable[[np.ndarray], np.ndarray], model: str) -> None:
    views = turning(4)
    views[2:] = [change(view) for view in views[2:]]
    assert reused(views, model) == [False, True, False, True]


def test_another_view_is_scored_where_the_threshold_is_near(model: str) -> None:
    darker = [np.asarray(view - 100, np.uint8) for view in turning(6)]
    assert 0.4 < float(darker[0].mean()) / 255 < 0.5
    assert not any(reused(darker, model))


@pytest.mark.parametrize("batch", [1, 64])
def test_near_the_threshold_every_frame_is_scored(model: str, batch: int) -> None:
    decisions = decided([128, 127, 129, 127], model, batch)
    assert not any(decision.is_reused for decision in decisions)
    assert [decision.keep for decision in decisions] == [True, False, True, False]


def test_a_still_scene_is_scored_now_and_then(model: str) -> None:
    scored = [index for index, one in enumerate(decided([200] * 60, model, batch=7)) if not one.is_reused]
    assert scored == [0, LONGEST + 1, 2 * LONGEST + 2]


@pytest.mark.parametrize(
    ("times", "scored"),
    [([0, 0.5, 1.0, 1.5, 2.0, 2.5], [0, 3]), ([0, 2, 4], [0, 1, 2]), ([5, 5.04, 0, 0.04], [0, 2]), ([0, 0, 0], [0])],
    ids=["two a second", "slower", "backwards", "at once"],
)
def test_a_utility_serves_for_a_second(times: list[float], scored: list[int], model: str) -> None:
    frames = [Frame("x", index, seconds, array=grey(250)) for index, seconds in enumerate(times)]
    stream_filter = StreamFilter(model=model, device="cpu", reuse=2, error_budget=1)
    decisions, _ = stream_filter.decide(frames, StreamState())
    assert [index for index, one in enumerate(decisions) if not one.is_reused] == scored


def test_by_default_every_frame_is_scored(model: str) -> None:
    decisions, _ = StreamFilter(model=model, device="cpu").decide(video_of([200] * 5), StreamState())
    assert not any(decision.is_reused for decision in decisions)


def test_pictures_without_a_clock_are_each_scored(model: str) -> None:
    frames = [Frame("x", index, array=grey(200)) for index in range(3)]
    decisions, _ = StreamFilter(model=model, device="cpu", reuse=5).decide(frames, StreamState())
    assert not any(decision.is_reused for decision in decisions)


def test_neither_unreadable_nor_tainted_frames_are_taken_for_alike(model: str) -> None:
    sound, lost = Signs(is_keyframe=True), Signs(gap=True)
    frames = [Frame("x", i, i / 25, array=grey(250), signs=s, arrived_seconds=i / 25) for i, s in
              enumerate([sound, Signs(), lost, Signs(), sound])]  # fmt: skip
    frames.append(Frame("x", 5, 0.2, problem="cut off"))
    frames.append(Frame("x", 6, 0.24, array=grey(250), signs=Signs(), arrived_seconds=0.24))
    decisions, _ = StreamFilter(model=model, device="cpu", reuse=5).decide(frames, StreamState())
    assert [decision.is_reused for decision in decisions] == [False, True] + [False] * 5


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_some_frames_are_scored_to_see_whether_taking_over_was_right(model: str, batch: int) -> None:
    decisions = decided([200] * 600, model, batch, error_budget=0.005)
    checked = [decision for decision in decisions if decision.reuse_agrees is not None]
    assert 600 / ONE_IN / 2 < len(checked) < 600 / ONE_IN * 2
    assert all(decision.reuse_agrees and not decision.is_reused for decision in checked)


def test_where_too_many_differ_less_change_is_allowed(model: str) -> None:
    """Lines between those that a glimpse looks at: it cannot see the scene go dark and bright."""
    frames = []
    for index in range(300):
        array = np.full((4 * 4 * GLIMPSE_HW[0], 64, 3), 250 if index // 5 % 2 else 5, np.uint8)
        array[::4] = 128
        frames.append(Frame("x", index, index / 25, array=array))
    stream_filter = StreamFilter(model=model, device="cpu", reuse=2)
    decisions, state = stream_filter.decide(frames, StreamState())
    assert sum(decision.reuse_agrees is False for decision in decisions) >= 2
    assert state.checks.share < 1


@pytest.mark.parametrize(
    ("checks", "share", "checked"),
    [
        ([True] * 10, 1.0, 10),
        ([True] * 10 + [False], 0.5, 0),
        ([False, False], 0.25, 0),
        ([True] * 300 + [False], 1.0, 301),
        ([True] * 300 + [False] * 2, 0.5, 0),
        ([False] + [True] * PATIENCE, 0.75, 0),
        ([False] + [True] * 2 * PATIENCE, 1.0, 0),
        ([False] * 20, SMALLEST_SHARE, 0),
    ],
)
def test_what_checks_teach(checks: list[bool], share: float, checked: int) -> None:
    known = Checks()
    for agrees in checks:
        known = learn(known, agrees, budget=0.005)
    assert (known.share, known.checked) == (share, checked)


def test_the_summary_counts_them(tmp_path: Path, model: str) -> None:
    clip = write_video(tmp_path / "still.mp4", [grey(200)] * 20)
    summary = StreamFilter(model=model, device="cpu", reuse=2, error_budget=1).pass_to(clip, lambda frame: None)
    assert (summary.frames_read, summary.frames_kept, summary.frames_reused) == (20, 20, 19)
    assert "19 by the utility of a frame that looked alike" in str(summary)


@pytest.mark.parametrize("shape", [(2, 2), (30, 700), (1080, 1920)])
def test_a_glimpse_of_any_size(shape: tuple[int, int]) -> None:
    seen = glimpse(Frame("x", 0, 0.0, array=np.full((*shape, 3), 77, np.uint8)))
    assert seen.luma.shape == GLIMPSE_HW
    assert (seen.luma == 77).all()
    assert seen.detail == 0


def test_out_of_range(model: str) -> None:
    with pytest.raises(ConfigError, match="reuse is -1"):
        StreamFilter(model=model, device="cpu", reuse=-1)
