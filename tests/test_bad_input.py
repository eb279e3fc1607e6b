"""What bad input gets: one line that says what, where and what to do; exit 1 (2 for usage); nothing partial left."""

import os
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.media import moving_pictures, write_video
from tests.models import brightness_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    return brightness_model(folder / "brightness.onnx")


def streamfilter(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "streamfilter", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)


def assert_refused(done: subprocess.CompletedProcess[str], *parts: str, status: int = 1) -> None:
    """Exit status, and one error line that holds every part."""
    assert done.returncode == status, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, done.stderr
    assert all(part in errors[0] for part in parts), errors[0]
    assert "Traceback" not in done.stderr


def refuse_input(tmp_path: Path, model: Path, source: Path, *parts: str) -> None:
    out = tmp_path / "out"
    done = streamfilter("run", source, "--model", model, "--out", out / "kept.mp4", "--records", out / "r.jsonl")
    assert_refused(done, str(source), *parts)
    assert not out.exists() or list(out.iterdir()) == []


def noise(count: int) -> list[np.ndarray]:
    """Pictures that no encoder makes small."""
    return list(np.random.default_rng(0).integers(0, 256, (count, 96, 128, 3), np.uint8))


def bomb(path: Path) -> Path:
    """A PNG that declares 30,000 x 30,000 pixels in under 200 bytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(90))))
    assert path.stat().st_size < 200
    return path


def test_missing_file(tmp_path: Path, model: Path) -> None:
    refuse_input(tmp_path, model, tmp_path / "nowhere.mp4", "no such file")


def test_folder_without_pictures(tmp_path: Path, model: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    (folder / "notes.txt").write_text("no picture")
    refuse_input(tmp_path, model, folder, "no pictures")


def test_empty_file(tmp_path: Path, model: Path) -> None:
    empty = tmp_path / "empty.mp4"
    empty.touch()
    refuse_input(tmp_path, model, empty, "empty")


def test_text_renamed_to_video(tmp_path: Path, model: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("this is not a video\n" * 50)
    refuse_input(tmp_path, model, text, "not a video")


def test_truncated_mp4(tmp_path: Path, model: Path) -> None:
    whole = write_video(tmp_path / "whole.mp4", moving_pictures(30))
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    refuse_input(tmp_path, model, cut, "cut off", "again")


def test_audio_only(tmp_path: Path, model: Path) -> None:
    import av

    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16_000
        container.mux([*stream.encode(frame), *stream.encode(None)])
    refuse_input(tmp_path, model, path, "no video")


def test_huge_picture_alone_is_not_decoded(tmp_path: Path, model: Path) -> None:
    done = streamfilter("score", bomb(tmp_path / "bomb.png"), "--model", model)
    assert_refused(done, "bomb.png", "30000", "pixels")


def test_huge_picture_in_a_folder_is_counted_and_the_rest_goes_on(tmp_path: Path, model: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    bomb(folder / "bomb.png")
    Image.new("RGB", (40, 30), "white").save(folder / "white.png")
    done = streamfilter("run", folder, "--model", model, "--out", tmp_path / "kept")
    assert done.returncode == 0, done.stderr
    assert "unreadable 1" in done.stderr
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["white.jpg"]


def test_output_folder_that_cannot_be_written(tmp_path: Path, model: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", moving_pictures(5))
    (tmp_path / "file").write_text("in the way")
    done = streamfilter("run", clip, "--model", model, "--out", tmp_path / "file" / "kept.mp4")
    assert_refused(done, "kept.mp4")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_full_disk(tmp_path: Path, model: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", noise(60))
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", disk], check=True, timeout=20)
    try:
        done = streamfilter(
            "run",
            clip,
            "--model",
            model,
            "--threshold",
            0,
            "--out",
            disk / "kept.mp4",
            "--records",
            tmp_path / "r.jsonl",
        )
        assert_refused(done, "kept.mp4", "space")
        assert list(disk.iterdir()) == []
        assert not (tmp_path / "r.jsonl").exists()
    finally:
        subprocess.run(["umount", disk], check=True, timeout=20)


def test_model_without_our_metadata(tmp_path: Path, model: Path) -> None:
    import onnx

    bare = onnx.load(model)
    del bare.metadata_props[:]
    onnx.save(bare, tmp_path / "bare.onnx")
    done = streamfilter(
        "run",
        write_video(tmp_path / "c.mp4", moving_pictures(5)),
        "--model",
        tmp_path / "bare.onnx",
        "--out",
        tmp_path / "k.mp4",
    )
    assert_refused(done, "bare.onnx", "streamfilter.input_size", "export")
    assert not (tmp_path / "k.mp4").exists()


def test_corrupt_model(tmp_path: Path, model: Path) -> None:
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(model.read_bytes()[:300])
    clip = write_video(tmp_path / "c.mp4", moving_pictures(5))
    done = streamfilter("run", clip, "--model", cut, "--out", tmp_path / "k.mp4")
    assert_refused(done, "cut.onnx", "not a readable ONNX model")
    assert not (tmp_path / "k.mp4").exists()


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="this machine may have CUDA")
@pytest.mark.parametrize(("device", "name"), [("cuda", "CUDA"), ("tensorrt", "TensorRT")])
def test_a_gpu_where_there_is_none(tmp_path: Path, model: Path, device: str, name: str) -> None:
    clip = write_video(tmp_path / "c.mp4", moving_pictures(5))
    done = streamfilter("run", clip, "--model", model, "--device", device, "--out", tmp_path / "k.mp4")
    assert_refused(done, name, f"streamfilter[{device}]", "--device cpu")
    assert not (tmp_path / "k.mp4").exists()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--threshold", "1.5"], "threshold is 1.5"),
        (["--device", "tpu"], "'auto', 'cpu', 'cuda', 'tensorrt'"),
        (["--precision", "fp8"], "'fp32', 'fp16'"),
        (["--crf", "99"], "crf"),
        (["--no-such-flag"], "--no-such-flag"),
    ],
)
def test_usage_errors_exit_2(tmp_path: Path, model: Path, arguments: list[str], part: str) -> None:
    clip = write_video(tmp_path / "c.mp4", moving_pictures(5))
    done = streamfilter("run", clip, "--model", model, "--out", tmp_path / "k.mp4", *arguments)
    assert_refused(done, part, status=2)
    assert not (tmp_path / "k.mp4").exists()


def test_one_bad_input_does_not_stop_the_others(tmp_path: Path, model: Path) -> None:
    clip = write_video(tmp_path / "c.mp4", moving_pictures(5))
    records = tmp_path / "r.jsonl"
    done = streamfilter("run", tmp_path / "nowhere.mp4", clip, "--model", model, "--records", records)
    assert_refused(done, "nowhere.mp4")
    assert len(records.read_text().splitlines()) == 5


def test_broken_picture_in_a_folder_is_counted(tmp_path: Path, model: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(3):
        Image.fromarray(np.random.default_rng(index).integers(0, 256, (64, 64, 3), np.uint8)).save(
            folder / f"{index}.jpg"
        )
    (folder / "1.jpg").write_bytes((folder / "1.jpg").read_bytes()[:700])
    records = tmp_path / "r.jsonl"
    done = streamfilter("run", folder, "--model", model, "--records", records)
    assert done.returncode == 0, done.stderr
    assert [('"reason": "unreadable"' in line) for line in records.read_text().splitlines()] == [False, True, False]
    assert "unreadable 1" in done.stderr


def test_an_input_without_one_readable_frame_fails(tmp_path: Path, model: Path) -> None:
    for index, keep in enumerate((700, 0)):
        Image.fromarray(np.random.default_rng(index).integers(0, 256, (64, 64, 3), np.uint8)).save(
            tmp_path / f"{index}.jpg"
        )
        (tmp_path / f"{index}.jpg").write_bytes((tmp_path / f"{index}.jpg").read_bytes()[:keep])
    clip = write_video(tmp_path / "c.mp4", moving_pictures(5))
    records = tmp_path / "r.jsonl"
    done = streamfilter("run", tmp_path / "0.jpg", tmp_path / "1.jpg", clip, "--model", model, "--records", records)
    assert done.returncode == 1
    assert "0.jpg and 1 more: no frame of 2 can be read" in done.stderr
    assert len(records.read_text().splitlines()) == 7
