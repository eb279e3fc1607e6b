"""Video files: time stamps, rotation, damage, and what cannot be opened."""

from __future__ import annotations

import gc
import os
import struct
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from streamfilter.errors import InputError, InputNotFoundError
from streamfilter.frame import Frame
from streamfilter.sources import VideoSource
from streamfilter.sources import container as container_module
from streamfilter.sources import video as video_module
from tests.media import (
    CORNERS,
    corner_colours,
    corners,
    cut,
    jpeg_bytes,
    moving_pictures,
    photograph,
    write_audio,
    write_video,
)

PLAIN = [("clip.mp4", "libx264"), ("clip.mkv", "libx264"), ("clip.ts", "libx264"), ("clip.avi", "mpeg4")]


def read(path: Path) -> tuple[list[Frame], str | None]:
    source = VideoSource(path)
    return list(source), source.failure


def noise(count: int) -> list[np.ndarray]:
    """Pictures that compress badly, so that half the bytes are half the frames."""
    return list(np.random.default_rng(0).integers(0, 256, (count, 96, 128, 3), dtype=np.uint8))


@pytest.mark.parametrize(("name", "codec"), [*PLAIN, ("clip.webm", "libvpx"), ("clip.mov", "mjpeg")])
def test_whole_file_gives_all_its_frames(tmp_path: Path, name: str, codec: str) -> None:
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    frames, failure = read(write_video(tmp_path / name, moving_pictures(12), codec=codec, pix_fmt=pix_fmt))
    assert failure is None
    assert [frame.index for frame in frames] == list(range(12))
    assert np.allclose(np.diff([frame.pts_seconds for frame in frames]), 1 / 25, atol=1e-3)
    assert all(frame.native.format.name == pix_fmt for frame in frames)
    assert np.abs(frames[7].rgb.astype(int) - moving_pictures(12)[7]).mean() < 12


@pytest.mark.parametrize(("bound", "busy"), [(128 * 96, True), (128 * 96 - 1, False)])
def test_no_core_waits_for_the_decoder_but_large_frames_are_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: int, busy: bool
) -> None:
    monkeypatch.setattr(container_module, "LARGE_PIXELS", bound)
    path = str(write_video(tmp_path / "clip.mp4", noise(3)))
    with av.open(path) as container:
        threads = container_module.video_stream(container, path).codec_context.thread_count
    assert threads == (min(16, 4 * (os.cpu_count() or 1)) if busy else 0)


def test_header_is_told_before_the_first_frame(tmp_path: Path) -> None:
    source = VideoSource(write_video(tmp_path / "clip.mp4", moving_pictures(10), fps=20))
    source.close()
    assert source.info.frames_from_header == 10
    assert source.info.fps_from_header == 20
    assert source.info.duration_seconds == pytest.approx(0.5)
    assert source.info.size_hw == (96, 128)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_variable_frame_rate_keeps_its_own_time_stamps(tmp_path: Path, suffix: str) -> None:
    pts = [0, 40, 41, 500, 1333, 9000]
    path = write_video(tmp_path / f"clip.{suffix}", moving_pictures(6), pts=pts, time_base=Fraction(1, 1000))
    frames, failure = read(path)
    assert failure is None
    assert [frame.pts_seconds for frame in frames] == [value / 1000 for value in pts]


def test_time_starts_where_the_container_starts(tmp_path: Path) -> None:
    pts = [5000, 5040, 5080]
    path = write_video(tmp_path / "clip.mkv", moving_pictures(3), pts=pts, time_base=Fraction(1, 1000))
    assert [frame.pts_seconds for frame in read(path)[0]] == [5.0, 5.04, 5.08]


