"""`streamfilter report` as people call it: pages of real runs, damaged records, moved clips, hostile names."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamfilter.errors import MissingExtraError
from streamfilter.frame import Decision, Reason
from streamfilter.report import page
from streamfilter.report.clips import split
from streamfilter.report.columns import ColumnsBuilder
from streamfilter.report.pictures import FULL_PIXELS, THUMB_PIXELS, Picture, take
from streamfilter.report.scoring import ColumnsSink
from streamfilter.sources import open_source
from tests.media import jpeg_bytes, write_video
from tests.models import brightness_model
from tests.report_data import clip, record, write_lines

COMMAND = [sys.executable, "-m", "streamfilter"]


def grey(value: int, height: int = 96, width: int = 128) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A model, a clip and the records of a run: 30 bright frames, 30 dark, 30 bright."""
    folder = tmp_path_factory.mktemp("report")
    brightness_model(folder / "model.onnx")
    write_video(folder / "clip.mp4", [grey(220)] * 30 + [grey(30)] * 30 + [grey(220)] * 30)
    command("run", "clip.mp4", "--model", "model.onnx", "--records", "log.jsonl", folder=folder)
    return folder


def command(*words: object, folder: Path, status: int = 0) -> str:
    """What the command says on standard error; it says nothing on standard output."""
    done = subprocess.run(
        [*COMMAND, *map(str, words)], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    return done.stderr


def data(path: Path, number: int = 0) -> dict:
    """What the page's script is given about a clip."""
    text = path.read_text().split(f'id="data-{number}">')[1].split("</script>")[0]
    return json.loads(text)


def levels(address: str) -> float:
    """Mean grey level of a picture in a data: address."""
    import base64

    picture = cv2.imdecode(np.frombuffer(base64.b64decode(address.partition(",")[2]), np.uint8), cv2.IMREAD_COLOR)
    return float(picture.mean())


def test_records_of_a_run(folder):
    said = command("report", "log.jsonl", "--model", "model.onnx", "--out", "out/page.html", folder=folder)
    assert "out/page.html: 90 frames" in said
    found = data(folder / "out" / "page.html")
    assert (found["frames"], found["thresholds"]) == (90, {"classification": 0.5, "detection": 0.5})
    dropped = [picture for picture in found["pictures"] if not picture["keep"]]
    assert len(dropped) >= 3
    assert all(30 <= picture["index"] < 60 and levels(picture["full"]) < 60 for picture in dropped)
    assert [path.name for path in (folder / "out").iterdir()] == ["page.html"]


def test_a_clip_is_scored_first(folder):
    command("report", "clip.mp4", "--model", "model.onnx", "--threshold", "0.3", "--out", "scored.html", folder=folder)
    text = (folder / "scored.html").read_text()
    assert data(folder / "scored.html")["thresholds"] == {"classification": 0.3, "detection": 0.3}
    assert "classification 0.3, detection 0.3 (given)" in text
    assert "<dd>66.7 %</dd>" in text


def test_a_threshold_that_is_not_known_is_not_drawn(folder):
    command("report", "log.jsonl", "--out", "unknown.html", folder=folder)
    assert data(folder / "unknown.html")["thresholds"] == {}
    assert "The threshold is not in the records" in (folder / "unknown.html").read_text()


def test_a_threshold_that_does_not_fit_is_told(folder):
    command("report", "log.jsonl", "--threshold", "0.95", "--out", "odd.html", folder=folder)
    assert "60 of 90 decisions do not fit the threshold" in (folder / "odd.html").read_text()


def test_records_cut_in_mid_line_are_reported_as_far_as_they_go(folder):
    whole = (folder / "log.jsonl").read_bytes()
    (folder / "cut.jsonl").write_bytes(whole[: len(whole) // 2])
    said = command("report", "cut.jsonl", "--out", "cut.html", folder=folder)
    assert "Warning: cut.jsonl is cut short in its last line" in said
    assert "cut.jsonl is cut short in its last line" in (folder / "cut.html").read_text()


def test_lines_that_are_no_records_fail_the_command_but_not_the_page(folder):
    (folder / "bad.jsonl").write_bytes(b"garbage\n" + (folder / "log.jsonl").read_bytes())
    said = command("report", "bad.jsonl", "gone.jsonl", "--out", "bad.html", folder=folder, status=1)
    assert "Error: bad.jsonl: 1 lines are no records" in said
    assert "no such file: gone.jsonl" in said
    text = (folder / "bad.html").read_text()
    assert "bad.jsonl: 1 lines are no records" in text
    assert "no such file: gone.jsonl" in text


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["empty.jsonl", "--out", "x.html"], 1, "empty.jsonl holds no records: it is empty"),
        (["other.json", "--out", "x.html"], 1, "other.json holds no records: no line of it is a record"),
        (["gone.mp4", "--out", "x.html"], 1, "no such file: gone.mp4"),
        (["log.jsonl", "--out", "x.txt"], 2, "a report ends in .html"),
        (["log.jsonl", "--out", "x.html", "--inputs", "nowhere"], 2, "there is no such folder"),
        (["log.jsonl", "--out", "x.html", "--threshold", "2"], 2, "threshold is 2.0"),
        (["rtsp://u:geheim@cam/a", "--out", "x.html"], 2, "rtsp://***@cam/a is a live stream"),
        (["log.jsonl", "--out", "x.html", "--consumer-outputs", "empty.jsonl"], 1, "holds no consumer outputs"),
        (["log.jsonl", "--out", "log.jsonl/x.html"], 1, "no folder can be made there"),
    ],
)
def test_what_cannot_be_reported_leaves_nothing_behind(folder, words, status, said):
    (folder / "empty.jsonl").touch()
    (folder / "other.json").write_text('[\n  {"a": 1}\n]\n')
    heard = command("report", *words, folder=folder, status=status)
    assert said in heard
    assert "geheim" not in heard
    assert not (folder / "x.html").exists()
    assert not list(folder.glob(".streamfilter*"))


