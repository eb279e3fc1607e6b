"""The contract of every source, and how inputs become sources."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from streamfilter.errors import ConfigError, InputError, InputNotFoundError
from streamfilter.sources import (
    ImagesSource,
    MjpegSource,
    Source,
    VideoSource,
    open_source,
    open_sources,
    overwriting,
    plan_inputs,
)
from tests.media import bomb_png, jpeg_bytes, moving_pictures, write_video

COUNT = 6


def _video(folder: Path) -> Source:
    return VideoSource(write_video(folder / "clip.mp4", moving_pictures(COUNT)))


def _folder(folder: Path) -> Source:
    return open_source(str(_write_pictures(folder / "pictures")))


def _list(folder: Path) -> Source:
    return ImagesSource(sorted(_write_pictures(folder / "pictures").iterdir()))


def _mjpeg(folder: Path) -> Source:
    pieces = [jpeg_bytes(picture) for picture in moving_pictures(COUNT)]
    pieces[2] = pieces[2][: len(pieces[2]) // 2]
    return MjpegSource.from_stream(io.BytesIO(b"".join(pieces)), "pipe")


def _mjpeg_file(folder: Path) -> Source:
    path = folder / "clip.mjpeg"
    path.write_bytes(b"".join(jpeg_bytes(picture) for picture in moving_pictures(COUNT)))
    return open_source(str(path))


def _write_pictures(folder: Path) -> Path:
    folder.mkdir()
    for index, picture in enumerate(moving_pictures(COUNT)):
        Image.fromarray(picture).save(folder / f"img{index}.{('jpg', 'png', 'webp')[index % 3]}")
    (folder / "img2.webp").write_bytes(bomb_png())
    return folder


MAKERS = [_video, _folder, _list, _mjpeg, _mjpeg_file]


@pytest.fixture(params=MAKERS, ids=lambda maker: maker.__name__.strip("_"))
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Source:
    return request.param(tmp_path)


def test_indices_run_from_zero_and_every_frame_is_readable_or_says_why(source: Source) -> None:
    frames = list(source)
    assert [frame.index for frame in frames] == list(range(COUNT))
    assert all(frame.is_readable or "\n" not in frame.problem for frame in frames)
    assert sum(frame.is_readable for frame in frames) >= COUNT - 1
    assert source.failure is None


def test_pixels_are_upright_rgb_of_the_stated_size(source: Source) -> None:
    expected = moving_pictures(COUNT)
    for frame in source:
        if frame.is_readable:
            assert frame.rgb.shape == (*frame.size_hw, 3)
            assert frame.rgb.dtype == np.uint8
            assert np.abs(frame.rgb.astype(int) - expected[frame.index]).mean() < 10


def test_second_close_and_second_iteration_are_harmless(source: Source) -> None:
    assert len(list(source)) == COUNT
    assert list(source) == []
    source.close()
    source.close()
    assert list(source) == []


def test_close_from_another_thread_ends_the_iteration(source: Source) -> None:
    iterator = iter(source)
    first = next(iterator)
    thread = threading.Thread(target=source.close)
    thread.start()
    thread.join(timeout=10)
    assert not thread.is_alive()
    assert first.index == 0
    assert len(list(iterator)) < COUNT
    assert source.failure is None


def test_clock(source: Source) -> None:
    times = [frame.pts_seconds for frame in source]
    if isinstance(source, VideoSource):
        assert times == sorted(times)
        assert len(set(times)) == COUNT
    else:
        assert times == [None] * COUNT


def test_frames_outlive_their_source(source: Source) -> None:
    frame = next(iter(source))
    source.close()
    assert frame.rgb.shape == (96, 128, 3)


def test_consecutive_pictures_become_one_source(tmp_path: Path) -> None:
    folder = _write_pictures(tmp_path / "pictures")
    first, second, third = (str(folder / name) for name in ("img0.jpg", "img1.png", "img3.jpg"))
    clip = str(write_video(tmp_path / "clip.mp4", moving_pictures(2)))
    plans = plan_inputs([first, second, clip, third, str(folder), "-"])
    assert [plan.name for plan in plans] == [f"{first} and 1 more", clip, third, str(folder), "-"]
    assert [frame.input for frame in plans[0].open()] == [first, second]


def test_video_renamed_as_text_is_still_a_video_and_picture_a_picture(tmp_path: Path) -> None:
    clip = shutil.copy(write_video(tmp_path / "clip.mp4", moving_pictures(2)), tmp_path / "clip.txt")
    picture = tmp_path / "picture.bin"
    picture.write_bytes(jpeg_bytes(moving_pictures(1)[0]))
    assert isinstance(open_source(str(clip)), VideoSource)
    assert isinstance(open_source(str(picture)), ImagesSource)


def test_glob_takes_pictures_in_natural_order(tmp_path: Path) -> None:
    data = jpeg_bytes(moving_pictures(1)[0])
    for name in ("img10.jpg", "img2.jpg", "img1.jpg"):
        (tmp_path / name).write_bytes(data)
    source = open_source(str(tmp_path / "*"))
    assert [frame.name for frame in source] == ["img1.jpg", "img2.jpg", "img10.jpg"]


def test_glob_leaves_nothing_out(tmp_path: Path) -> None:
    data = jpeg_bytes(moving_pictures(1)[0])
    (tmp_path / "1.jpg").write_bytes(data)
    (tmp_path / "1b.jpg").touch()
    write_video(tmp_path / "2.mp4", moving_pictures(2))
    (tmp_path / "3.mp4").write_bytes(data)
    (tmp_path / "labels.csv").write_text("1.jpg,0\n")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "4.jpg").write_bytes(data)
    (tmp_path / ".hidden.jpg").write_bytes(data)
    by_shell = sorted(str(path) for path in tmp_path.iterdir() if not path.name.startswith("."))
    assert [plan.name for plan in plan_inputs([str(tmp_path / "*")])] == [plan.name for plan in plan_inputs(by_shell)]
    every = plan_inputs([str(tmp_path / "**")])
    assert [Path(plan.name).name for plan in every][-3:] == ["3.mp4", "labels.csv", "4.jpg"]


def test_an_empty_picture_in_a_glob_or_a_list_is_one_of_the_pictures(tmp_path: Path) -> None:
    folder = _write_pictures(tmp_path / "pictures")
    (folder / "img1.png").write_bytes(b"")
    paths = [str(folder / f"img{index}.{('jpg', 'png', 'webp')[index % 3]}") for index in range(COUNT)]
    for inputs in (paths, [str(folder / "*")], [str(folder)]):
        (plan,) = plan_inputs(inputs)
        source = plan.open()
        assert [frame.problem for frame in source][1] == "is empty (0 bytes)"
        assert source.failure is None


@pytest.mark.parametrize("is_link", [False, True])
def test_a_missing_picture_in_a_list_is_told_and_parts_nothing(tmp_path: Path, is_link: bool) -> None:
    folder = _write_pictures(tmp_path / "pictures")
    missing = folder / "nowhere.jpg"
    if is_link:
        missing.symlink_to("gone.jpg")
    (plan,) = plan_inputs([str(folder / "img0.jpg"), str(missing), str(folder / "img1.png")])
    source = plan.open()
    assert [frame.is_readable for frame in source] == [True, False, True]
    assert source.failure == f"{missing} cannot be read: No such file or directory; check its path and permissions"


def test_glob_of_videos_gives_one_source_each(tmp_path: Path) -> None:
    for name in ("clip2.mp4", "clip10.mp4"):
        write_video(tmp_path / name, moving_pictures(2))
    sources = open_sources([str(tmp_path / "clip*.mp4")])
    assert [Path(source.name).name for source in sources] == ["clip2.mp4", "clip10.mp4"]
    with pytest.raises(InputError, match="matches 2 inputs; open them one by one"):
        open_source(str(tmp_path / "clip*.mp4"))


def test_a_file_whose_name_is_a_pattern_is_that_file(tmp_path: Path) -> None:
    path = tmp_path / "odd[1].jpg"
    path.write_bytes(jpeg_bytes(moving_pictures(1)[0]))
    assert [frame.input for frame in open_source(str(path))] == [str(path)]


def test_one_bad_input_does_not_stop_the_others(tmp_path: Path) -> None:
    clip = str(write_video(tmp_path / "clip.mp4", moving_pictures(2)))
    bad, good = plan_inputs([str(tmp_path / "missing.mp4"), clip])
    with pytest.raises(InputNotFoundError):
        bad.open()
    assert len(list(good.open())) == 2


def test_open_sources_closes_what_it_opened_when_one_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = str(write_video(tmp_path / "clip.mp4", moving_pictures(2)))
    closed: list[str] = []
    close: Callable[[VideoSource], None] = VideoSource.close
    monkeypatch.setattr(VideoSource, "close", lambda self: (closed.append(self.name), close(self)))
    with pytest.raises(InputNotFoundError):
        open_sources([clip, str(tmp_path / "missing.mp4")])
    assert closed == [clip]


def test_live_addresses_never_tell_the_password() -> None:
    (plan,) = plan_inputs(["rtsp://user:s3cr@t@camera.example/stream?token=abc&x=1"])
    assert plan.name == "rtsp://***@camera.example/stream?token=***&x=1"
    source = plan.open()
    assert source.is_live
    assert source.name == plan.name


def test_unknown_schemes_are_refused() -> None:
    with pytest.raises(InputError, match=r"ftp://\*\*\*@host/clip: addresses start with rtsp://"):
        open_source("ftp://me:s3cret@host/clip")


@pytest.mark.parametrize("name", ["missing.mp4", "missing.jpg", "missing/", "missing*.jpg", "missing.mjpeg"])
def test_missing_inputs_are_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileNotFoundError, match=r"missing.*; check the"):
        open_source(os.path.join(tmp_path, name))


@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_input_is_not_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty: str
) -> None:
    monkeypatch.chdir(_write_pictures(tmp_path / "pictures"))
    with pytest.raises(InputError, match="an input is empty; name a file"):
        open_source(empty)


def test_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(InputError, match=r"no pictures in .*; give JPEG, PNG, WebP, BMP or TIFF files"):
        open_source(str(tmp_path))


@pytest.mark.parametrize("name", ["empty.mp4", "empty.jpg"])
def test_empty_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(InputError, match="is empty"):
        open_source(str(tmp_path / name))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="permissions do not bind this user")
@pytest.mark.parametrize("name", ["clip.mp4", "clip.mjpeg"])
def test_unreadable_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"data")
    (tmp_path / name).chmod(0)
    with pytest.raises(InputError, match="permission"):
        open_source(str(tmp_path / name))


@pytest.mark.parametrize("suffix", ["mp4", "jpg", "mjpeg", "*"])
def test_a_name_too_long_for_any_file_is_refused(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(InputError, match=r"(no file matches|File name too long)"):
        open_source(str(tmp_path / f"{'x' * 300}.{suffix}"))


AS_ANOTHER_USER = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")


@pytest.fixture
def bound_by_permissions() -> list[str]:
    """What stands before a command so that permissions bind it, for the superuser too."""
    if os.name != "posix":
        pytest.skip("permissions are another matter here")
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("permissions do not bind this user")
    return [*AS_ANOTHER_USER]


def read_by(command: list[str], *inputs: Path | str) -> list[str]:
    """How each input ends when another process plans and reads them: a refusal, or its frames and its failure."""
    lines = (
        "import sys",
        "from streamfilter.errors import InputError",
        "from streamfilter.sources import plan_inputs",
        "for plan in plan_inputs(sys.argv[1:]):",
        "    try: source = plan.open(); print(*(frame.problem for frame in source), source.failure, sep='; ')",
        "    except InputError as error: print(error)",
    )
    words = [*command, sys.executable, "-c", "\n".join(lines), *map(str, inputs)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_what_lies_in_a_locked_folder_is_refused_in_one_line(tmp_path: Path, bound_by_permissions: list[str]) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0)
    names = ("clip.mp4", "a.mjpeg", "folder", "odd[1].mp4")
    told = read_by(bound_by_permissions, *(locked / name for name in names))
    assert len(told) == len(names)
    for name, line in zip(names, told, strict=True):
        assert name in line
        assert "permission" in line.lower() or "no file matches" in line


def test_a_locked_folder_in_a_folder_stops_no_other(tmp_path: Path, bound_by_permissions: list[str]) -> None:
    folder = _write_pictures(tmp_path / "pictures")
    (folder / "locked").mkdir()
    (folder / "locked" / "x.jpg").write_bytes(b"x")
    (folder / "link.jpg").symlink_to("locked/x.jpg")
    (folder / "locked").chmod(0)
    (told,) = read_by(bound_by_permissions, folder)
    *problems, failure = told.split("; ")
    assert problems.count("None") == COUNT - 1
    assert "cannot be read: Permission denied" in problems
    assert failure == f"cannot list {folder / 'locked'} (Permission denied), check its permissions"


def test_an_output_that_is_an_input_is_told_however_it_is_written() -> None:
    address = "rtsp://joe:hush@h/a"
    told = list(overwriting(["-", "x.mp4", address], ["-", "./x.mp4", address, "y.mp4"]))
    assert told == [
        "rtsp://***@h/a is an input and an output; write somewhere else",
        "./x.mp4 is an input and an output; write somewhere else",
    ]


def test_one_input_is_no_list_of_inputs():
    with pytest.raises(ConfigError, match=r"inputs is 'clip\.mp4', expected a list of inputs"):
        plan_inputs("clip.mp4")