def test_the_shape_of_pixels_is_told(tmp_path: Path) -> None:
    square = write_video(tmp_path / "square.mp4", moving_pictures(1))
    assert read(square)[0][0].pixel_aspect in (None, 1)
    wide = write_video(tmp_path / "wide.mp4", moving_pictures(1), pixel_aspect=Fraction(16, 11))
    assert read(wide)[0][0].pixel_aspect == Fraction(16, 11)


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize(("suffix", "mirrored"), [("mp4", False), ("mp4", True), ("mkv", False)])
def test_display_matrix_makes_the_frame_upright(tmp_path: Path, suffix: str, mirrored: bool, degrees: int) -> None:
    shown = corners(96, 128)
    stored = np.rot90(shown[:, ::-1] if mirrored else shown, -degrees // 90)
    path = write_video(tmp_path / f"clip.{suffix}", [stored], rotation_degrees=degrees, is_mirrored=mirrored)
    frame = read(path)[0][0]
    assert (frame.rotation_degrees, frame.is_mirrored) == (degrees, mirrored)
    assert frame.size_hw == (96, 128)
    assert frame.rgb.shape == (96, 128, 3)
    assert np.array_equal(corner_colours(frame.rgb), CORNERS)


def test_quicktime_matrix_of_a_portrait_phone_turns_clockwise(tmp_path: Path) -> None:
    """x' = a x + c y, y' = b x + d y with a, b, c, d = 0, 1, -1, 0. Source: QuickTime File Format, matrices."""
    path = write_video(tmp_path / "clip.mp4", [np.rot90(corners(96, 128), 1)])
    identity = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    turned = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    data = path.read_bytes()
    at = data.index(identity, data.index(b"tkhd"))
    path.write_bytes(data[:at] + turned + data[at + 36 :])
    frame = read(path)[0][0]
    assert frame.rotation_degrees == 270
    assert np.array_equal(corner_colours(frame.rgb), CORNERS)


def test_nothing_but_the_frame_holds_pixels_that_have_a_display_matrix(tmp_path: Path) -> None:
    frames, _ = read(write_video(tmp_path / "clip.mp4", moving_pictures(2), rotation_degrees=90))
    assert not [one for one in gc.get_referrers(frames[0].native) if type(one).__module__.startswith("av.")]


def test_odd_sizes(tmp_path: Path) -> None:
    pictures = moving_pictures(2, 97, 131)
    frame = read(write_video(tmp_path / "clip.mkv", pictures, codec="ffv1", pix_fmt="yuv420p"))[0][1]
    assert frame.size_hw == (97, 131)
    assert np.abs(frame.rgb.astype(int) - pictures[1]).mean() < 8


@pytest.mark.parametrize("movflags", ["faststart", "frag_keyframe+empty_moov"])
@pytest.mark.parametrize("keep", [0.5, 0.7])
def test_cut_mp4_with_its_index_first_gives_what_it_holds(tmp_path: Path, movflags: str, keep: float) -> None:
    options = {"g": "5"}
    whole = write_video(tmp_path / "whole.mp4", noise(30), movflags=movflags, options=options)
    frames, failure = read(cut(whole, keep, tmp_path / "cut.mp4"))
    assert abs(len(frames) - 30 * keep) < 4
    assert sum(frame.is_readable for frame in frames) >= len(frames) - 1
    assert f"cut.mp4 ends early after {len(frames)} frames" in failure


@pytest.mark.parametrize("name", ["whole.mkv", "whole.ts", "whole.avi"])
def test_other_cut_files_end_early_too(tmp_path: Path, name: str) -> None:
    codec = "mpeg4" if name.endswith("avi") else "libx264"
    whole = write_video(tmp_path / name, noise(40), codec=codec)
    frames, failure = read(cut(whole, 0.5, tmp_path / f"cut{whole.suffix}"))
    assert 10 < len(frames) < 30
    assert "ends early after" in failure


FRAMED = [
    ("whole.mpg", "mpeg1video", "yuv420p"),
    ("whole.vob", "mpeg2video", "yuv420p"),
    ("whole.mxf", "mpeg2video", "yuv420p"),
    ("whole.wmv", "wmv2", "yuv420p"),
    ("whole.ogv", "libvpx", "yuv420p"),
    ("whole.gif", "gif", "rgb8"),
    ("whole.y4m", "rawvideo", "yuv420p"),
]


@pytest.mark.parametrize(("name", "codec", "pix_fmt"), FRAMED)
def test_framing_tells_a_cut_file_from_a_whole_one(tmp_path: Path, name: str, codec: str, pix_fmt: str) -> None:
    whole = write_video(tmp_path / name, noise(60), codec=codec, pix_fmt=pix_fmt)
    frames, failure = read(whole)
    assert (len(frames), failure) == (60, None)
    for keep in (0.31, 0.53, 0.77):
        frames, failure = read(cut(whole, keep, tmp_path / f"cut{whole.suffix}"))
        assert 0 < len(frames) < 60
        assert "ends early after" in failure, keep


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_is_read_to_its_end_once(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.ts", moving_pictures(3))
    os.mkfifo(tmp_path / "pipe.ts")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe.ts").write_bytes(clip.read_bytes()), daemon=True)
    writer.start()
    frames, failure = read(tmp_path / "pipe.ts")
    assert (len(frames), failure) == (3, None)


def test_avi_that_repeats_frames_in_no_bytes_is_whole(tmp_path: Path) -> None:
    times = [0, 1, 2, 5, 6, 9, 14, 15, 16, 19]
    whole = write_video(tmp_path / "whole.avi", noise(len(times)), codec="mpeg4", pts=times)
    frames, failure = read(whole)
    assert [round(frame.pts_seconds * 25) for frame in frames] == times
    assert failure is None
    frames, failure = read(cut(whole, 0.6, tmp_path / "cut.avi"))
    assert 3 < len(frames) < 9
    assert "ends early after" in failure


def test_mp4_cut_between_two_frames_falls_short_of_its_header(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mp4", noise(20), codec="mjpeg", pix_fmt="yuvj420p", movflags="faststart")
    with av.open(str(whole)) as container:
        at = next(packet.pos for index, packet in enumerate(container.demux(video=0)) if index == 12)
    (tmp_path / "cut.mp4").write_bytes(whole.read_bytes()[:at])
    frames, failure = read(tmp_path / "cut.mp4")
    assert sum(frame.is_readable for frame in frames) == 12
    assert "ends early" in failure


def test_cut_mp4_with_its_index_last_is_refused(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mp4", noise(10))
    with pytest.raises(InputError, match=r"index \(moov\) is missing"):
        VideoSource(cut(whole, 0.5, tmp_path / "cut.mp4"))


def _damage(path: Path, packets: range) -> None:
    """Overwrite the payload of some packets with zeros."""
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    for position, size in [places[index] for index in packets]:
        data[position : position + size] = bytes(size)
    path.write_bytes(data)


def test_undecodable_packets_become_unreadable_frames_and_the_rest_goes_on(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", noise(12), codec="mjpeg", pix_fmt="yuvj420p")
    _damage(path, range(4, 7))
    frames, failure = read(path)
    assert failure is None
    assert [frame.index for frame in frames] == list(range(12))
    assert sum(not frame.is_readable for frame in frames) == 3
    assert all("cannot be decoded" in frame.problem for frame in frames if not frame.is_readable)


def test_packets_that_the_decoders_threads_still_hold_are_counted(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", noise(30))
    _damage(path, range(30))
    frames, _ = read(path)
    assert len(frames) == 30
    assert not any(frame.is_readable for frame in frames)


def test_decoder_that_only_errs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_module, "MAX_ERRORS_IN_A_ROW", 5)
    path = write_video(tmp_path / "clip.mp4", noise(12), codec="mjpeg", pix_fmt="yuvj420p")
    _damage(path, range(12))
    frames, failure = read(path)
    assert len(frames) < 12
    assert "5 packets in a row could not be decoded" in failure


def test_packets_may_be_hidden_by_an_edit_list(tmp_path: Path) -> None:
    """A trimmed MP4 starts after its first key frame; the frames before the cut are not shown, and nothing is amiss."""
    source = write_video(tmp_path / "whole.mkv", moving_pictures(20), options={"bf": "0", "g": "20"})
    with av.open(str(source)) as whole, av.open(str(tmp_path / "cut.mp4"), "w") as trimmed:
        stream = trimmed.add_stream_from_template(whole.streams.video[0])
        for packet in whole.demux(video=0):
            if packet.size:
                packet.pts, packet.dts = packet.pts - 400, packet.dts - 400
                packet.stream = stream
                trimmed.mux(packet)
    frames, failure = read(tmp_path / "cut.mp4")
    assert 0 < len(frames) < 20
    assert failure is None


def test_audio_only_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no video stream \(only audio\)"):
        VideoSource(write_audio(tmp_path / "tone.mp4"))


def test_cover_picture_of_a_song_is_not_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "song.mp4"), "w") as container:
        audio = container.add_stream("aac", rate=48000)
        cover = container.add_stream("mjpeg")
        cover.width, cover.height, cover.pix_fmt = 128, 96, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48000
        packet = av.Packet(jpeg_bytes(corners()))
        packet.stream, packet.pts, packet.dts, packet.time_base = cover, 0, 0, Fraction(1, 25)
        container.mux(packet)
        container.mux(audio.encode(frame))
        container.mux(audio.encode())
    with pytest.raises(InputError, match=r"holds no video stream \(only audio, a cover picture\)"):
        VideoSource(tmp_path / "song.mp4")


def test_a_container_without_streams_is_refused(tmp_path: Path) -> None:
    header = struct.pack(">I4s20x2I36x9I4x", 108, b"mvhd", 1000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    data = struct.pack(">I4s4sI4s", 20, b"ftyp", b"isom", 0, b"isom") + struct.pack(">I4s", 116, b"moov")
    (tmp_path / "none.mp4").write_bytes(data + header.ljust(108, b"\0"))
    with pytest.raises(InputError, match="holds no video stream, nor any other"):
        VideoSource(tmp_path / "none.mp4")


def test_unknown_codec_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", moving_pictures(3))
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))
    with pytest.raises(InputError, match=r"unknown codec|cannot be read"):
        VideoSource(path)


@pytest.mark.parametrize(
    "data",
    [b"hello\n" * 200, bytes(5000), b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", b"ffconcat version 1.0\nfile clip.mp4\n"],
)
def test_what_is_not_video_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "clip.mp4").write_bytes(data)
    with pytest.raises(InputError) as caught:
        VideoSource(tmp_path / "clip.mp4")
    assert str(tmp_path / "clip.mp4") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_empty_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError, match=r"no such file: .*; check the path"):
        VideoSource(tmp_path / "missing.mp4")
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(InputError, match="is empty"):
        VideoSource(tmp_path / "empty.mp4")


def test_file_name_that_looks_like_a_protocol_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.rename(write_video(tmp_path / "clip.mp4", moving_pictures(2)), tmp_path / "concat:a|b.mp4")
    assert len(read(Path("concat:a|b.mp4"))[0]) == 2


def test_frames_over_the_bound_are_refused_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "clip.mp4", [photograph(240, 320)] * 3)
    monkeypatch.setattr(container_module, "MAX_PIXELS", 240 * 320 - 1)
    with pytest.raises(InputError):
        VideoSource(path)


