"""Names and bytes of pictures and records."""

from __future__ import annotations

import errno
import io
import json
import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamfilter.errors import OutputError, PictureError
from streamfilter.frame import Decision, Frame, Reason
from streamfilter.sinks import ImagesSink, MjpegSink, RecordsSink, SinkOptions

KEPT = Decision(True, Reason.USEFUL, {"classification": 0.12345678, "detection": 1.0})
GREY = np.full((16, 24, 3), 128, np.uint8)


def noise() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (64, 96, 3), dtype=np.uint8)


def jpeg_file(quality: int = 70) -> bytes:
    return cv2.imencode(".jpg", noise(), [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes() + b"trailing bytes"


def save(folder: Path, *frames: Frame, options: SinkOptions | None = None) -> list[str]:
    with ImagesSink(folder, options or SinkOptions()) as sink:
        for frame in frames:
            sink.write(frame, KEPT)
    assert sink.frames_written == len(frames)
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def named(name: str | None, source: str = "in", index: int = 0, jpeg: bytes | None = None) -> Frame:
    return Frame(input=source, index=index, array=GREY, name=name, jpeg=jpeg)


def test_jpeg_files_pass_through_byte_for_byte(tmp_path):
    assert save(tmp_path, named("sub/a.JPG", jpeg=jpeg_file())) == ["sub/a.JPG"]
    assert (tmp_path / "sub/a.JPG").read_bytes() == jpeg_file()


def test_jpeg_files_pass_through_standard_output_byte_for_byte():
    stream = io.BytesIO()
    with MjpegSink(stream) as sink:
        sink.write(named("a.jpg", jpeg=jpeg_file()), KEPT)
        sink.write(named("b.jpg", jpeg=jpeg_file(30)), KEPT)
    assert stream.getvalue() == jpeg_file() + jpeg_file(30)
    assert not stream.closed


def test_other_pictures_are_encoded_with_their_colours(tmp_path):
    red = np.zeros((16, 24, 3), np.uint8)
    red[..., 0] = 200
    frame = Frame(input="a.png", index=0, array=red, name="a.png")
    assert save(tmp_path, frame) == ["a.jpg"]
    back = cv2.imread(str(tmp_path / "a.jpg"))[:, :, ::-1]
    assert np.abs(back.astype(int) - red).max() <= 3


def test_the_quality_is_the_one_asked_for(tmp_path):
    frame = Frame(input="a.png", index=0, array=noise(), name="a.png")
    sizes = []
    for quality in (20, 95):
        save(tmp_path / str(quality), frame, options=SinkOptions(jpeg_quality=quality))
        sizes.append((tmp_path / str(quality) / "a.jpg").stat().st_size)
    assert sizes[0] * 2 < sizes[1]


def test_video_frames_are_named_after_their_input_and_position(tmp_path):
    frames = [
        named(None, "videos/clip.mp4", 7),
        named(None, "other/clip.mov", 7),
        named(None, "rtsp://user@camera/lobby.sdp?x=../../1", 3),
        named(None, "-", 12),
    ]
    wanted = ["clip-2_000007.jpg", "clip_000007.jpg", "frame_000012.jpg", "lobby_000003.jpg"]
    assert save(tmp_path, *frames) == wanted


def test_live_frames_never_replace_those_of_an_earlier_run(tmp_path, monkeypatch):
    monkeypatch.setattr("streamfilter.sinks.images.time.strftime", lambda *_: "20261123T120000Z")
    frame = replace(named(None, "gate", 7), arrived_seconds=1.0)
    assert save(tmp_path, frame) == ["gate_20261123T120000Z_000007.jpg"]
    first = (tmp_path / "gate_20261123T120000Z_000007.jpg").read_bytes()
    later = replace(frame, array=noise())
    assert save(tmp_path, later) == ["gate_20261123T120000Z_000007-2.jpg", "gate_20261123T120000Z_000007.jpg"]
    assert (tmp_path / "gate_20261123T120000Z_000007.jpg").read_bytes() == first


def test_a_long_input_name_is_cut_to_what_a_file_system_takes(tmp_path):
    (name,) = save(tmp_path, named(None, "é" * 200 + ".mp4", 1))
    assert name == "é" * 60 + "_000001.jpg"


def test_frames_of_one_name_do_not_replace_one_another(tmp_path):
    frames = [named("a.png"), named("a.jpg"), named("A.JPG"), named("b/a.jpg")]
    assert save(tmp_path, *frames) == ["A-3.JPG", "a-2.jpg", "a.jpg", "b/a.jpg"]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("../../a.jpg", "out/a.jpg"),
        ("/etc/a.jpg", "out/etc/a.jpg"),
        ("x/../../a.png", "out/x/a.jpg"),
        ("..", "out/in_000000.jpg"),
    ],
)
def test_a_name_never_leads_out_of_the_folder(name, wanted, tmp_path):
    save(tmp_path / "out", named(name))
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.jpg")] == [wanted]


@pytest.mark.parametrize("name", ["link/a.jpg", "link/new/a.jpg", "a.jpg"])
def test_a_link_that_leads_out_of_the_folder_is_refused(name, tmp_path):
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    out.mkdir()
    (out / "link").symlink_to(outside)
    (out / "a.jpg").symlink_to(outside / "a.jpg")
    with ImagesSink(out) as sink, pytest.raises(OutputError, match="a symbolic link leads out of"):
        sink.write(named(name), KEPT)
    assert list(outside.iterdir()) == []


