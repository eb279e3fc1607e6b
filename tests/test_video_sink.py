"""Videos read back: time stamps, pixels, colours, sizes and encoders."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from streamfilter.errors import OutputError
from streamfilter.frame import Decision, Frame, Reason
from streamfilter.sinks import SinkOptions, VideoSink

KEPT = Decision(True, Reason.USEFUL, {"classification": 1.0})
DROPPED = Decision(False, Reason.LOW_UTILITY, {"classification": 0.0})
SUFFIXES = [".mp4", ".mkv", ".mov", ".ts", ".webm"]
LOSSLESS = SinkOptions(codec="ffv1")
BT709, BT601, LIMITED, FULL = 1, 6, 1, 2


def scene(height: int = 48, width: int = 64, shift: int = 0) -> np.ndarray:
    """A smooth coloured picture, so that what compression loses stays small."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    waves = [np.sin(x / 9 + shift), np.cos(y / 7 - shift), np.sin((x + y) / 11)]
    return np.stack([128 + 90 * wave for wave in waves], axis=2).astype(np.uint8)


def picture(index: int, pts: float | None = None, source: str = "in.mp4", **shape: int) -> Frame:
    return Frame(input=source, index=index, pts_seconds=pts, array=scene(**shape))


def decoded(index: int, pts: float, layout: str = "yuv420p", **marks: int) -> Frame:
    """A frame as a decoder gives it; `marks` are attributes of the native frame."""
    native = av.VideoFrame.from_ndarray(scene(), format="rgb24")
    if layout != "rgb24":
        native = native.reformat(format=layout, dst_colorspace=marks.get("colorspace"))
    native.pts, native.time_base = round(pts * 12800), Fraction(1, 12800)
    for name, value in marks.items():
        setattr(native, name, value)
    return Frame(input="in.mp4", index=index, pts_seconds=pts, native=native)


def write(path: Path, frames: list[Frame], options: SinkOptions | None = None) -> VideoSink:
    codec = "libvpx-vp9" if path.suffix == ".webm" else "libx264"
    with VideoSink(path, options or SinkOptions(codec=codec, crf=10)) as sink:
        for frame in frames:
            sink.write(frame, KEPT)
    return sink


