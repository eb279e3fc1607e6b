"""The contract of every sink, and where they refuse to begin."""

from __future__ import annotations

import io
import json
import os
import stat
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from streamfilter.errors import ConfigError, OutputError
from streamfilter.frame import Decision, Frame, Reason
from streamfilter.sinks import (
    CallbackSink,
    ImagesSink,
    MjpegSink,
    Outputs,
    RecordsLog,
    RecordsSink,
    Sink,
    SinkOptions,
    VideoSink,
    clashes,
    open_sink,
)

KEPT = Decision(True, Reason.USEFUL, {"classification": 0.75, "detection": 0.25})
DROPPED = Decision(False, Reason.LOW_UTILITY, {"classification": 0.1, "detection": 0.2})
LOST = Decision(False, Reason.UNREADABLE)
BRIGHTNESS_STEP = 20
START_OF_IMAGE = b"\xff\xd8\xff"


def flat(index: int) -> Frame:
    """A grey frame whose brightness tells its index."""
    pixels = np.full((48, 64, 3), index * BRIGHTNESS_STEP, np.uint8)
    return Frame(input="in.mp4", index=index, pts_seconds=index / 10, array=pixels)


def index_of(rgb: np.ndarray) -> int:
    return round(float(rgb.mean()) / BRIGHTNESS_STEP)