def test_names_are_escaped_and_passwords_hidden(tmp_path):
    hostile = "</script><script>alert(1)</script>.mp4"
    lines = [record(i, 0.9, input=name, cause="<i>x", reason="&<u>") for name in (hostile, "\udcff") for i in range(3)]
    lines += [record(i, 0.9, input="rtsp://user:geheim@cam/<u>", time=1e9 + i) for i in range(3)]
    write_lines(tmp_path / "log.jsonl", lines)
    command("report", "log.jsonl", "--out", "page.html", folder=tmp_path)
    text = (tmp_path / "page.html").read_text()
    assert not any(words in text for words in ("<script>alert", "geheim", "<u>", "<i>", "&<"))
    assert "&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;.mp4" in text


def test_a_clip_that_moved_is_found(folder, tmp_path):
    (tmp_path / "sub").mkdir()
    write_lines(tmp_path / "log.jsonl", [record(i, 0.1, input="/old/sub/clip.mp4") for i in range(90)])
    command("report", "log.jsonl", "--out", "gone.html", folder=tmp_path)
    assert "/old/sub/clip.mp4 is not there any more; say where it lies with --inputs" in (
        (tmp_path / "gone.html").read_text()
    )
    (tmp_path / "sub" / "clip.mp4").write_bytes((folder / "clip.mp4").read_bytes())
    command("report", "log.jsonl", "--inputs", ".", "--out", "found.html", "--pictures", "5", folder=tmp_path)
    pictures = data(tmp_path / "found.html")["pictures"]
    assert len(pictures) == 5
    assert all(picture["full"] for picture in pictures)


def test_a_folder_of_pictures(folder):
    (folder / "pictures").mkdir()
    for number, value in enumerate((220, 30, 220, 31)):
        (folder / "pictures" / f"{number}.jpg").write_bytes(jpeg_bytes(grey(value, 1500, 2000)))
    command("report", "pictures", "--model", "model.onnx", "--out", "pictures.html", folder=folder)
    found = data(folder / "pictures.html")
    assert (found["clock"], found["name"]) == ("order", "pictures")
    assert [round(levels(picture["full"]), -1) for picture in found["pictures"]] == [30, 30]


