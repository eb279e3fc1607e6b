"""The sample clip is what its JSON says, can be made again, and the sample consumers run."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from samples import make_clip, numpy_consumer
from streamfilter import StreamFilter
from tests.media import photograph, write_video
from tests.models import brightness_model

ROOT = Path(__file__).parent.parent
CLIP = ROOT / "samples" / "tour_of_troubles.mp4"
TINY = (144, 256)
"""x264 gives other bytes each time with AVX-512 where the width is no multiple of 128 pixels."""


@pytest.fixture(scope="module")
def description() -> dict[str, Any]:
    return json.loads(CLIP.with_suffix(".json").read_text())


@pytest.fixture
def bright_then_dark(tmp_path: Path) -> Path:
    bright = np.maximum(photograph(64, 96), 200)
    return write_video(tmp_path / "clip.mp4", [bright] * 5 + [bright // 20] * 7)


def frames_and_keyframes(path: Path) -> tuple[int, set[int]]:
    """Number of frames, and the indices of the keyframes."""
    with av.open(str(path)) as container:
        flags = [frame.key_frame for frame in container.decode(video=0)]
    return len(flags), {index for index, flag in enumerate(flags) if flag}


def test_clip_is_as_described(description: dict[str, Any]) -> None:
    with av.open(str(CLIP)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert [stream.height, stream.width] == description["size_hw"]
        assert stream.average_rate == description["fps"]
    count, keyframes = frames_and_keyframes(CLIP)
    assert count == description["frames"]
    assert keyframes >= {segment["first_frame"] for segment in description["segments"]}
    assert description["clip"] == CLIP.name
    assert CLIP.stat().st_size <= 3_000_000


def test_segments_tile_the_clip(description: dict[str, Any]) -> None:
    segments, fps = description["segments"], description["fps"]
    ends = [segment["end_frame"] for segment in segments]
    assert [segment["first_frame"] for segment in segments] == [0, *ends[:-1]]
    assert ends[-1] == description["frames"]
    for segment in segments:
        assert segment["start_seconds"] * fps == pytest.approx(segment["first_frame"])
        assert segment["end_seconds"] * fps == pytest.approx(segment["end_frame"])


def test_every_trouble_has_its_time_and_a_clean_twin(description: dict[str, Any]) -> None:
    frames = dict.fromkeys(make_clip.TROUBLES, 0)
    clean_before: set[str] = set()
    for segment in description["segments"]:
        frames[segment["trouble"]] += segment["end_frame"] - segment["first_frame"]
        if segment["trouble"] == "none":
            clean_before.add(segment["photograph"])
        assert segment["photograph"] in clean_before
    fps = description["fps"]
    assert min(frames.values()) >= 2 * fps, frames
    assert frames["none"] >= 12 * fps
    assert frames["jpeg"] + frames["h264"] >= 10 * fps


def test_description_is_what_the_script_makes(description: dict[str, Any]) -> None:
    assert description["segments"] == make_clip.segment_table(make_clip.TOUR)


def test_a_small_tour_is_made_alike_twice(tmp_path: Path) -> None:
    tour = tuple(
        make_clip.Segment("coffee", trouble, strength, 4)
        for trouble, strength in (("none", None), ("jpeg", 3), ("h264", 51), ("lost_packets", 0.5), ("dark", 5))
    )
    first, second = tmp_path / "first" / "tour.mp4", tmp_path / "second" / "tour.mp4"
    for out in (first, second):
        out.parent.mkdir()
        make_clip.make_clip(out, tour, TINY)
    assert first.read_bytes() == second.read_bytes()
    assert first.with_suffix(".json").read_bytes() == second.with_suffix(".json").read_bytes()
    assert frames_and_keyframes(first) == (20, {0, 4, 8, 12, 16})
    assert {path.name for path in first.parent.iterdir()} == {"tour.mp4", "tour.json"}


def test_lost_slices_leave_every_picture_but_damage_it() -> None:
    pictures = [photograph(144, 256)] * 6
    random = np.random.default_rng(0)
    whole = make_clip.lost_packets(pictures, 0.0, random)
    damaged = make_clip.lost_packets(pictures, 0.5, random)
    assert len(whole) == len(damaged) == len(pictures)
    errors = [np.abs(np.stack(made).astype(int) - np.stack(pictures)).mean() for made in (whole, damaged)]
    assert errors[1] > 3 * errors[0]


def test_numpy_consumer_sees_the_kept_frames_in_order(bright_then_dark: Path, tmp_path: Path) -> None:
    model = brightness_model(tmp_path / "model.onnx")
    stream_filter = StreamFilter(model=str(model), device="cpu", threads=1)
    series = numpy_consumer.consume(str(bright_then_dark), stream_filter)
    assert [seconds for seconds, _ in series] == pytest.approx([0, 0.04, 0.08, 0.12, 0.16])
    assert all(brightness > 150 for _, brightness in series)


def test_ffmpeg_consumer_pipes_the_kept_frames(
    bright_then_dark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    piped = tmp_path / "piped.mjpeg"
    stand_in = tmp_path / "bin" / "ffmpeg"
    stand_in.parent.mkdir()
    stand_in.write_text(f"#!/bin/sh\nexec cat > '{piped}'\n")
    stand_in.chmod(0o755)
    keep_bright(monkeypatch, tmp_path)
    monkeypatch.setenv("PATH", f"{stand_in.parent}{os.pathsep}{os.environ['PATH']}")
    run_sample("ffmpeg_consumer.py", [str(bright_then_dark)], monkeypatch)
    with av.open(str(piped), format="mjpeg") as container:
        assert sum(1 for _ in container.decode(video=0)) == 5


def test_ffmpeg_consumer_says_what_is_missing(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "samples" / "ffmpeg_consumer.py"), "clip.mp4"]
    environment = {**os.environ, "PATH": str(tmp_path), "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert ended.stderr.strip().splitlines() == ["ffmpeg is not on PATH; install it with your system's package manager"]


def test_classifier_consumer_prints_a_line_a_kept_frame(
    bright_then_dark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    classifier = tmp_path / "classifier.onnx"
    brightness_model(classifier, input_size=32)
    keep_bright(monkeypatch, tmp_path)
    run_sample("classifier_consumer.py", [str(bright_then_dark), str(classifier)], monkeypatch)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [f"frame {index}" for index in range(5)]
    assert all(0.7 < float(line.split()[-1]) <= 1 for line in lines)


@pytest.mark.parametrize("path", sorted((ROOT / "samples").glob("*.py")), ids=lambda path: path.name)
def test_samples_compile(path: Path) -> None:
    compile(path.read_text(), str(path), "exec")


def keep_bright(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let `StreamFilter()` keep bright frames, by a real model, whatever model ships."""
    model = str(brightness_model(folder / "utility.onnx"))

    def bright_filter(**overrides: Any) -> StreamFilter:
        return StreamFilter(model=model, device="cpu", threads=1, **overrides)

    monkeypatch.setattr("streamfilter.StreamFilter", bright_filter)


def run_sample(name: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    runpy.run_path(str(ROOT / "samples" / name), run_name="__main__")