def test_frames_of_unknown_size_may_be_over_the_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "clip.mkv", moving_pictures(2), codec="mjpeg", pix_fmt="yuvj420p")
    monkeypatch.setattr(container_module, "MAX_PIXELS", 128 * 96 - 1)
    frames, _ = read(path)
    assert all("frames of more than 12287 pixels are not read" in frame.problem for frame in frames)


@pytest.mark.parametrize(("bound", "readable"), [(1_000_000, 3), (2_000_000, 6)])
def test_frames_that_grow_over_the_bound_are_unreadable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: int, readable: int
) -> None:
    with av.open(str(tmp_path / "clip.mkv"), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuvj420p"
        for index in range(6):
            packet = av.Packet(jpeg_bytes(photograph(240, 320) if index < 3 else photograph(1000, 1200)))
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, index, index, Fraction(1, 25)
            container.mux(packet)
    monkeypatch.setattr(container_module, "MAX_PIXELS", bound)
    frames, _ = read(tmp_path / "clip.mkv")
    assert [frame.is_readable for frame in frames] == [index < readable for index in range(6)]


@pytest.mark.parametrize(("matrix", "name"), [(8, "YCgCo"), (10, "bt2020c"), (14, "ICtCp")])
def test_unsupported_colour_matrix_is_told_once_and_still_gives_rgb(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, matrix: int, name: str
) -> None:
    options = {"x264-params": f"colormatrix={name}:fullrange=on"}
    path = write_video(tmp_path / "clip.mkv", [corners()] * 3, options=options)
    frames, failure = read(path)
    assert failure is None
    assert all(frame.rgb.shape == (96, 128, 3) for frame in frames)
    (record,) = caplog.records
    assert f"colour matrix {matrix} or range" in record.message
    assert str(path) in record.message


def test_closing_early_never_hangs_while_ffmpegs_lines_are_heard(tmp_path: Path) -> None:
    """In a process of its own: the lines go through Python as soon as a live stream was read there."""
    clip = write_video(tmp_path / "clip.mp4", [photograph()] * 40)
    code = f"""
import av, threading
from streamfilter.sources.live import _hear_ffmpeg
from streamfilter.sources.video import VideoSource
_hear_ffmpeg()
av.logging.set_level(av.logging.TRACE)
def some():
    for _ in range(40):
        source = VideoSource({str(clip)!r})
        for _, frame in zip(range(3), source):
            pass
        source.close()
        del source, frame
threads = [threading.Thread(target=some) for _ in range(4)]
[one.start() for one in threads]
[one.join() for one in threads]
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100, capture_output=True)