def test_the_consumers_errors_and_boxes(folder):
    boxes = [{"label": "<b>cat", "score": 0.5, "box": [1, 2, 50, 60]}]
    outputs = [
        {"input": "clip.mp4", "index": i, "error": 30 <= i < 60, "detections": boxes, "reference": []}
        for i in range(90)
    ]
    write_lines(folder / "consumer.jsonl", outputs)
    words = ["log.jsonl", "--model", "model.onnx", "--consumer-outputs", "consumer.jsonl", "--out", "consumer.html"]
    command("report", *words, folder=folder)
    text = (folder / "consumer.html").read_text()
    assert "On 90 frames it was wrong 33.3 % of the time" in text
    assert "on those it kept the consumer is wrong <strong>0.0 %</strong>" in text
    assert "<b>cat" not in text
    assert {picture["wrong"] for picture in data(folder / "consumer.html")["pictures"]} == {1}
    assert data(folder / "consumer.html")["pictures"][0]["boxes"] == {"detections": boxes, "reference": []}


@pytest.mark.parametrize("name", ["b-frames.mp4", "late.ts", "plain.mkv"])
def test_pictures_are_the_very_frames(tmp_path, name):
    values = [(37 * index) % 200 + 20 for index in range(120)]
    path = write_video(tmp_path / name, [grey(value) for value in values], options={"g": "50", "bf": "3"})
    builder = ColumnsBuilder()
    sink = ColumnsSink(builder)
    for frame in open_source(str(path)):
        sink.write(frame, Decision(False, Reason.LOW_UTILITY))
    (found,) = split(builder.build())
    rows = [0, 1, 49, 50, 51, 77, 118, 119]
    pictures = take(found, rows, None)
    assert all(isinstance(picture, Picture) for picture in pictures), pictures
    shown = [levels(picture.full) for picture in pictures]
    np.testing.assert_allclose(shown, [values[row] for row in rows], atol=4)


@pytest.mark.parametrize("lengths", [(60, 60), (30, 90), (90, 30)])
def test_pictures_are_the_very_frames_where_the_clock_starts_anew(tmp_path, lengths):
    values = [(37 * index) % 200 + 20 for index in range(120)]
    parts = [values[: lengths[0]], values[lengths[0] :]]
    for number, part in enumerate(parts):
        write_video(tmp_path / f"{number}.ts", [grey(value) for value in part], options={"g": "25", "bf": "0"})
    path = tmp_path / "both.ts"
    path.write_bytes((tmp_path / "0.ts").read_bytes() + (tmp_path / "1.ts").read_bytes())
    builder = ColumnsBuilder()
    sink = ColumnsSink(builder)
    for frame in open_source(str(path)):
        sink.write(frame, Decision(False, Reason.LOW_UTILITY))
    (found,) = split(builder.build())
    assert len(found) == 120
    rows = [0, 10, 29, 31, 59, 60, 61, 89, 95, 119]
    shown = [levels(picture.full) for picture in take(found, rows, None)]
    np.testing.assert_allclose(shown, [values[row] for row in rows], atol=4)
    assert found.seconds[-1] - found.seconds[0] == pytest.approx(119 / 25, abs=0.01)


def test_pictures_are_bounded(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (1080, 1920, 3), np.uint8)
    write_video(tmp_path / "noise.mp4", [noise] * 2)
    (picture,) = take(clip([record(0, 0.1, input=str(tmp_path / "noise.mp4"))]), [0], None)
    import base64

    sizes = []
    for address in (picture.thumb, picture.full):
        packed = np.frombuffer(base64.b64decode(address.partition(",")[2]), np.uint8)
        sizes.append(max(cv2.imdecode(packed, cv2.IMREAD_COLOR).shape))
    assert sizes == [THUMB_PIXELS, FULL_PIXELS]
    assert (picture.width, picture.height) == (1920, 1080)


def test_what_the_page_is_made_with_is_named_when_missing(monkeypatch):
    def gone(name: str) -> None:
        raise page.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(page.metadata, "distribution", gone)
    with pytest.raises(MissingExtraError, match=r"streamfilter\[report\]"):
        page.check_extra()
