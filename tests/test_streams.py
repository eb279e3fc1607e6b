"""Many streams into one scorer: they come, go, break and dawdle without disturbing each other."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streamfilter import StreamFilter
from streamfilter.errors import ConfigError, InputError
from streamfilter.frame import Decision, Frame, Reason, Signs, StreamEvent
from streamfilter.sources import SourceInfo
from streamfilter.stream_config import LiveSettings, StreamConfig
from streamfilter.streams import Streams
from tests.live_servers import free_port, wait_until
from tests.media import moving_pictures, write_video
from tests.models import brightness_model

BRIGHT, DARK = (np.full((36, 64, 3), value, np.uint8) for value in (230, 20))
SOUND, LOST = Signs(is_keyframe=True), Signs(gap=True)


class Camera:
    """A live source that gives what a test says, at a pace."""

    is_live = True

    def __init__(self, name: str, pictures: Callable[[int], Frame | None], fps: float = 200) -> None:
        self.name, self.info, self.failure = name, SourceInfo(), None
        self.closed = threading.Event()
        self.given = 0
        self._pictures, self._pause = pictures, 1 / fps

    def __iter__(self) -> Iterator[Frame]:
        while not self.closed.wait(self._pause):
            frame = self._pictures(self.given)
            if frame is None:
                return
            self.given += 1
            yield frame

    def close(self) -> None:
        self.closed.set()


class Pages(Camera):
    """A source that is no live one."""

    is_live = False


def shot(index: int, picture: np.ndarray = BRIGHT, signs: Signs = SOUND) -> Frame:
    return Frame("cam", index, index / 25, array=picture, arrived_seconds=time.monotonic(), signs=signs)


def endless(index: int) -> Frame:
    return shot(index)


def only(count: int) -> Callable[[int], Frame | None]:
    return lambda index: shot(index) if index < count else None


def burst(index: int) -> Frame:
    if index == 10:
        raise InputError("the cable of bad was cut; mend it")
    return shot(index)


class Running:
    """Streams that run in a thread while a test looks on."""

    def __init__(self, model: Path, hear: Callable[[StreamEvent], object] | None = None, **settings: object) -> None:
        self.events: list[StreamEvent] = []
        stream_filter = StreamFilter(model=str(model), device="cpu", **settings)
        self.streams = Streams(stream_filter, on_event=hear or self.events.append)
        self.stop = threading.Event()
        self.thread = threading.Thread(target=lambda: self.streams.run(self.stop, waits_for_more=True))

    def add(
        self, name: str, camera: Camera | None = None, consumer=None, uri: str = "rtsp://x/y", **live: object
    ) -> None:
        config = StreamConfig(name, uri, live=LiveSettings(**live))
        self.streams.add(config, consumer=consumer, source=camera)

    def __enter__(self) -> "Running":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join(30)
        assert not self.thread.is_alive()

    def kinds(self, name: str) -> list[str]:
        return [event.kind for event in self.events if event.stream == name]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return brightness_model(tmp_path_factory.mktemp("model") / "bright.onnx")


def test_every_frame_read_is_passed_or_dropped_for_a_reason(model):
    camera = Camera("a", lambda index: shot(index, BRIGHT if index % 3 else DARK) if index < 300 else None)
    got: list[int] = []
    running = Running(model)
    running.add("a", camera, consumer=lambda frame: got.append(frame.index))
    summary = running.streams.run(threading.Event())
    assert summary.frames_read == camera.given == 300
    assert summary.frames_kept == len(got)
    assert got == sorted(got)
    assert summary.dropped_by_reason[Reason.LOW_UTILITY] + summary.frames_kept + waited(summary) == 300


def waited(summary) -> int:
    """Frames dropped because of load; a busy machine has some."""
    return sum(summary.dropped_by_reason[reason] for reason in (Reason.OVERFLOW, Reason.STALE, Reason.STOPPED))


@pytest.mark.parametrize("backpressure", ["bounded", "latest", "priority"])
def test_a_slow_consumer_gets_fresh_frames_and_all_are_counted(model, backpressure):
    ages: list[float] = []
    camera = Camera("slow", only(300), fps=100)

    def dawdle(frame: Frame) -> None:
        ages.append(time.monotonic() - frame.arrived_seconds)
        time.sleep(0.1)

    running = Running(model)
    running.add("slow", camera, consumer=dawdle, backpressure=backpressure, staleness_seconds=0.3)
    summary = running.streams.run(threading.Event())
    assert summary.frames_read == camera.given
    assert summary.frames_kept == len(ages)
    assert 5 < len(ages) < 100
    assert max(ages) < 0.3 + 0.1  # a thread may be interrupted between the check and the call


def test_a_slow_consumer_never_holds_up_the_reader_or_other_streams(model):
    gate = threading.Event()
    slow, quick = Camera("slow", endless), Camera("quick", endless)
    got: list[int] = []
    with Running(model) as running:
        running.add("slow", slow, consumer=lambda frame: gate.wait(20))
        running.add("quick", quick, consumer=lambda frame: got.append(frame.index))
        wait_until(lambda: len(got) > 200, 30, "the quick stream")
        assert slow.given > 50
        gate.set()


def test_streams_come_and_go_while_others_run(model):
    first, second = Camera("first", endless), Camera("second", endless)
    got: dict[str, int] = {"first": 0, "second": 0}

    def count(name: str) -> Callable[[Frame], None]:
        return lambda frame: got.__setitem__(name, got[name] + 1)

    with Running(model) as running:
        running.add("first", first, consumer=count("first"))
        wait_until(lambda: got["first"] > 20)
        running.add("second", second, consumer=count("second"))
        wait_until(lambda: got["second"] > 20)
        running.streams.remove("first")
        assert first.closed.is_set()
        before = dict(got)
        wait_until(lambda: got["second"] > before["second"] + 20)
        assert got["first"] == before["first"]
        with pytest.raises(ConfigError, match="there is no stream first; there are second"):
            running.streams.remove("first")
        with pytest.raises(ConfigError, match="there is a stream second already"):
            running.add("second", second)
    assert running.kinds("first") == ["added", "removed"]


def test_a_consumer_may_remove_its_own_stream_and_say_so_again(model, tmp_path):
    got: list[int] = []

    def take(frame: Frame) -> None:
        got.append(frame.index)
        if len(got) >= 5:
            running.streams.remove("cam")

    with Running(model) as running:
        config = StreamConfig("cam", "rtsp://x/y", (str(tmp_path / "kept.mp4"),), live=LiveSettings(queue_frames=100))
        running.streams.add(config, consumer=take, source=Camera("cam", endless))
        wait_until(lambda: "removed" in running.kinds("cam"))
        assert not running.streams.statuses()
    assert [path.name for path in tmp_path.iterdir()] == ["kept.mp4"]
    assert running.streams.summary.failures == []
    assert not [thread for thread in threading.enumerate() if thread.name.endswith("of cam")]


@pytest.mark.parametrize("kind", ["connecting", "bound_doubtful"])
def test_a_stream_may_be_removed_by_whoever_hears_of_it(model, tmp_path, kind):
    """By the reader, or while frames are scored."""

    class Telling(Camera):
        def __iter__(self) -> Iterator[Frame]:
            if kind == "connecting":
                running.streams._hear(StreamEvent("cam", kind, ""))
            yield from super().__iter__()

    def remove(event: StreamEvent) -> None:
        running.events.append(event)
        if event.kind == kind:
            running.streams.remove("cam")
            was_taken_out.append(True)

    was_taken_out: list[bool] = []
    running = Running(model, remove)
    with running:
        config = StreamConfig("cam", "rtsp://x/y", records=str(tmp_path / "cam.jsonl"))
        running.streams.add(config, source=Telling("cam", endless))
        if kind == "bound_doubtful":
            running.streams._streams["cam"].canary._judge_bound = lambda: [(kind, "")]
        wait_until(lambda: "removed" in running.kinds("cam"))
    assert was_taken_out
    assert not [thread for thread in threading.enumerate() if thread.name.endswith("of cam")]


def test_a_stream_that_breaks_is_told_and_the_others_go_on(model):
    def crash(index: int) -> Frame:
        raise RuntimeError("a bug")

    def strange(index: int) -> Frame:
        return np.zeros((9, 9, 3), np.uint8)

    got: list[int] = []
    with Running(model) as running:
        running.add("strange", Camera("strange", strange))
        running.add("bad", Camera("bad", burst))
        running.add("worse", Camera("worse", crash))
        running.add("good", Camera("good", endless), consumer=lambda frame: got.append(frame.index))
        running.add("absent", uri=f"rtsp://127.0.0.1:{free_port()}/x")
        wait_until(lambda: "failed" in running.kinds("bad") and "failed" in running.kinds("worse"))
        before = len(got)
        wait_until(lambda: len(got) > before + 50)
        states = {status.name: status.state for status in running.streams.statuses()}
        assert states["absent"] in ("waiting", "connecting")
        assert "bad" not in states
    assert sorted(running.streams.summary.failures) == [
        "reading strange raised TypeError: strange gave a ndarray, expected a Frame",
        "reading worse raised RuntimeError: a bug",
        "the cable of bad was cut; mend it",
    ]


def test_streams_that_ended_are_known_until_they_are_removed_or_run_again(model):
    def refuse(frame: Frame) -> None:
        raise ValueError("not today")

    with Running(model) as running:
        streams = running.streams

        def known() -> dict[str, tuple[str, str]]:
            return {status.name: (status.state, status.detail) for status in streams.known()}

        running.add("bad", Camera("bad", endless), consumer=refuse)
        running.add("short", Camera("short", only(20)))
        running.add("good", Camera("good", endless))
        failed = ("failed", "a consumer of bad raised ValueError: not today")
        wait_until(lambda: known()["bad"] == failed and known()["short"] == ("closed", ""))
        wait_until(lambda: running.kinds("bad")[-1] == running.kinds("short")[-1] == "removed")
        last = {status.name: status for status in streams.known()}
        assert [last["short"].counts.frames_read, last["short"].queue_depth] == [20, 0]
        wait_until(lambda: {one.name: one for one in streams.known()}["short"].last_frame_seconds > 0.5)
        assert [status.name for status in streams.statuses()] == ["good"]
        running.add("bad", Camera("bad", endless))
        wait_until(lambda: known()["bad"] == ("starting", ""))
        streams.remove("short")
        assert set(known()) == {"bad", "good"}
        with pytest.raises(ConfigError, match="there is no stream short"):
            streams.remove("short")
        running.add("worse", Camera("worse", burst))
        wait_until(lambda: known()["worse"][0] == "failed")
        streams.replace([])
        assert not known()


def test_a_consumer_that_raises_ends_its_stream_only(model):
    got: list[int] = []

    def refuse(frame: Frame) -> None:
        raise ValueError("not today")

    with Running(model) as running:
        running.add("bad", Camera("bad", endless), consumer=refuse)
        running.add("good", Camera("good", endless), consumer=lambda frame: got.append(frame.index))
        wait_until(lambda: "failed" in running.kinds("bad"))
        before = len(got)
        wait_until(lambda: len(got) > before + 50)
    assert running.streams.summary.failures == ["a consumer of bad raised ValueError: not today"]


def test_a_consumer_that_raises_once_all_has_been_read_is_told(model):
    def refuse_the_last(frame: Frame) -> None:
        wait_until(lambda: not running.streams.statuses())
        raise ValueError("not today")

    running = Running(model)
    running.add("pages", Pages("pages", only(1)), consumer=refuse_the_last)
    assert running.streams.run(threading.Event()).failures == ["a consumer of pages raised ValueError: not today"]
    assert running.kinds("pages") == ["added", "failed", "removed"]


def test_a_failure_is_told_once_also_when_whoever_hears_it_removes_the_stream(model):
    def remove(event: StreamEvent) -> None:
        running.events.append(event)
        if event.kind == "failed":
            running.streams.remove("cam")

    running = Running(model, remove)
    running.add("cam", Camera("cam", endless), consumer=lambda frame: 1 / 0)
    summary = running.streams.run(threading.Event())
    assert summary.failures == ["a consumer of cam raised ZeroDivisionError: division by zero"]
    assert running.kinds("cam") == ["added", "failed", "removed"]


def test_a_listener_that_raises_is_logged_once_and_hurts_nothing(model, caplog):
    def refuse(event: StreamEvent) -> None:
        raise ValueError("not today")

    class Told(Camera):
        def __iter__(self) -> Iterator[Frame]:
            running.streams._hear(StreamEvent("cam", "playing", ""))
            yield from super().__iter__()

    got: list[int] = []
    running = Running(model, refuse)
    running.add("cam", Told("cam", only(20)), consumer=lambda frame: got.append(frame.index), staleness_seconds=100)
    running.add("bad", Camera("bad", endless), consumer=lambda frame: 1 / 0)
    summary = running.streams.run(threading.Event())
    assert got == list(range(20))
    assert summary.failures == ["a consumer of bad raised ZeroDivisionError: division by zero"]
    assert caplog.text.count("on_event raised") == 1


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_outputs_are_whole_when_the_run_breaks_off(model, tmp_path, error):
    def fail_after_some() -> None:
        if running.streams.summary.frames_kept > 10:
            raise error

    running = Running(model)
    running.streams.add(StreamConfig("cam", "rtsp://x/y", (str(tmp_path / "kept.mp4"),)), source=Camera("cam", endless))
    with pytest.raises(error):
        running.streams.run(threading.Event(), fail_after_some)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.mp4"]
    assert running.kinds("cam")[-1] == "removed"


def test_frames_of_a_taint_window_need_the_stricter_threshold(model):
    """Brightness 0.9 passes 0.85, and 0.7 passes only outside the window."""
    middling = np.full((36, 64, 3), 180, np.uint8)

    def pictures(index: int) -> Frame | None:
        if index >= 40:
            return None
        signs = SOUND if index in (0, 30) else LOST if index == 10 else Signs()
        return shot(index, BRIGHT if index % 2 else middling, signs)

    got: list[int] = []
    running = Running(model)
    running.add("cam", Camera("cam", pictures, fps=100), consumer=lambda f: got.append(f.index), taint_threshold=0.85,
                staleness_seconds=10, queue_frames=100)  # fmt: skip
    summary = running.streams.run(threading.Event())
    assert got == [*range(10), *range(11, 30, 2), *range(30, 40)]
    assert summary.dropped_by_reason == {Reason.TAINTED: 10}
    assert summary.kept_by_reason[Reason.RELEASED] == 10


def test_a_stream_that_is_all_damaged_becomes_unhealthy_and_recovers(model):
    healthy = threading.Event()

    def pictures(index: int) -> Frame:
        return shot(index, BRIGHT, SOUND if healthy.is_set() else Signs(errors=True))

    with Running(model) as running:
        running.add("cam", Camera("cam", pictures), unhealthy_seconds=0.5)
        running.streams._hear(StreamEvent("cam", "playing", ""))
        wait_until(lambda: "unhealthy" in running.kinds("cam"))
        assert [status.state for status in running.streams.statuses()] == ["unhealthy"]
        time.sleep(1)
        assert running.kinds("cam").count("unhealthy") == 1
        healthy.set()
        wait_until(lambda: running.kinds("cam")[-1] == "healthy")


def test_a_connect_alone_makes_no_stream_healthy(model):
    healthy = threading.Event()

    def pictures(index: int) -> Frame:
        return shot(index, BRIGHT, SOUND if healthy.is_set() else Signs(errors=True))

    def state() -> str:
        return running.streams.statuses()[0].state

    with Running(model) as running:
        running.add("cam", Camera("cam", pictures), unhealthy_seconds=0.5)
        running.streams._hear(StreamEvent("cam", "playing", ""))
        wait_until(lambda: "unhealthy" in running.kinds("cam"))
        running.streams._hear(StreamEvent("cam", "waiting", "it broke off"))
        time.sleep(0.3)
        running.streams._hear(StreamEvent("cam", "playing", ""))
        wait_until(lambda: state() == "unhealthy")
        time.sleep(0.7)
        assert running.kinds("cam") == ["added", "playing", "unhealthy", "waiting", "playing"]
        healthy.set()
        wait_until(lambda: state() == "playing")
    assert running.kinds("cam")[5] == "healthy"


def test_readers_find_the_decoder_imported_whole_and_importing_us_does_not_bring_it():
    lines = """
