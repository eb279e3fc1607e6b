"""What sinks do when the disk is full or the reader has gone: real disks, real limits, real pipes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from streamfilter.errors import OutputError
from streamfilter.frame import Decision, Frame, Reason
from streamfilter.sinks import MjpegSink

START_OF_IMAGE = b"\xff\xd8\xff"

FILL = """
import resource, sys
from pathlib import Path
import numpy as np
from streamfilter.errors import OutputError
from streamfilter.frame import Decision, Frame, Reason
from streamfilter.sinks import SinkOptions, open_sink
folder, target, frames, limit = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
noise = np.random.default_rng(0)
sink = open_sink(target, SinkOptions(crf=0, jpeg_quality=100))
try:
    for index in range(frames):
        pixels = noise.integers(0, 256, (128, 160, 3), dtype=np.uint8)
        frame = Frame(input="x" * 2000, index=index, pts_seconds=index / 25, array=pixels)
        sink.write(frame, Decision(True, Reason.USEFUL, {"classification": 1.0}))
    sink.close()
except OutputError as error:
    sink.abort()
    print(error)
print([str(path) for path in folder.rglob("*") if path.is_file()])
"""


def fill(command: list[str], folder: Path, name: str, frames: int, limit: int) -> list[str]:
    done = subprocess.run(
        [*command, sys.executable, "-c", FILL, str(folder), str(folder / name), str(frames), str(limit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONWARNINGS": "error"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def on_tmpfs(folder: Path) -> list[str]:
    mount = 'mount -t tmpfs -o size=256k none "$0" && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", mount, str(folder)]


def can_mount(folder: Path) -> bool:
    if shutil.which("unshare") is None:
        return False
    tried = subprocess.run([*on_tmpfs(folder), "true"], capture_output=True, timeout=10, check=False)
    return tried.returncode == 0


@pytest.mark.parametrize("frames", [3, 200], ids=["noticed at close", "noticed while writing"])
@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.jsonl", "out/"])
def test_a_file_size_limit_is_told_and_leaves_nothing(name, frames, tmp_path):
    limit = 4096 if name == "out.jsonl" else 20_000
    message, left = fill([], tmp_path, name, frames, limit)
    assert "larger than the file size limit" in message
    assert left == "[]"


@pytest.mark.parametrize("name", ["out.mp4", "out.jsonl", "out/"])
def test_a_full_disk_is_told_and_leaves_nothing(name, tmp_path):
    if not can_mount(tmp_path):
        pytest.skip("a small disk cannot be mounted here; the file size limit above is the same path")
    message, left = fill(on_tmpfs(tmp_path), tmp_path, name, 200, 0)
    assert "no space left while writing" in message
    assert "free space" in message
    assert left == "[]"


def test_a_closed_pipe_is_told(tmp_path):
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb") as stream:
        sink = MjpegSink(stream)
        kept = Decision(True, Reason.USEFUL, {"classification": 1.0})
        frame = Frame(input="in.mp4", index=0, array=np.zeros((48, 64, 3), np.uint8))
        sink.write(frame, kept)
        os.read(reader, 10)
        os.close(reader)
        with pytest.raises(OutputError, match="the reader closed the pipe: standard output"):
            sink.write(frame, kept)
        sink.abort()


def test_head_on_standard_output_ends_the_program_in_one_line():
    program = FILL.replace("print(error)", "print(error, file=sys.stderr)").replace("print([", "sys.exit(1)\n([")
    process = subprocess.Popen(
        [sys.executable, "-c", program, "unused", "-", "200", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    head = process.stdout.read(3)
    process.stdout.close()
    words = process.stderr.read().decode()
    process.stderr.close()
    assert (head, process.wait(timeout=60)) == (START_OF_IMAGE, 1)
    assert words == "the reader closed the pipe: standard output was not read to its end\n"