def read(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


@pytest.mark.parametrize("suffix", [suffix for suffix in SUFFIXES if suffix != ".webm"])
@pytest.mark.parametrize(("turn", "wanted"), [(0, Fraction(16, 11)), (90, Fraction(11, 16))])
def test_pixels_keep_their_shape(tmp_path: Path, suffix: str, turn: int, wanted: Fraction) -> None:
    path = tmp_path / f"out{suffix}"
    write(path, [replace(decoded(0, 0.0), pixel_aspect=Fraction(16, 11), rotation_degrees=turn)])
    with av.open(str(path)) as container:
        assert container.streams.video[0].sample_aspect_ratio == wanted


def times(path: Path) -> list[float]:
    return [float(frame.time) for frame in read(path)]


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    return float(cv2.PSNR(first, second))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("start", [0.0, 5.02])
def test_frames_come_back_at_the_times_of_their_source(suffix, start, tmp_path):
    stamps = [start + index * 1001 / 30000 + (0.35 if index > 7 else 0) for index in range(20)]
    frames = [picture(index, pts, shift=index) for index, pts in enumerate(stamps)]
    with VideoSink(tmp_path / f"out{suffix}", SinkOptions("libvpx-vp9" if suffix == ".webm" else "libx264")) as sink:
        for frame in frames:
            sink.write(frame, DROPPED if frame.index in (3, 4, 11) else KEPT)
    wanted = [pts for index, pts in enumerate(stamps) if index not in (3, 4, 11)]
    assert sink.frames_written == len(wanted)
    assert times(tmp_path / f"out{suffix}") == pytest.approx(wanted, abs=0.001)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_frame_is_cut_off_by_a_first_stamp_before_zero(suffix, tmp_path):
    path = tmp_path / f"out{suffix}"
    write(path, [picture(index, -0.2 + index / 25) for index in range(10)])
    assert times(path) == pytest.approx([index / 25 for index in range(10)], abs=0.001)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_stamps_that_do_not_increase_are_moved_up_and_told_once(suffix, tmp_path, caplog):
    path = tmp_path / f"out{suffix}"
    write(path, [picture(index, pts) for index, pts in enumerate([0.0, 0.04, 0.04, 0.02, 0.04, 0.12])])
    stamps = times(path)
    assert all(before < after for before, after in pairwise(stamps))
    assert stamps == pytest.approx([0, 0.04, 0.04, 0.04, 0.04, 0.12], abs=0.0041)
    told = [record.message for record in caplog.records if "does not increase" in record.message]
    assert len(told) == 1
    assert "frame 2 of in.mp4" in told[0]
    assert "3 time stamps did not increase" in caplog.text


@pytest.mark.parametrize("start", [0.0, 3.1, 9.0])
def test_a_second_input_follows_the_first_whatever_its_own_clock(start, tmp_path):
    first = [picture(index, 3 + index / 10, "a.mp4") for index in range(3)]
    second = [picture(index, start + index / 10, "b.mp4") for index in range(3)]
    write(tmp_path / "out.mp4", first + second)
    assert times(tmp_path / "out.mp4") == pytest.approx([3, 3.1, 3.2, 3.24, 3.34, 3.44], abs=0.001)


def test_a_clock_that_starts_anew_follows_what_was_written(tmp_path):
    stamps = [100.0, 100.1, 0.0, 0.1]
    write(tmp_path / "out.mkv", [picture(index, pts) for index, pts in enumerate(stamps)])
    assert times(tmp_path / "out.mkv") == pytest.approx([100, 100.1, 100.14, 100.24], abs=0.001)


HOUR = 3600.0


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "stamps",
    [
        [0, 0.04, 0.08, 20 * HOUR, 20 * HOUR + 0.04, 20 * HOUR + 0.5],
        [5 * HOUR * index for index in range(8)],
        [700 * HOUR, 1400 * HOUR, 1400 * HOUR + 0.1],
    ],
    ids=["one jump", "many gaps", "a jump from afar"],
)
def test_a_gap_that_a_container_cannot_hold_is_shortened_and_told_once(suffix, stamps, tmp_path, caplog):
    path = tmp_path / f"out{suffix}"
    write(path, [picture(index, pts, shift=index) for index, pts in enumerate(stamps)])
    gaps = np.diff(times(path))
    if suffix in (".mkv", ".webm"):
        assert gaps == pytest.approx(np.diff(stamps), abs=0.0011)
        assert caplog.text == ""
        return
    short = np.diff(stamps) < 60
    assert gaps[short] == pytest.approx(np.diff(stamps)[short], abs=0.0011)
    assert len(gaps) == len(stamps) - 1
    assert gaps.min() > 0
    assert caplog.text.count("is too long for this kind of file") == 1


def test_a_gap_of_hours_stays_as_long_as_it_is(tmp_path):
    stamps = [*(index / 25 for index in range(8)), 9 * HOUR, 9 * HOUR + 0.04]
    write(tmp_path / "out.mp4", [picture(index, pts) for index, pts in enumerate(stamps)])
    assert times(tmp_path / "out.mp4") == pytest.approx(stamps, abs=0.001)


def test_pictures_without_a_clock_are_spaced_evenly(tmp_path):
    write(tmp_path / "out.mp4", [picture(0, None, f"{index}.png") for index in range(4)])
    assert times(tmp_path / "out.mp4") == pytest.approx([0, 0.04, 0.08, 0.12], abs=0.001)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".ts"])
def test_packets_decode_before_they_show_and_in_order(suffix, tmp_path):
    path = tmp_path / f"out{suffix}"
    write(path, [picture(index, index / 25, shift=index) for index in range(30)])
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    decode = [packet.dts for packet in packets]
    assert all(before < after for before, after in pairwise(decode))
    assert all(packet.dts <= packet.pts for packet in packets)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_pictures_keep_their_colours(suffix, tmp_path):
    path = tmp_path / f"out{suffix}"
    write(path, [picture(index, index / 25) for index in range(3)])
    for frame in read(path):
        assert psnr(frame.to_ndarray(format="rgb24"), scene()) > 32


