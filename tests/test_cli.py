"""The command line as scripts use it: data on stdout, words on stderr, outputs whole, signals obeyed."""

import fcntl
import io
import json
import os
import pty
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from streamfilter.scorer import shipped_models
from tests.media import jpeg_bytes, write_video
from tests.models import brightness_model

COMMAND = [sys.executable, "-m", "streamfilter"]


def grey(value: int) -> np.ndarray:
    return np.full((96, 128, 3), value, np.uint8)


@pytest.fixture(autouse=True, scope="module")
def signals_as_in_a_terminal() -> Iterator[None]:
    """Tests that run in the background may inherit that SIGINT and SIGHUP are ignored, and would hand that on."""
    before = {
        number: signal.signal(number, handler)
        for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL))
    }
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return brightness_model(tmp_path / "brightness.onnx")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_video(tmp_path / "clip.mp4", [grey(220)] * 10 + [grey(30)] * 10 + [grey(220)] * 10)


def run(
    *arguments: object, status: int = 0, stdin: bytes | None = None, folder: Path | None = None
) -> tuple[bytes, str]:
    command = [*COMMAND, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        command, capture_output=True, input=stdin or b"", timeout=120, check=False, cwd=folder, env=environment
    )
    assert done.returncode == status, done.stderr.decode()
    return done.stdout, done.stderr.decode()


def test_run_writes_video_and_records(tmp_path: Path, clip: Path, model: Path) -> None:
    out, records = tmp_path / "out" / "kept.mp4", tmp_path / "out" / "records.jsonl"
    stdout, stderr = run("run", clip, "--model", model, "--out", out, "--records", records)
    assert stdout == b""
    assert "30 frames read, 20 kept (useful 20), 10 dropped (low_utility 10)" in stderr
    lines = [json.loads(line) for line in records.read_text().splitlines()]
    assert [line["index"] for line in lines] == list(range(30))
    assert list(lines[12]) == ["input", "index", "pts_seconds", "keep", "reason", "utility", "cause"]
    assert (lines[12]["keep"], lines[12]["reason"], lines[12]["input"]) == (False, "low_utility", str(clip))
    assert set(lines[12]["utility"]) == {"classification", "detection"}
    with av.open(str(out)) as container:
        times = [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]
    np.testing.assert_allclose(times, [line["pts_seconds"] for line in lines if line["keep"]], atol=1e-3)


def test_float16_decides_the_same(tmp_path: Path, clip: Path, model: Path) -> None:
    _, stderr = run("run", clip, "--model", model, "--precision", "fp16", "--device", "cpu")
    assert "30 frames read, 20 kept (useful 20), 10 dropped (low_utility 10)" in stderr


def test_run_writes_mjpeg_on_standard_output_and_reads_it_back(tmp_path: Path, clip: Path, model: Path) -> None:
    stdout, _ = run("run", clip, "--model", model, "--out", "-")
    assert stdout.startswith(b"\xff\xd8")
    records = tmp_path / "again.jsonl"
    again, _ = run("run", "-", "--model", model, "--out", "-", "--records", records, stdin=stdout)
    assert again == stdout
    assert [json.loads(line)["pts_seconds"] for line in records.read_text().splitlines()] == [None] * 20