def test_abort_keeps_what_was_in_the_folder_before(tmp_path):
    (tmp_path / "mine.txt").write_text("older")
    sink = ImagesSink(tmp_path)
    sink.write(named("sub/a.jpg"), KEPT)
    sink.abort()
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_abort_puts_back_the_pictures_that_were_replaced(tmp_path):
    (tmp_path / "a.jpg").write_text("older")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "linked.jpg")
    (tmp_path / "linked.jpg").write_text("linked")
    sink = ImagesSink(tmp_path)
    for name in ("a.jpg", "link.jpg", "linked.jpg", "new.jpg"):
        sink.write(named(name), KEPT)
    assert (tmp_path / "a.jpg").read_bytes().startswith(b"\xff\xd8")
    sink.abort()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "a.jpg": "older",
        "link.jpg": "linked",
        "linked.jpg": "linked",
    }


def test_pictures_that_were_replaced_are_told_and_gone_at_close(tmp_path, caplog):
    (tmp_path / "a.jpg").write_text("older")
    save(tmp_path, named("a.jpg"), named("b.jpg"))
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a.jpg", "b.jpg"]
    assert (tmp_path / "a.jpg").read_bytes().startswith(b"\xff\xd8")
    assert "1 files that were there before were replaced" in caplog.text


def test_a_full_disk_leaves_the_picture_that_was_there(tmp_path, monkeypatch):
    (tmp_path / "a.jpg").write_text("older")

    def refuse(self, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    with ImagesSink(tmp_path) as sink:
        monkeypatch.setattr(Path, "replace", refuse)
        with pytest.raises(OutputError, match="no space left"):
            sink.write(named("a.jpg"), KEPT)
        monkeypatch.undo()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.jpg": "older"}


def test_a_side_too_long_for_jpeg_is_told(tmp_path):
    longest, longer = (
        Frame(input="wide.png", index=4, array=np.zeros((1, width, 3), np.uint8), name="wide.png")
        for width in (65_500, 65_501)
    )
    with ImagesSink(tmp_path) as sink:
        with pytest.raises(PictureError, match=r"frame 4 of wide\.png has 65501x1 pixels; a JPEG's sides end at 65500"):
            sink.write(longer, KEPT)
        sink.write(longest, KEPT)
    assert [path.name for path in tmp_path.iterdir()] == ["wide.jpg"]


def test_a_record_holds_its_keys_in_order_with_six_digits(tmp_path):
    frames = [
        (Frame(input="Büro/日.mp4", index=3, pts_seconds=1 / 3, array=GREY), KEPT),
        (Frame(input="a.png", index=0, array=GREY), Decision(False, Reason.LOW_UTILITY, {"detection": 0.5})),
        (Frame(input="a.mp4", index=9, pts_seconds=2.0, problem="damaged"), Decision(False, Reason.UNREADABLE)),
    ]
    with RecordsSink(tmp_path / "out.jsonl") as sink:
        for frame, decision in frames:
            sink.write(frame, decision)
    assert (tmp_path / "out.jsonl").read_text("utf-8").splitlines() == [
        '{"input": "Büro/日.mp4", "index": 3, "pts_seconds": 0.333333, "keep": true, "reason": "useful", '
        '"utility": {"classification": 0.123457, "detection": 1.0}}',
        '{"input": "a.png", "index": 0, "pts_seconds": null, "keep": false, "reason": "low_utility", '
        '"utility": {"detection": 0.5}}',
        '{"input": "a.mp4", "index": 9, "pts_seconds": 2.0, "keep": false, "reason": "unreadable", '
        '"utility": null, "problem": "damaged"}',
    ]


def test_a_file_name_that_is_not_utf8_can_be_read_back_from_a_record(tmp_path):
    name = os.fsdecode(b"caf\xe9.mp4")
    with RecordsSink(tmp_path / "out.jsonl") as sink:
        sink.write(Frame(input=name, index=0, array=GREY), KEPT)
    assert json.loads((tmp_path / "out.jsonl").read_bytes())["input"] == name


def test_numpy_scores_are_records_too(tmp_path):
    utility = {"classification": np.float32(0.1)}
    with RecordsSink(tmp_path / "out.jsonl") as sink:
        sink.write(named("a"), Decision(True, Reason.USEFUL, utility))
    assert json.loads((tmp_path / "out.jsonl").read_bytes())["utility"] == {"classification": 0.1}


def test_records_go_to_a_text_stream_that_stays_open():
    stream = io.StringIO()
    with RecordsSink(stream) as sink:
        sink.write(named("a", "a.png"), KEPT)
    assert json.loads(stream.getvalue())["input"] == "a.png"
    assert not stream.closed


def test_a_broken_text_stream_is_told():
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w")
    sink = RecordsSink(stream)
    sink.write(named("a"), KEPT)
    with pytest.raises(OutputError, match="the reader closed the pipe"):
        sink.close()
    with pytest.raises(BrokenPipeError):
        stream.close()
