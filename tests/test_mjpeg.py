"""JPEG pictures cut out of a byte stream."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from streamfilter.errors import InputError
from streamfilter.frame import Frame
from streamfilter.sources import MjpegSource
from streamfilter.sources import mjpeg as mjpeg_module
from streamfilter.sources.mjpeg import JpegCutter
from tests.media import exif_bytes, jpeg_bytes, moving_pictures

PICTURES = [jpeg_bytes(picture) for picture in moving_pictures(4)]
PROGRESSIVE = jpeg_bytes(moving_pictures(1)[0], progressive=True, comment=b"\xff\xd8\xff in a comment \xff\xd9")
WITH_THUMBNAIL = jpeg_bytes(moving_pictures(1)[0], exif=exif_bytes(thumbnail=jpeg_bytes(moving_pictures(1)[0][:48])))


def read(data: bytes) -> list[Frame]:
    return list(MjpegSource.from_stream(io.BytesIO(data), "pipe"))


def cut(data: bytes, chunk: int) -> list[bytes]:
    cutter = JpegCutter()
    cuts = [piece for i in range(0, len(data), chunk) for piece in cutter.feed(data[i : i + chunk])]
    return [piece.data for piece in [*cuts, *cutter.finish()]]


@pytest.mark.parametrize("chunk", [1, 7, 1000, 10**6])
def test_bytes_come_out_as_they_went_in(chunk: int) -> None:
    pictures = [PICTURES[0], PROGRESSIVE, WITH_THUMBNAIL, jpeg_bytes(moving_pictures(1)[0], restart_marker_blocks=2)]
    assert WITH_THUMBNAIL.count(b"\xff\xd8\xff") == 2
    assert cut(b"".join(pictures), chunk) == pictures


@pytest.mark.parametrize("chunk", [1, 10**6])
def test_boundaries_and_garbage_between_pictures_are_skipped(chunk: int) -> None:
    boundary = b"\r\n--frame\r\nContent-Type: image/jpeg\r\nContent-Length: 4711\r\n\r\n"
    garbage = b"\xff\xff\xd9\x00\xff\xd8\x00\xff\xd9"
    data = boundary + PICTURES[0] + boundary + garbage + PICTURES[1] + boundary + b"\xff\xd8"
    assert cut(data, chunk) == PICTURES[:2]


def test_fill_bytes_before_a_marker_belong_to_the_picture() -> None:
    filled = PICTURES[0][:-2] + b"\xff\xff" + PICTURES[0][-2:]
    assert cut(filled + PICTURES[1], 5) == [filled, PICTURES[1]]


def test_frames_carry_the_jpeg_untouched_and_no_clock() -> None:
    frames = read(b"".join(PICTURES))
    assert [frame.jpeg for frame in frames] == PICTURES
    assert {(frame.input, frame.pts_seconds, frame.name) for frame in frames} == {("pipe", None, None)}


def test_picture_cut_short_by_the_next_is_reported_and_the_next_is_whole() -> None:
    half = PICTURES[1][: len(PICTURES[1]) // 2]
    frames = read(PICTURES[0] + half + PICTURES[2] + half)
    assert [frame.jpeg for frame in frames] == [PICTURES[0], None, PICTURES[2], None]
    assert "cut short by the next picture" in frames[1].problem
    assert "cut short by the end of the stream" in frames[3].problem


def test_picture_with_ruined_segments_is_reported_and_the_rest_goes_on() -> None:
    ruined = PICTURES[0][:2] + b"\xff\xe0\x00\x00" + PICTURES[0][6:]
    frames = read(ruined + PICTURES[1])
    assert "damaged" in frames[0].problem
    assert [frame.jpeg for frame in frames][-1] == PICTURES[1]


def test_whole_markers_around_nonsense_do_not_decode() -> None:
    nonsense = b"\xff\xd8\xff\xda\x00\x04ab" + b"nonsense" * 9 + b"\xff\xd9"
    frames = read(nonsense + PICTURES[0])
    assert [frame.is_readable for frame in frames] == [False, True]


def test_endless_picture_is_given_up_and_the_next_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mjpeg_module, "MAX_JPEG_BYTES", 2**16)
    endless = PICTURES[0][:-2] + b"\x00" * (3 * 2**16)
    frames = read(endless + PICTURES[1])
    assert "longer than 65536 bytes" in frames[0].problem
    assert [frame.jpeg for frame in frames[1:]] == [PICTURES[1]]


def test_endless_garbage_is_not_kept() -> None:
    cutter = JpegCutter()
    for _ in range(10):
        assert list(cutter.feed(b"\xff\xd8garbage" * 1000)) == []
    assert len(cutter._buffer) < 10


@pytest.mark.parametrize("data", [b"", b"no picture at all"])
def test_stream_without_pictures_is_refused(data: bytes) -> None:
    with pytest.raises(InputError, match="no JPEG picture came on pipe"):
        read(data)


PROGRAM = """
from streamfilter.sources import open_source
from streamfilter.errors import InputError
try:
    print([frame.index for frame in open_source("-")])
except InputError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("data", "answer"),
    [(b"".join(PICTURES), "[0, 1, 2, 3]"), (b"", "no JPEG picture came on standard input")],
    ids=["pictures", "empty"],
)
def test_standard_input(data: bytes, answer: str) -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM], input=data, capture_output=True, timeout=60, check=True)
    assert run.stdout.decode().startswith(answer)
    assert run.stderr == b""


@pytest.mark.skipif(os.name == "nt", reason="pipes cannot be polled there")
def test_close_frees_a_reader_waiting_on_a_silent_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as pipe, os.fdopen(writing, "wb"), io.TextIOWrapper(pipe) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        source = mjpeg_module.open_stdin()
        reader = threading.Thread(target=list, args=(source,))
        reader.start()
        time.sleep(0.05)
        source.close()
        reader.join(timeout=5)
        assert not reader.is_alive()


def test_file_closed_under_the_iteration_ends_it(tmp_path: Path) -> None:
    path = tmp_path / "clip.mjpeg"
    path.write_bytes(b"".join(PICTURES) * 50)
    source = MjpegSource.from_file(path)
    iterator = iter(source)
    next(iterator)
    source.close()
    assert list(iterator) == []