class Video:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "out.mp4"
        self.sink: Sink = VideoSink(self.path)

    def kept(self) -> list[int]:
        with av.open(str(self.path)) as container:
            return [index_of(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


class Images:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "out"
        self.sink: Sink = ImagesSink(self.path)

    def kept(self) -> list[int]:
        return [index_of(cv2.imread(str(path))) for path in sorted(self.path.iterdir())]


class Records:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "out.jsonl"
        self.sink: Sink = RecordsSink(self.path)

    def kept(self) -> list[int]:
        lines = [json.loads(line) for line in self.path.read_text("utf-8").splitlines()]
        return [line["index"] for line in lines if line["keep"]]


class Mjpeg:
    def __init__(self, folder: Path) -> None:
        self.stream = io.BytesIO()
        self.sink: Sink = MjpegSink(self.stream)

    def kept(self) -> list[int]:
        parts = [START_OF_IMAGE + part for part in self.stream.getvalue().split(START_OF_IMAGE)[1:]]
        return [index_of(cv2.imdecode(np.frombuffer(part, np.uint8), cv2.IMREAD_COLOR)) for part in parts]


class Callback:
    def __init__(self, folder: Path) -> None:
        self.frames: list[Frame] = []
        self.sink: Sink = CallbackSink(self.frames.append)

    def kept(self) -> list[int]:
        return [frame.index for frame in self.frames]


EVERY = [Video, Images, Records, Mjpeg, Callback]
ON_DISK = [Video, Images, Records]


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


@pytest.mark.parametrize("kind", EVERY)
def test_kept_frames_arrive_in_order_and_the_others_do_not(kind, tmp_path):
    output = kind(tmp_path)
    for index in range(10):
        output.sink.write(flat(index), KEPT if index % 3 else DROPPED)
    output.sink.write(Frame(input="in.mp4", index=10, problem="damaged"), LOST)
    output.sink.close()
    assert output.kept() == [1, 2, 4, 5, 7, 8]


@pytest.mark.parametrize("kind", EVERY)
def test_closing_again_or_aborting_after_it_changes_nothing(kind, tmp_path):
    output = kind(tmp_path)
    output.sink.write(flat(3), KEPT)
    output.sink.close()
    output.sink.close()
    output.sink.abort()
    assert output.kept() == [3]


@pytest.mark.parametrize("kind", ON_DISK)
def test_the_whole_output_appears_at_close_without_helpers_beside_it(kind, tmp_path):
    output = kind(tmp_path)
    for index in range(5):
        output.sink.write(flat(index), KEPT)
    if kind is not Images:
        assert not output.path.exists()
    output.sink.close()
    assert output.kept() == [0, 1, 2, 3, 4]
    assert not [name for name in files(tmp_path) if "partial" in name]


@pytest.mark.parametrize("kind", ON_DISK)
def test_abort_leaves_nothing(kind, tmp_path):
    output = kind(tmp_path)
    for index in range(5):
        output.sink.write(flat(index), KEPT)
    output.sink.abort()
    output.sink.abort()
    output.sink.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ON_DISK)
def test_abort_leaves_no_folder_it_made(kind, tmp_path):
    (tmp_path / "mine").mkdir()
    output = kind(tmp_path / "mine/new/newer")
    output.sink.write(flat(1), KEPT)
    output.sink.abort()
    assert list(tmp_path.rglob("*")) == [tmp_path / "mine"]


@pytest.mark.parametrize("kind", ON_DISK)
def test_a_folder_that_holds_something_by_now_stays(kind, tmp_path):
    output = kind(tmp_path / "new")
    (tmp_path / "new/mine.txt").touch()
    output.sink.abort()
    assert files(tmp_path) == ["new/mine.txt"]


@pytest.mark.parametrize("kind", [Video, Records])
def test_an_older_output_stays_until_the_new_one_is_whole(kind, tmp_path):
    first = kind(tmp_path)
    first.sink.write(flat(1), KEPT)
    first.sink.close()
    second = kind(tmp_path)
    second.sink.write(flat(2), KEPT)
    assert first.kept() == [1]
    second.sink.abort()
    assert first.kept() == [1]
    third = kind(tmp_path)
    third.sink.write(flat(3), KEPT)
    third.sink.close()
    assert third.kept() == [3]


@pytest.mark.parametrize("kind", ON_DISK)
def test_an_error_inside_with_aborts(kind, tmp_path):
    output = kind(tmp_path)
    output.sink.write(flat(1), KEPT)
    with pytest.raises(RuntimeError, match="elsewhere"), output.sink:
        raise RuntimeError("elsewhere")
    assert files(tmp_path) == []


@pytest.mark.parametrize("kind", [Video, Images, Records, Mjpeg])
def test_writing_after_close_is_refused(kind, tmp_path):
    output = kind(tmp_path)
    output.sink.write(flat(1), KEPT)
    output.sink.close()
    with pytest.raises(ValueError, match="already closed"):
        output.sink.write(flat(2), KEPT)


@pytest.mark.parametrize(("kind", "name"), [(Video, "out.mp4"), (Records, "out.jsonl")])
def test_a_symbolic_link_is_followed_and_the_mode_follows_the_umask(kind, name, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / name).symlink_to(elsewhere / name)
    output = kind(tmp_path)
    output.sink.write(flat(1), KEPT)
    output.sink.close()
    assert (tmp_path / name).is_symlink()
    assert output.kept() == [1]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((elsewhere / name).stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("name", ["out.mp4", "out.jsonl", "out/"])
def test_a_place_that_cannot_be_written_is_refused_at_once(name, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"cannot write .*file.*choose another place"):
        open_sink(f"{tmp_path}/file/{name}", SinkOptions())
    assert files(tmp_path) == ["file"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc, which nobody can write to")
@pytest.mark.parametrize("name", ["out.mp4", "out.jsonl", "out/"])
def test_a_forbidden_folder_is_refused_at_once(name):
    with pytest.raises(OutputError, match="cannot write /proc/"):
        open_sink(f"/proc/{name}", SinkOptions())


@pytest.mark.parametrize("name", ["out.mp4", "out.jsonl"])
def test_a_target_that_is_no_regular_file_is_refused(name, tmp_path):
    os.mkfifo(tmp_path / name)
    with pytest.raises(OutputError, match="not a regular file"):
        open_sink(str(tmp_path / name), SinkOptions())
    assert files(tmp_path) == [name]


def test_a_log_of_records_that_is_no_regular_file_is_refused_without_waiting_for_a_reader(tmp_path):
    os.mkfifo(tmp_path / "log.jsonl")
    with pytest.raises(OutputError, match="not a regular file"):
        RecordsLog(tmp_path / "log.jsonl")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.mp4", VideoSink),
        ("a.MKV", VideoSink),
        ("a.mov", VideoSink),
        ("a.ts", VideoSink),
        ("a.jsonl", RecordsSink),
        ("pictures", ImagesSink),
        ("kept.v2/", ImagesSink),
        ("there.old", ImagesSink),
    ],
)
def test_the_target_names_the_sink(name, kind, tmp_path):
    (tmp_path / "there.old").mkdir()
    sink = open_sink(f"{tmp_path}/new/../{name}" if name == "pictures" else f"{tmp_path}/{name}", SinkOptions())
    assert isinstance(sink, kind)
    sink.abort()


@pytest.mark.parametrize("target", ["out.jpg", "out.avi", "out.txt", "", "gopher://host/live"])
def test_other_targets_list_what_is_allowed(target, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match=r"\.mp4, \.mkv.*\.jsonl.*pictures.*MJPEG"):
        open_sink(target, SinkOptions())
    assert files(tmp_path) == []


def test_options_report_every_setting_out_of_range():
    with pytest.raises(ConfigError, match=r"codec is '', expected.*crf is 64, expected.*jpeg_quality is 0, expected"):
        SinkOptions(codec="", crf=64, jpeg_quality=0)


def test_an_error_in_the_consumer_reaches_the_caller_unchanged():
    error = KeyError("the consumer's own")

    def consumer(frame: Frame) -> None:
        raise error

    with pytest.raises(KeyError) as caught:
        CallbackSink(consumer).write(flat(1), KEPT)
    assert caught.value is error


def test_streams_may_share_what_names_them_and_nothing_else(tmp_path: Path) -> None:
    shared = ["http://joe:hush@h/hook", "mqtt://h/cams", f"{tmp_path}/", "-"]
    assert not list(clashes([Outputs(shared, None), Outputs(shared, None)]))
    alone = [str(tmp_path / "a.mp4"), str(tmp_path / "b.jsonl"), "rtsp://joe:hush@h/x"]
    told = list(clashes([Outputs(alone, "c"), Outputs(alone, "c")]))
    assert [line.rpartition("/")[2] for line in told] == ["a.mp4", "b.jsonl", "x", "the same output is named twice: c"]
    assert "hush" not in "".join(told)
    assert list(clashes([Outputs(["-"], "-")])) == ["the same output is named twice: -"]
