"""StreamFilter over real files with a model whose utility is the brightness of the picture."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import numpy as np
import pytest

from streamfilter import StreamFilter
from streamfilter.batch import StreamState
from streamfilter.errors import ConfigError, InputError, InputNotFoundError
from streamfilter.frame import Frame, Reason
from streamfilter.sources import open_source
from streamfilter.web import Listener
from tests.media import cut, moving_pictures, write_video
from tests.models import brightness_model


def grey(value: int) -> np.ndarray:
    return np.full((96, 128, 3), value, np.uint8)


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(brightness_model(tmp_path / "brightness.onnx"))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Ten bright frames, ten dark ones, ten bright ones."""
    return write_video(tmp_path / "clip.mp4", [grey(220)] * 10 + [grey(30)] * 10 + [grey(220)] * 10)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_frames_come_in_order_with_their_decisions(clip: Path, model: str, batch_size: int) -> None:
    pairs = list(StreamFilter(model=model, device="cpu", batch_size=batch_size).filter(clip))
    assert [frame.index for frame, _ in pairs] == list(range(30))
    assert [decision.keep for _, decision in pairs] == [True] * 10 + [False] * 10 + [True] * 10
    assert pairs[15][0].pts_seconds == pytest.approx(0.6)
    utility = pairs[0][1].utility
    assert utility is not None
    assert utility["detection"] == pytest.approx(220 / 255, abs=0.02)


def test_consumer_sees_the_kept_frames_only(clip: Path, model: str) -> None:
    seen: list[Frame] = []
    summary = StreamFilter(model=model, device="cpu").pass_to(clip, seen.append)
    assert [frame.index for frame in seen] == [*range(10), *range(20, 30)]
    assert (summary.frames_read, summary.frames_kept) == (30, 20)
    assert summary.dropped_by_reason == {Reason.LOW_UTILITY: 10}


def test_what_the_consumer_raises_comes_through_and_the_reader_ends(clip: Path, model: str) -> None:
    def consumer(frame: Frame) -> None:
        raise ZeroDivisionError(f"frame {frame.index}")

    before = threading.active_count()
    with pytest.raises(ZeroDivisionError, match="frame 0"):
        StreamFilter(model=model, device="cpu").pass_to(clip, consumer)
    assert threading.active_count() == before


def test_gap_floor_reads_the_containers_clock(tmp_path: Path, model: str) -> None:
    clip = write_video(tmp_path / "dark.mp4", [grey(20)] * 50)
    kept = [f.index for f, d in StreamFilter(model=model, device="cpu", max_gap_seconds=0.5).filter(clip) if d.keep]
    assert kept == [13, 26, 39]


def test_unreadable_frames_are_dropped_unscored_and_leave_no_trace_in_the_policy(model: str) -> None:
    stream_filter = StreamFilter(model=model, device="cpu", hysteresis=0.2)
    frames = [
        Frame("x", 0, array=grey(150)),
        Frame("x", 1, problem="cut off"),
        Frame("x", 2, array=grey(100)),
    ]
    decisions, _ = stream_filter.decide(frames, StreamState())
    assert [decision.reason for decision in decisions] == [Reason.USEFUL, Reason.UNREADABLE, Reason.HYSTERESIS]
    assert decisions[1].utility is None


def test_a_batch_of_nothing_but_unreadable_frames(model: str) -> None:
    frames = [Frame("x", index, problem="cut off") for index in range(3)]
    decisions, _ = StreamFilter(model=model, device="cpu").decide(frames, StreamState())
    assert [decision.keep for decision in decisions] == [False] * 3


def test_threshold_overrides_the_models_own(clip: Path, model: str) -> None:
    assert all(decision.keep for _, decision in StreamFilter(model=model, device="cpu", threshold=0.05).filter(clip))