@pytest.mark.parametrize("layout", ["yuv420p", "yuvj420p", "yuv422p", "yuv444p10le", "nv12", "rgb24", "gbrp"])
@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_decoded_frames_keep_their_colours_in_every_layout_and_turn(layout, turn, tmp_path):
    flat = decoded(0, 0.5, layout)
    frame = Frame(input="in.mp4", index=0, pts_seconds=0.5, native=flat.native, rotation_degrees=turn)
    write(tmp_path / "out.mp4", [frame])
    (back,) = read(tmp_path / "out.mp4")
    assert psnr(back.to_ndarray(format="rgb24"), np.ascontiguousarray(np.rot90(scene(), turn // 90))) > 30


def test_mirrored_frames_are_written_as_they_are_seen(tmp_path):
    write(tmp_path / "out.mp4", [replace(decoded(0, 0.5), is_mirrored=True)])
    (back,) = read(tmp_path / "out.mp4")
    assert psnr(back.to_ndarray(format="rgb24"), np.ascontiguousarray(scene()[:, ::-1])) > 30


@pytest.mark.parametrize("matrix", [BT709, BT601])
@pytest.mark.parametrize("layout", ["yuv420p", "yuvj420p"])
def test_colour_tags_are_carried(matrix, layout, tmp_path):
    write(tmp_path / "out.mp4", [decoded(0, 0, layout, colorspace=matrix)])
    (back,) = read(tmp_path / "out.mp4")
    assert (back.colorspace, back.color_range) == (matrix, FULL if layout == "yuvj420p" else LIMITED)
    assert psnr(back.to_ndarray(format="rgb24"), scene()) > 32


def test_frames_with_other_colour_tags_are_converted_to_the_first(tmp_path):
    frames = [
        decoded(0, 0.0, colorspace=BT601, color_range=LIMITED),
        decoded(1, 0.1, colorspace=BT709, color_range=LIMITED),
        decoded(2, 0.2, "yuvj420p", colorspace=BT709),
        picture(3, 0.3),
    ]
    write(tmp_path / "out.mp4", frames)
    for back in read(tmp_path / "out.mp4"):
        assert psnr(back.to_ndarray(format="rgb24"), scene()) > 32


def test_native_planes_reach_the_encoder_untouched_and_the_frame_stays_as_it_was(tmp_path):
    frames = [decoded(index, index / 25, pict_type=1, duration=512) for index in range(3)]
    before = [frame.native.to_ndarray() for frame in frames]
    write(tmp_path / "out.mkv", frames, LOSSLESS)
    for frame, planes, back in zip(frames, before, read(tmp_path / "out.mkv"), strict=True):
        native = frame.native
        assert np.array_equal(back.to_ndarray(), planes)
        assert np.array_equal(native.to_ndarray(), planes)
        assert (native.pts, native.time_base) == (round(frame.pts_seconds * 12800), Fraction(1, 12800))
        assert (native.pict_type, native.duration) == (1, 512)
        assert "rgb" not in vars(frame)


def test_a_frame_that_the_encoder_refuses_stays_as_it_was(tmp_path):
    native = av.VideoFrame(8194, 2, "yuv420p")
    native.pts, native.time_base = 12800, Fraction(1, 12800)
    frame = Frame(input="wide.mp4", index=0, pts_seconds=1.0, native=native)
    sink = VideoSink(tmp_path / "out.mp4", SinkOptions("mpeg4"))
    with pytest.raises(OutputError, match=r"cannot write .*out\.mp4"):
        sink.write(frame, KEPT)
    sink.abort()
    assert (native.pts, native.time_base) == (12800, Fraction(1, 12800))
    assert list(tmp_path.iterdir()) == []


def test_the_keyframes_of_the_source_do_not_become_ours(tmp_path):
    write(tmp_path / "out.mp4", [decoded(index, index / 25, pict_type=1) for index in range(10)])
    assert [frame.key_frame for frame in read(tmp_path / "out.mp4")] == [True] + [False] * 9


def test_odd_sides_become_even(tmp_path):
    write(tmp_path / "out.mp4", [picture(0, 0, height=47, width=65), picture(1, 1, height=47, width=65)])
    assert [(frame.height, frame.width) for frame in read(tmp_path / "out.mp4")] == [(46, 64)] * 2


def test_another_size_is_scaled_to_the_first_and_told_once(tmp_path, caplog):
    shapes = [(48, 64), (96, 128), (31, 40), (48, 64)]
    frames = [picture(index, index / 10, height=height, width=width) for index, (height, width) in enumerate(shapes)]
    write(tmp_path / "out.mp4", frames)
    assert [(frame.height, frame.width) for frame in read(tmp_path / "out.mp4")] == [(48, 64)] * 4
    told = [record.message for record in caplog.records if "scaled" in record.message]
    assert len(told) == 1
    assert "frame 1 of in.mp4 is 128x96" in told[0]
    assert "64x48" in told[0]


def test_no_kept_frame_means_no_file_and_a_warning(tmp_path, caplog):
    with VideoSink(tmp_path / "out.mp4") as sink:
        sink.write(picture(0, 0.0), DROPPED)
    assert sink.frames_written == 0
    assert list(tmp_path.iterdir()) == []
    assert "no frame was kept" in caplog.text
    assert "older" not in caplog.text


def test_an_older_file_is_not_taken_for_the_result_of_a_run_that_kept_nothing(tmp_path, caplog):
    (tmp_path / "out.mp4").write_text("older")
    write(tmp_path / "out.mp4", [])
    assert "no frame was kept, so no file is written; the file of that name is an older one" in caplog.text
    assert (tmp_path / "out.mp4").read_text() == "older"


@pytest.mark.parametrize("codec", ["libx264", "h264", "hevc", "vp9", "av1"])
def test_a_larger_crf_makes_a_smaller_file(codec, tmp_path):
    frames = [picture(index, index / 25, shift=index, height=240, width=320) for index in range(5)]
    for crf in (10, 45):
        write(tmp_path / f"{crf}.mp4", frames, SinkOptions(codec, crf))
    assert (tmp_path / "45.mp4").stat().st_size * 2 < (tmp_path / "10.mp4").stat().st_size


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("codec", ["libx264", "libx265", "hevc"])
def test_a_very_short_stream_keeps_its_times(codec, count, tmp_path):
    write(tmp_path / "out.mkv", [picture(index, 7 + index / 25) for index in range(count)], SinkOptions(codec))
    times = [float(frame.pts * frame.time_base) for frame in read(tmp_path / "out.mkv")]
    assert times == pytest.approx([7 + index / 25 for index in range(count)], abs=1e-3)


@pytest.mark.parametrize("codec", ["libx265", "libvpx-vp9", "mpeg4", "ffv1"])
def test_other_encoders_write_what_can_be_read_back(codec, tmp_path):
    write(tmp_path / "out.mkv", [picture(index, index / 25) for index in range(5)], SinkOptions(codec))
    frames = read(tmp_path / "out.mkv")
    assert len(frames) == 5
    assert psnr(frames[-1].to_ndarray(format="rgb24"), scene()) > 28


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("out.mp4", SinkOptions("h265"), r"no video encoder 'h265'; there are libx264"),
        ("out.mp4", SinkOptions("aac"), r"no video encoder 'aac'"),
        ("out.webm", SinkOptions("libx264"), r"cannot write a \.webm file with libx264 .*libvpx-vp9 with \.webm"),
        ("out.ts", SinkOptions("ffv1"), r"cannot write a \.ts file with ffv1 \(it cannot be read back\)"),
        ("out.mp4", SinkOptions(crf=60), r"crf 60 is too large for libx264; it takes 0-51"),
        ("out.mp4", SinkOptions("h264", crf=60), r"crf 60 is too large for h264; it takes 0-51"),
        ("out.avi", SinkOptions(), r"a video file ends in \.mp4"),
    ],
)
def test_encoders_and_containers_that_do_not_fit_are_refused_at_once(name, options, words, tmp_path):
    with pytest.raises(OutputError, match=words):
        VideoSink(tmp_path / name, options)
    assert list(tmp_path.iterdir()) == []