import sys
from streamfilter.sources import LiveSource
assert "av" not in sys.modules
LiveSource("rtsp://127.0.0.1:1/x")
assert "av.video.reformatter" in sys.modules
"""
    subprocess.run([sys.executable, "-c", lines], check=True, timeout=60)


def test_files_are_streams_that_lose_nothing(model, tmp_path):
    clip = write_video(tmp_path / "clip.mp4", moving_pictures(60))
    slow: list[int] = []
    running = Running(model, threshold=0.0)

    def dawdle(frame: Frame) -> None:
        slow.append(frame.index)
        time.sleep(0.01)

    running.add("clip", uri=str(clip), consumer=dawdle)
    summary = running.streams.run(threading.Event())
    assert slow == list(range(60))
    assert summary.frames_kept == 60
    assert not summary.interrupted


def test_what_waits_when_the_last_file_has_been_read_is_not_lost(model, monkeypatch):
    monkeypatch.setattr("streamfilter.streams.DRAIN_SECONDS", 0.1)
    monkeypatch.setattr("streamfilter.stream.FINISH_SECONDS", 0.1)
    got: list[int] = []

    def dawdle(frame: Frame) -> None:
        time.sleep(0.1)
        got.append(frame.index)

    running = Running(model)
    running.add("pages", Pages("pages", only(15), fps=10_000), consumer=dawdle)
    summary = running.streams.run(threading.Event())
    assert got == list(range(15))
    assert (summary.frames_kept, summary.interrupted, summary.failures) == (15, False, [])


def test_stopping_ends_a_file_whose_last_frames_wait(model):
    gate, stop = threading.Event(), threading.Event()
    running = Running(model)
    running.add("pages", Pages("pages", only(15), fps=10_000), consumer=lambda frame: gate.wait(30))

    def stop_after_the_last() -> None:
        if not running.streams.statuses():
            stop.set()

    started = time.monotonic()
    summary = running.streams.run(stop, stop_after_the_last)
    assert time.monotonic() - started < 10
    gate.set()
    assert summary.interrupted
    assert summary.dropped_by_reason[Reason.STOPPED] == 14


def test_a_new_configuration_changes_only_what_differs(model, tmp_path):
    clip = str(write_video(tmp_path / "clip.mp4", moving_pictures(5)))
    port = free_port()
    kept, changed, gone = (
        StreamConfig(name, f"rtsp://127.0.0.1:{port}/{name}") for name in ("kept", "changed", "gone")
    )
    with Running(model) as running:
        running.streams.replace([kept, changed, gone])
        after = StreamConfig("changed", changed.uri, live=LiveSettings(staleness_seconds=0.1))
        bad = StreamConfig("bad", str(tmp_path / "none.mp4"))
        problems = running.streams.replace([kept, after, bad, StreamConfig("new", clip)])
        assert list(problems) == ["bad"]
        assert "no such file" in problems["bad"]
    assert running.kinds("kept").count("added") == 1
    assert [kind for kind in running.kinds("changed") if kind in ("added", "removed")][:3] == [
        "added",
        "removed",
        "added",
    ]
    assert "removed" in running.kinds("gone")
    assert "added" in running.kinds("new")


@pytest.mark.parametrize("changes", [{"policy": {"threshold": 7}}, {"uri": "none.mp4"}, {"out": ("file.txt/x.mp4",)}])
def test_a_stream_that_cannot_be_changed_goes_on_as_it_was(model, tmp_path, monkeypatch, changes):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.txt").write_text("no folder")
    before = StreamConfig("cam", f"rtsp://127.0.0.1:{free_port()}/x", records="cam.jsonl")
    with Running(model) as running:
        running.streams.replace([before])
        after = replace(before, **changes)
        assert list(running.streams.replace([after])) == ["cam"]
        assert [stream.config for stream in running.streams._snapshot()] == [before]
        added = running.kinds("cam").count("added")
        assert added == (2 if "out" in changes else 1)


def test_streams_that_are_replaced_end_side_by_side(model):
    both = threading.Barrier(2)

    class Meeting(Camera):
        """Ends only while the other one does."""

        def close(self) -> None:
            if not self.closed.is_set():
                super().close()
                both.wait(30)

    with Running(model) as running:
        running.add("a", Meeting("a", endless))
        running.add("b", Meeting("b", endless))
        assert not running.streams.replace([])
    assert not both.broken


def test_outputs_pass_from_one_changed_stream_to_another(model, tmp_path):
    uri, one, two = f"rtsp://127.0.0.1:{free_port()}/x", str(tmp_path / "1.jsonl"), str(tmp_path / "2.jsonl")
    with Running(model) as running:
        running.streams.replace([StreamConfig("a", uri, (one,)), StreamConfig("b", uri, (two,))])
        assert not running.streams.replace([StreamConfig("a", uri, (two,)), StreamConfig("b", uri, (one,))])
        kinds = [(event.stream, event.kind) for event in running.events if event.kind in ("added", "removed")]
        assert {*kinds[2:4]} == {("a", "removed"), ("b", "removed")}


def test_stopping_drains_within_two_seconds_and_counts_what_waited(model):
    gate = threading.Event()
    camera = Camera("cam", endless)
    running = Running(model)
    running.add("cam", camera, consumer=lambda frame: gate.wait(30), staleness_seconds=100, queue_frames=100)
    with running:
        wait_until(lambda: camera.given > 150)
        started = time.monotonic()
    assert time.monotonic() - started < 6
    gate.set()
    assert running.streams.summary.dropped_by_reason[Reason.STOPPED] > 0


def test_a_stream_that_has_ended_is_hurried_when_all_is_stopped(model):
    gate = threading.Event()
    running = Running(model)
    running.add("done", Camera("done", only(5)), consumer=lambda frame: gate.wait(30), staleness_seconds=100)
    with running:
        wait_until(lambda: not running.streams.statuses(), 30, "the end of the stream")
        started = time.monotonic()
    assert time.monotonic() - started < 10
    gate.set()


def test_outputs_that_take_long_do_not_keep_other_streams_from_being_hurried(model):
    gate, second_is_over, was_hurried = threading.Event(), threading.Event(), []

    class Slow(BadSink):
        def close(self) -> None:
            was_hurried.append(second_is_over.wait(8))

    class Last(BadSink):
        def close(self) -> None:
            second_is_over.set()

    with Running(model) as running:
        config = StreamConfig("first", "rtsp://x/y")
        running.streams.add(config, [Slow()], source=Camera("first", only(5)))
        wait_until(lambda: not running.streams.statuses())
        config = StreamConfig("second", "rtsp://x/y", live=LiveSettings(staleness_seconds=100))
        running.streams.add(config, [Last()], lambda frame: gate.wait(30), Camera("second", only(5)))
        wait_until(lambda: not running.streams.statuses())
    gate.set()
    assert was_hurried == [True]


def test_a_new_stream_does_not_starve_the_old_ones(model):
    """More streams than a batch holds: each gets its turn, however many frames it has behind it."""
    got: dict[str, int] = {}

    def count(name: str) -> Callable[[Frame], None]:
        return lambda frame: got.__setitem__(name, got.get(name, 0) + 1)

    with Running(model, batch_size=2) as running:
        running.add("old", Camera("old", endless), consumer=count("old"))
        wait_until(lambda: got.get("old", 0) > 100)
        for name in ("new1", "new2", "new3"):
            running.add(name, Camera(name, endless), consumer=count(name))
        wait_until(lambda: got.get("new3", 0) > 5)
        before = got["old"]
        wait_until(lambda: got["old"] > before + 20, 20, "the old stream")


def test_a_watcher_sees_pixels_of_dropped_frames_and_every_final_decision(model):
    seen: list[tuple[str, int, bool, bool]] = []
    final: list[tuple[str, int, bool]] = []

    class Watcher:
        def looked(self, stream, frames, decisions, now) -> None:
            seen.extend(
                (stream, frame.index, frame.is_readable, one.keep) for frame, one in zip(frames, decisions, strict=True)
            )

        def counted(self, stream, frame, decision, now) -> None:
            final.append((stream, frame.index, decision.keep))

    camera = Camera("a", lambda index: shot(index, BRIGHT if index % 3 else DARK) if index < 60 else None, fps=60)
    streams = Streams(StreamFilter(model=str(model), device="cpu"), watcher=Watcher())
    streams.add(StreamConfig("a", "rtsp://x/y", live=LiveSettings(staleness_seconds=100, queue_frames=100)),
                source=camera)  # fmt: skip
    summary = streams.run(threading.Event())
    assert seen == [("a", index, True, index % 3 > 0) for index in range(60)]
    assert final == [("a", index, index % 3 > 0) for index in range(60)]
    assert summary.frames_kept == 40


class BadSink:
    """A custom sink whose end fails with an error of its own."""

    def write(self, frame: Frame, decision: Decision) -> None:
        pass

    def close(self) -> None:
        raise RuntimeError("cannot close")

    def abort(self) -> None:
        raise RuntimeError("cannot abort")


def test_outputs_behind_one_that_cannot_be_finished_are_whole_and_it_is_told(model, tmp_path):
    running = Running(model)
    targets = (f"rtsp://127.0.0.1:{free_port()}/x", str(tmp_path / "kept.mp4"))
    running.streams.add(StreamConfig("cam", "rtsp://x/y", targets), source=Camera("cam", only(30)))
    running.streams.add(StreamConfig("own", "rtsp://x/y"), [BadSink()], source=Camera("own", only(5)))
    summary = running.streams.run(threading.Event())
    assert [path.name for path in tmp_path.iterdir()] == ["kept.mp4"]
    own, published = sorted(summary.failures)
    assert own == "an output of own raised RuntimeError at its end: cannot close"
    assert "never took a frame" in published
    assert running.kinds("cam")[-1] == running.kinds("own")[-1] == "removed"


def test_a_source_that_cannot_be_closed_leaves_its_outputs_whole(model, tmp_path):
    class Stuck(Camera):
        def close(self) -> None:
            super().close()
            raise RuntimeError("a bug")

    running = Running(model)
    running.streams.add(StreamConfig("cam", "rtsp://x/y", (str(tmp_path / "kept.mp4"),)), source=Stuck("cam", only(30)))
    summary = running.streams.run(threading.Event())
    assert [path.name for path in tmp_path.iterdir()] == ["kept.mp4"]
    assert summary.failures == ["ending cam raised RuntimeError: a bug"]