def test_scoring_one_array(model: str) -> None:
    scores = StreamFilter(model=model, device="cpu").score(grey(51))
    assert scores == {"classification": pytest.approx(0.2, abs=1e-3), "detection": pytest.approx(0.2, abs=1e-3)}


def test_stop_ends_the_iteration(clip: Path, model: str) -> None:
    stop = threading.Event()
    seen = 0
    for _ in StreamFilter(model=model, device="cpu", batch_size=1).filter(clip, stop):
        seen += 1
        if seen == 5:
            stop.set()
    assert seen == 5


def test_a_task_the_model_lacks(tmp_path: Path) -> None:
    single = brightness_model(tmp_path / "one.onnx", ("detection",))
    with pytest.raises(ConfigError, match="this model has any, all, detection"):
        StreamFilter(model=str(single), device="cpu", task="classification")


@pytest.mark.parametrize("source", [None, 7, [], np.zeros((4, 4, 3), np.uint8)], ids=lambda it: type(it).__name__)
def test_what_is_no_source_is_refused_in_one_line(model: str, source: Any) -> None:
    stream_filter = StreamFilter(model=model)
    with pytest.raises(ConfigError, match=f"a source is a path, .* this is of type {type(source).__name__}$"):
        list(stream_filter.filter(source))
    with pytest.raises(ConfigError, match="a source is a path"):
        stream_filter.pass_to(source, print)


def test_missing_source(model: str) -> None:
    with pytest.raises(InputNotFoundError, match=r"nowhere\.mp4"):
        next(StreamFilter(model=model, device="cpu").filter("nowhere.mp4"))


@pytest.fixture
def cut_clip(tmp_path: Path) -> Path:
    """Half of a recording."""
    return cut(write_video(tmp_path / "whole.mkv", moving_pictures(60)), 0.5, tmp_path / "cut.mkv")


@pytest.fixture
def closed_camera() -> Iterator[str]:
    """A camera that knows nobody."""

    def refuse(environ: WSGIEnvironment, start: StartResponse) -> list[bytes]:
        start("401 Unauthorized", [("WWW-Authenticate", 'Basic realm="camera"')])
        return [b""]

    listener = Listener(refuse, 0, "127.0.0.1", "camera")
    yield f"http://me:hunter2@127.0.0.1:{listener.port}/video"
    listener.close()


@pytest.mark.parametrize("is_open", [False, True])
def test_a_source_that_ends_early_is_an_error_after_its_frames(cut_clip: Path, model: str, is_open: bool) -> None:
    source = open_source(str(cut_clip)) if is_open else cut_clip
    seen: list[Frame] = []
    with pytest.raises(InputError, match=r"cut\.mkv ends early after \d+ frames"):
        seen.extend(frame for frame, _ in StreamFilter(model=model, device="cpu").filter(source))
    assert 0 < len(seen) < 60
    assert [frame.index for frame in seen] == list(range(len(seen)))


def test_whoever_stops_early_is_told_of_no_failure(cut_clip: Path, model: str) -> None:
    stop = threading.Event()
    for _ in StreamFilter(model=model, device="cpu", batch_size=1).filter(cut_clip, stop):
        stop.set()


def test_a_consumer_gets_what_could_be_read_and_the_summary_says_that_it_ended_early(
    cut_clip: Path, model: str
) -> None:
    summary = StreamFilter(model=model, device="cpu").pass_to(cut_clip, lambda frame: None)
    (failure,) = summary.failures
    assert f"cut.mkv ends early after {summary.frames_read} frames" in failure
    assert summary.frames_read > 0


def test_a_camera_that_refuses_is_an_error(closed_camera: str, model: str) -> None:
    stream_filter = StreamFilter(model=model, device="cpu")
    with pytest.raises(InputError, match="401") as raised:
        next(stream_filter.filter(closed_camera))
    assert "hunter2" not in str(raised.value)
    assert stream_filter.pass_to(closed_camera, lambda frame: None).failures == [str(raised.value)]