def test_run_passes_jpeg_files_through_byte_for_byte(tmp_path: Path, model: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name, value in (("a10.jpg", 240), ("a2.jpg", 10), ("a1.jpg", 250)):
        Image.fromarray(grey(value)).save(folder / name, quality=80)
    run("run", folder, "--model", model, "--out", tmp_path / "kept")
    kept = sorted((tmp_path / "kept").iterdir())
    assert [path.name for path in kept] == ["a1.jpg", "a10.jpg"]
    assert all(path.read_bytes() == (folder / path.name).read_bytes() for path in kept)


def test_a_picture_too_wide_for_jpeg_stops_no_other(tmp_path: Path, model: Path) -> None:
    Image.fromarray(np.full((2, 65_501, 3), 230, np.uint8)).save(tmp_path / "wide.png")
    (tmp_path / "b.jpg").write_bytes(jpeg_bytes(grey(230)))
    pictures = [tmp_path / "wide.png", tmp_path / "b.jpg"]
    _, stderr = run("run", *pictures, "--model", model, "--out", tmp_path / "kept", status=1)
    assert "kept frames that could not be written: 1; frame 0 of" in stderr
    assert "65501x2 pixels" in stderr
    assert "2 frames read, 2 kept" in stderr
    assert "OpenCV" not in stderr
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["b.jpg"]


def test_several_inputs_go_into_one_records_file(tmp_path: Path, clip: Path, model: Path) -> None:
    stdout, _ = run("run", clip, clip, "--model", model, "--records", "-")
    assert len(stdout.splitlines()) == 60


def test_several_videos_do_not_fit_into_one(tmp_path: Path, clip: Path, model: Path) -> None:
    _, stderr = run("run", clip, clip, "--model", model, "--out", tmp_path / "k.mp4", status=2)
    assert "one by one" in stderr
    assert not (tmp_path / "k.mp4").exists()


def test_an_output_never_replaces_its_input(tmp_path: Path, clip: Path, model: Path) -> None:
    before = clip.read_bytes()
    _, stderr = run("run", clip, "--model", model, "--out", tmp_path / "." / "clip.mp4", status=2)
    assert "is an input and an output" in stderr
    assert clip.read_bytes() == before


class MalformedAnswers(BaseHTTPRequestHandler):
    """Takes every POST, and answers with a header that none is."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.wfile.write(b"HTTP/1.1 200 OK\r\nno header\r\nContent-Length: 0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_what_the_http_library_complains_of_shows_no_token(tmp_path: Path, clip: Path, model: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), MalformedAnswers) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        target = f"http://127.0.0.1:{server.server_address[1]}/hook?token=hush"
        _, stderr = run("-v", "run", clip, "--model", model, "--out", target)
        server.shutdown()
    assert "20 kept" in stderr
    assert "hush" not in stderr
    assert "Traceback" not in stderr


@pytest.mark.parametrize("typed", ["rtsp:/joe:hush@host/x", "rtsp//joe:hush@host", "rtsp:/joe:hush@host/x.mjpg"])
def test_an_address_with_a_slip_is_refused_without_its_password(typed: str, model: Path) -> None:
    _, stderr = run("run", typed, "--model", model, status=1)
    assert "no such file" in stderr
    assert "hush" not in stderr


@pytest.mark.parametrize(
    "words",
    [
        ("run", "v/*.mp4", "--out", "v/clip.mp4"),
        ("run", "v/clip.mp4", "--out", "v/twin.mp4"),
        ("run", "q", "--records", "q/b.jpg"),
        ("run", "q/*.jpg", "--out", "q"),
        ("run", "q/sub/a.jpg", "--out", "q/"),
        ("run", "q/sub", "--out", "q"),
        ("calibrate", "v/*.mp4", "--keep-rate", "0.5", "--out", "v/clip.mp4"),
        ("calibrate", "v/clip.mp4", "--keep-rate", "0.5", "--out", "brightness.onnx"),
        ("report", "v/*", "--out", "v/page.html"),
        ("run", "v/clip.mp4", "--records", "brightness.onnx"),
        ("run", "v/clip.mp4", "--config", "settings.toml", "--records", "settings.toml"),
    ],
)
def test_no_output_replaces_an_input(tmp_path: Path, clip: Path, model: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "v").mkdir()
    (tmp_path / "q/sub").mkdir(parents=True)
    clip.rename(tmp_path / "v/clip.mp4")
    (tmp_path / "v/twin.mp4").hardlink_to(tmp_path / "v/clip.mp4")
    (tmp_path / "v/page.html").write_text("mine")
    (tmp_path / "settings.toml").write_text("batch_size = 4\n")
    for name in ("q/a.jpg", "q/b.jpg", "q/sub/a.jpg"):
        Image.fromarray(grey(240)).save(tmp_path / name)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    said = run(*words, "--model", model, status=2, folder=tmp_path)[1]
    assert "is an input and an output" in said or "is an output and holds the input" in said
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_pictures_of_a_video_may_lie_beside_it(tmp_path: Path, clip: Path, model: Path) -> None:
    run("run", clip, "--model", model, "--out", tmp_path)
    assert len(list(tmp_path.glob("clip_*.jpg"))) == 20


def test_score_prints_one_line_a_picture(tmp_path: Path, model: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(grey(255)).save(folder / "1.png")
    Image.fromarray(grey(51)).save(folder / "2.png")
    stdout, _ = run("score", folder, "--model", model)
    lines = [json.loads(line) for line in stdout.splitlines()]
    assert lines[1] == {
        "input": str(folder / "2.png"),
        "utility": {"classification": pytest.approx(0.2), "detection": pytest.approx(0.2)},
        "useful": False,
    }
    assert lines[0]["useful"] is True


def test_score_says_which_picture_is_broken_and_goes_on(tmp_path: Path, model: Path) -> None:
    Image.fromarray(grey(255)).save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:-100])
    stdout, stderr = run("score", tmp_path / "cut.jpg", tmp_path / "whole.jpg", "--model", model, status=1)
    lines = [json.loads(line) for line in stdout.splitlines()]
    assert [line["useful"] for line in lines] == [False, True]
    assert lines[0]["utility"] is None
    assert "cut.jpg" in stderr


def test_score_sends_videos_to_run(clip: Path, model: Path) -> None:
    assert "streamfilter run" in run("score", clip, "--model", model, status=1)[1]


def test_settings_file_under_flags(tmp_path: Path, clip: Path, model: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text(f'model = "{model}"\nthreshold = 0.99\n')
    assert "0 kept" in run("run", clip, "--config", settings)[1]
    assert "30 kept" in run("run", clip, "--config", settings, "--threshold", "0")[1]


def test_nothing_kept_leaves_no_video_and_says_so(tmp_path: Path, clip: Path, model: Path) -> None:
    _, stderr = run("run", clip, "--model", model, "--threshold", "1", "--out", tmp_path / "k.mp4")
    assert "no frame was kept" in stderr
    assert not (tmp_path / "k.mp4").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupting_closes_the_outputs_whole(tmp_path: Path, model: Path, number: signal.Signals) -> None:
    """MJPEG on a pipe that never ends; the signal comes while the run waits for more."""
    jpeg = io.BytesIO()
    Image.fromarray(grey(230)).save(jpeg, "JPEG")
    out, records = tmp_path / "k.mp4", tmp_path / "r.jsonl"
    command = [*COMMAND, "run", "-", "--model", str(model), "--out", str(out), "--records", str(records)]
    with subprocess.Popen([*command, "--batch-size", "1"], stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(jpeg.getvalue() * 20)
        process.stdin.flush()
        wait_until(lambda: any(tmp_path.glob(".streamfilter-*.mp4")))
        time.sleep(3)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == 128 + number, stderr.decode()
    assert b"(interrupted)" in stderr
    lines = records.read_text().splitlines()
    with av.open(str(out)) as container:
        assert sum(1 for _ in container.decode(video=0)) == len(lines) >= 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["brightness.onnx", "k.mp4", "r.jsonl"]


def fed(*arguments: object, **more: Any) -> subprocess.Popen[bytes]:
    """A command on a pipe with 20 pictures that never ends."""
    process = subprocess.Popen([*COMMAND, *map(str, arguments)], stdin=subprocess.PIPE, **more)
    assert process.stdin is not None
    process.stdin.write(jpeg_bytes(grey(230)) * 20)
    process.stdin.flush()
    return process


def endless_run(tmp_path: Path, model: Path, **more: Any) -> subprocess.Popen[bytes]:
    """A run on a pipe that never ends, with its outputs open."""
    process = fed("run", "-", "--model", model, "--out", tmp_path / "k.mp4", "--batch-size", 1, **more)
    wait_until(lambda: any(path.stat().st_size for path in tmp_path.glob(".streamfilter-*.mp4")))
    return process


def test_a_closed_terminal_closes_the_outputs_whole(tmp_path: Path, model: Path) -> None:
    ours, terminal = pty.openpty()
    own = {"start_new_session": True, "preexec_fn": lambda: fcntl.ioctl(2, termios.TIOCSCTTY, 0)}
    with endless_run(tmp_path, model, stderr=terminal, **own) as process:
        os.close(terminal)
        os.close(ours)
        assert process.wait(timeout=30) == 128 + signal.SIGHUP
    with av.open(str(tmp_path / "k.mp4")) as container:
        assert next(container.decode(video=0), None) is not None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["brightness.onnx", "k.mp4"]


def test_nohup_is_respected(tmp_path: Path, model: Path) -> None:
    ignoring = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)}
    with endless_run(tmp_path, model, stderr=subprocess.PIPE, **ignoring) as process:
        process.send_signal(signal.SIGHUP)
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == 0, stderr.decode()
    assert b"20 frames read" in stderr


def test_interrupting_score_keeps_what_was_printed(model: Path) -> None:
    with fed("score", "-", "--model", model, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as one:
        assert json.loads(one.stdout.readline())["useful"]
        one.send_signal(signal.SIGINT)
        _, stderr = one.communicate(timeout=30)
    assert (one.returncode, stderr) == (128 + signal.SIGINT, b"")


@pytest.mark.parametrize(
    ("lines", "status", "words"),
    [
        # As pybind11 does when Ctrl-C falls into what it imports.
        ("try: os.kill(os.getpid(), 2)\nexcept KeyboardInterrupt: raise ImportError('initialization failed')", 130, ""),
        ("os.kill(os.getpid(), 2)", 130, ""),
        ("raise ImportError('libcudart.so is gone')", 1, "ONNX Runtime cannot be loaded (libcudart.so is gone)"),
        ("raise ModuleNotFoundError('no', name='onnxruntime')", 1, "ONNX Runtime is not installed"),
    ],
)
def test_only_what_is_absent_is_said_to_be(tmp_path: Path, clip: Path, lines: str, status: int, words: str) -> None:
    (tmp_path / "onnxruntime.py").write_text(f"import os\n{lines}")
    command = [*COMMAND, "run", str(clip)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert done.returncode == status, done.stderr
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def wait_until(is_true: object, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_inspect_prints_the_spec(model: Path) -> None:
    spec = json.loads(run("inspect", model)[0])
    assert (spec["name"], spec["input_size"], spec["tasks"]) == ("brightness", 32, ["classification", "detection"])


def test_models_lists_what_ships() -> None:
    stdout = run("models")[0].decode()
    assert all(name in stdout for name in shipped_models())
    assert "balanced" in stdout


LONG = "x" * 300


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("--out", f"{LONG}.mp4"), 1, "File name too long"),
        (("--out", f"{LONG}/"), 1, "File name too long"),
        (("--out", LONG), 1, "File name too long"),
        (("--records", f"{LONG}.jsonl"), 1, "File name too long"),
        (("--model", f"{LONG}.onnx"), 1, "no model"),
        (("--profile", f"{LONG}.toml"), 2, "File name too long"),
        (("--config", f"{LONG}.toml"), 2, "File name too long"),
    ],
)
def test_a_name_that_no_file_can_have_is_told_in_one_line(
    tmp_path: Path, clip: Path, model: Path, words: tuple[str, ...], status: int, said: str
) -> None:
    before = sorted(tmp_path.iterdir())
    told = run("run", clip, "--model", model, *words, status=status, folder=tmp_path)[1]
    assert said in told.splitlines()[-1]
    assert "Traceback" not in told
    assert sorted(tmp_path.iterdir()) == before


def test_a_consumer_or_profile_that_no_file_can_be_is_told_in_one_line(tmp_path: Path, clip: Path, model: Path) -> None:
    words = ("calibrate", clip, "--model", model, "--task", "detection")
    told = run(*words, "--keep-useful", "0.5", "--consumer", f"{LONG}.onnx", "--out", tmp_path / "p.toml", status=1)[1]
    assert "does not exist" in told
    told = run(*words, "--keep-rate", "0.5", "--out", tmp_path / f"{LONG}.toml", status=1)[1]
    assert "File name too long" in told


def printing(name: str, folder: Path) -> tuple[object, ...]:
    """A command that prints on standard output, for files that lie in the folder."""
    clip, model = folder / "clip.mp4", folder / "brightness.onnx"
    Image.fromarray(grey(240)).save(folder / "a.jpg")
    record = {"input": "a", "index": 0, "pts_seconds": None, "keep": True, "reason": "useful", "utility": None}
    (folder / "r.jsonl").write_text(json.dumps(record))
    commands: dict[str, tuple[object, ...]] = {
        "score": ("score", folder / "a.jpg", "--model", model),
        "inspect": ("inspect", model),
        "models": ("models",),
        "canary": ("canary", folder / "r.jsonl"),
        "calibrate": (
            "calibrate", clip, "--keep-rate", "0.5", "--task", "detection", "--every", "0.04", "--model", model,
            "--out", folder / "p.toml",
        ),
        "records": ("run", clip, "--model", model, "--records", "-"),
        "pictures": ("run", clip, "--model", model, "--out", "-"),
        "help": ("--help",),
        "version": ("--version",),
        "help of a command": ("run", "--help"),
    }  # fmt: skip
    return commands[name]


PRINTING = ["score", "inspect", "models", "canary", "calibrate", "records", "pictures"]


def run_in_shell(words: tuple[object, ...], redirection: str) -> tuple[int, str]:
    done = subprocess.run(
        ["sh", "-c", f'"$@" {redirection}', "sh", *COMMAND, *map(str, words)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize("name", [*PRINTING, "help", "version", "help of a command"])
def test_a_full_standard_output_is_told_in_one_line(tmp_path: Path, clip: Path, model: Path, name: str) -> None:
    status, said = run_in_shell(printing(name, tmp_path), "> /dev/full")
    assert (status, said.count("\n")) == (1, 1), said
    assert "no space left while writing" in said


@pytest.mark.parametrize("name", PRINTING)
def test_a_closed_standard_output_is_told_in_one_line(tmp_path: Path, clip: Path, model: Path, name: str) -> None:
    status, said = run_in_shell(printing(name, tmp_path), ">&-")
    assert (status, said) == (1, "Error: standard output is closed: nothing can be written there; choose a file\n")


def test_nothing_is_logged_into_an_output_when_the_standard_streams_are_closed(
    tmp_path: Path, clip: Path, model: Path
) -> None:
    records = tmp_path / "r.jsonl"
    words = ("-v", "run", clip, clip, "--model", model, "--records", records)
    assert run_in_shell(words, "<&- >&- 2>&-") == (0, "")
    assert len([json.loads(line) for line in records.read_text().splitlines()]) == 60


def test_version_and_help() -> None:
    assert b"0.1.0" in run("--version")[0]
    assert all(name in run("--help")[0] for name in (b"run", b"score", b"inspect", b"models"))
