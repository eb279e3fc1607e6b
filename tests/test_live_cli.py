"""Live streams from the command line: run, watched, reloaded and stopped as a service is."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.broadcast_servers import HlsServer, RtmpServer, need_broadcaster, need_rtmp
from tests.live_servers import RtspServer, free_port, need_gstreamer, wait_until
from tests.media import moving_pictures, write_video
from tests.models import brightness_model
from tests.profiles import write_profile

COMMAND = [sys.executable, "-m", "streamfilter"]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return brightness_model(tmp_path_factory.mktemp("model") / "bright.onnx")


@contextmanager
def running(*words: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The command, its words on standard error kept in `said.txt`."""
    with (folder / "said.txt").open("w") as said:
        process = subprocess.Popen([*COMMAND, *words], cwd=folder, stderr=said, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=10)


def records(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def ask(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def test_a_stream_is_recorded_watched_and_stopped(model, tmp_path):
    need_gstreamer()
    port = free_port()
    with RtspServer("--pattern", "white", "--gop", "10") as server:
        words = ["--log-json", "-v", "run", server.url, "--model", str(model), "--metrics", str(port)]
        words += ["--records", "cam.jsonl", "--out", "kept.mp4"]
        with running(*words, folder=tmp_path) as process:
            wait_until(lambda: len(records(tmp_path / "cam.jsonl")) > 40, 60, "records while it runs")
            status, metrics = ask(port, "/metrics")
            assert status == 200
            health = ask(port, "/healthz")
            process.send_signal(signal.SIGTERM)
            started = time.monotonic()
            assert process.wait(20) == 128 + signal.SIGTERM
            assert time.monotonic() - started < 6
    name = f"127.0.0.1-{server.port}"
    assert f'streamfilter_frames_total{{kept="true",reason="useful",stream="{name}"}}' in metrics
    assert f'streamfilter_state{{state="playing",stream="{name}"}} 1.0' in metrics
    assert f'streamfilter_latency_seconds_count{{stream="{name}"}}' in metrics
    assert health[0] == 200
    assert json.loads(health[1])["streams"][name]["state"] == "playing"
    lines = records(tmp_path / "cam.jsonl")
    assert [line["index"] for line in lines] == list(range(len(lines)))
    assert abs(lines[-1]["time"] - time.time()) < 60
    *logs, summary = (tmp_path / "said.txt").read_text().splitlines()
    assert {json.loads(line)["level"] for line in logs} <= {"INFO", "WARNING"}
    assert summary.startswith(f"{len(lines)} frames read, ")
    assert summary.endswith("(interrupted)")
    kept = Counter(line["keep"] for line in lines)[True]
    import av

    with av.open(str(tmp_path / "kept.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == kept


@pytest.mark.parametrize("kind", ["rtmp", "hls"])
def test_a_broadcast_is_recorded_and_stopped_and_its_key_is_nowhere(model, tmp_path, kind):
    need_rtmp() if kind == "rtmp" else need_broadcaster()
    port = free_port()
    with RtmpServer(key="h0nigbrot") if kind == "rtmp" else HlsServer() as server:
        words = ["-v", "run", server.url, "--model", str(model), "--threshold", "0", "--backpressure", "wait"]
        words += ["--metrics", str(port), "--records", "cam.jsonl", "--out", "kept.mp4"]
        with running(*words, folder=tmp_path) as process:
            wait_until(lambda: len(records(tmp_path / "cam.jsonl")) > 40, 60, "records while it runs")
            told = ask(port, "/metrics")[1] + ask(port, "/healthz")[1]
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 128 + signal.SIGTERM
    told += (tmp_path / "said.txt").read_text() + (tmp_path / "cam.jsonl").read_text()
    assert "h0nigbrot" not in told
    assert told.count("playing") > 0
    kept = [line for line in records(tmp_path / "cam.jsonl") if line["keep"]]
    import av

    with av.open(str(tmp_path / "kept.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == len(kept) > 20


def test_a_protocol_that_ffmpeg_has_not_ends_the_command_with_one_line(model, tmp_path):
    words = ["run", "srt://127.0.0.1:9999?passphrase=geheimnis", "--model", str(model)]
    done = subprocess.run([*COMMAND, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "has no srt://; let a media server pass the stream on as rtsp://" in done.stderr
    assert "next try" not in done.stderr
    assert "geheimnis" not in done.stderr
    assert "Traceback" not in done.stderr


def test_health_fails_while_a_camera_takes_connects_and_never_answers(model, tmp_path):
    port = free_port()
    with socket.create_server(("127.0.0.1", 0)) as mute:
        path = tmp_path / "streams.toml"
        path.write_text(
            f'model = "{model}"\n[live]\nopen_timeout_seconds = 2\nmax_backoff_seconds = 0.1\n[[stream]]\n'
            f'name = "mute"\nuri = "rtsp://127.0.0.1:{mute.getsockname()[1]}/x"\n'
        )
        with running("-v", "run", "--config", str(path), "--metrics", str(port), folder=tmp_path):
            wait_until(lambda: ask(port, "/healthz")[0] == 200, 60, "the first connect")
            said = tmp_path / "said.txt"
            wait_until(lambda: said.read_text().count("mute: connecting") >= 3, 60, "two failures")
            status, told = ask(port, "/healthz")
    assert status == 503
    assert json.loads(told)["streams"]["mute"]["state"] == "connecting"


def test_health_fails_once_every_stream_is_gone(model, tmp_path):
    port = free_port()
    write_video(tmp_path / "clip.mp4", moving_pictures(5))
    (tmp_path / "streams.toml").write_text(f'model = "{model}"\n[[stream]]\nuri = "clip.mp4"\n')
    with running("-v", "run", "--config", "streams.toml", "--metrics", str(port), folder=tmp_path):
        wait_until(lambda: "clip: removed" in (tmp_path / "said.txt").read_text(), 60, "the end")
        status, told = ask(port, "/healthz")
        metrics = ask(port, "/metrics")[1]
    assert status == 503
    assert {name: stream["state"] for name, stream in json.loads(told)["streams"].items()} == {"clip": "closed"}
    assert 'streamfilter_state{state="closed",stream="clip"} 1.0' in metrics


def test_health_fails_while_no_stream_works(model, tmp_path):
    port = free_port()
    words = ["run", f"rtsp://127.0.0.1:{free_port()}/x", "--model", str(model), "--metrics", str(port)]
    with running(*words, folder=tmp_path):
        wait_until(lambda: ask(port, "/healthz")[0] == 503, 60, "the health check")
        assert json.loads(ask(port, "/healthz")[1])["working"] == 0
        assert ask(port, "/nothing")[0] == 404


def test_a_hangup_reloads_the_streams_and_mistakes_change_nothing(model, tmp_path):
    need_gstreamer()
    path = tmp_path / "streams.toml"

    def write(*names: str, more: str = "") -> None:
        tables = [f'[[stream]]\nname = "{name}"\nuri = "{server.url}"\nrecords = "{name}.jsonl"\n' for name in names]
        path.write_text(f'model = "{model}"\n{more}\n{"".join(tables)}')

    with RtspServer("--pattern", "white", "--gop", "10") as server:
        write("one")
        with running("run", "--config", str(path), folder=tmp_path) as process:
            wait_until(lambda: records(tmp_path / "one.jsonl"), 60, "the first stream")
            write("two", "three", more="threshold = 7")
            process.send_signal(signal.SIGHUP)
            said = tmp_path / "said.txt"
            wait_until(lambda: "not reloaded" in said.read_text(), 20, "the refusal")
            assert "threshold is 7" in said.read_text()
            write("one", "two")
            process.send_signal(signal.SIGHUP)
            wait_until(lambda: records(tmp_path / "two.jsonl"), 60, "the second stream")
            write("two")
            process.send_signal(signal.SIGHUP)
            wait_until(lambda: said.read_text().count("reloaded") >= 3, 20, "the reload")
            time.sleep(1)
            before = len(records(tmp_path / "one.jsonl")), len(records(tmp_path / "two.jsonl"))
            wait_until(lambda: len(records(tmp_path / "two.jsonl")) > before[1], 20, "the second stream")
            assert len(records(tmp_path / "one.jsonl")) == before[0]


@pytest.mark.parametrize("command", ["run", "monitor"])
def test_a_hangup_while_it_still_starts_does_not_end_the_command(model, tmp_path, command):
    path = tmp_path / "profile.toml"
    os.mkfifo(path)
    (tmp_path / "streams.toml").write_text(
        f'model = "{model}"\n[[stream]]\nuri = "rtsp://127.0.0.1:{free_port()}/x"\nprofile = "profile.toml"\n'
    )
    pipes: list[int] = []

    def is_read() -> bool:
        with suppress(OSError):
            pipes.append(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
        return bool(pipes)

    with running(command, "--config", "streams.toml", folder=tmp_path) as process:
        wait_until(is_read, 60, "the profile to be read")
        process.send_signal(signal.SIGHUP)
        os.write(pipes[0], b"version = 9")
        os.close(pipes[0])
        assert process.wait(20) == 2
    assert "version 9" in (tmp_path / "said.txt").read_text()


def test_a_reload_does_not_hold_up_the_streams_that_stay(model, tmp_path):
    need_gstreamer()
    path, said = tmp_path / "streams.toml", tmp_path / "said.txt"
    os.mkfifo(tmp_path / "profile.toml")
    with RtspServer("--pattern", "white", "--gop", "10") as server:
        stays = f'model = "{model}"\n[[stream]]\nname = "stays"\nuri = "{server.url}"\nrecords = "stays.jsonl"\n'
        path.write_text(stays)
        with running("run", "--config", str(path), folder=tmp_path) as process:
            wait_until(lambda: records(tmp_path / "stays.jsonl"), 60, "the stream")
            path.write_text(f'{stays}[[stream]]\nuri = "rtsp://127.0.0.1/x"\nprofile = "profile.toml"\n')
            process.send_signal(signal.SIGHUP)
            # Opening waits for the reader, and the reload for what is written.
            with (tmp_path / "profile.toml").open("w") as pipe:
                before = len(records(tmp_path / "stays.jsonl"))
                wait_until(lambda: len(records(tmp_path / "stays.jsonl")) > before + 50, 60, "frames meanwhile")
                pipe.write("version = 9")
            wait_until(lambda: "not reloaded" in said.read_text(), 60, "the refusal")


STREAM = '[[stream]]\nname = "one"\nuri = "{uri}"\n'
MISTAKES = {
    "nothing": ("", "it has no [[stream]]"),
    "no stream": ("threshold = 0.4", "it has no [[stream]]"),
    "records": (STREAM + "records = 7", "records is 7, expected a file"),
    "target": (STREAM + 'out = ["ftp://x/y"]', "cannot tell what to write to 'ftp://x/y'"),
    "profile": (STREAM + 'profile = "none.toml"', "none.toml: No such file"),
    "rules": (STREAM + 'profile = "other.toml"', "the profile was made for"),
    "same": (
        STREAM + 'out = "a.mp4"\n' + STREAM.replace("one", "two") + 'out = "./a.mp4"',
        "the same output is named twice: ./a.mp4",
    ),
    "own": (STREAM + 'records = "./streams.toml"', "./streams.toml is an input and an output"),
    "input": ('[[stream]]\nuri = "clip.mp4"\nout = ["./clip.mp4"]', "./clip.mp4 is an input and an output"),
}


def test_no_mistake_in_a_reloaded_file_touches_a_running_stream(model, tmp_path):
    path, said, port = tmp_path / "streams.toml", tmp_path / "said.txt", free_port()
    uri = f"rtsp://127.0.0.1:{free_port()}/x"
    write_profile(tmp_path / "other.toml")
    path.write_text(f'model = "{model}"\n[[stream]]\nname = "one"\nuri = "{uri}"\nrecords = "one.jsonl"\n')
    with running("-v", "run", "--config", str(path), "--metrics", str(port), folder=tmp_path) as process:
        wait_until(lambda: "one: added" in said.read_text(), 60, "the stream")
        for number, (text, told) in enumerate(MISTAKES.values(), start=1):
            path.write_text(text.format(uri=uri))
            process.send_signal(signal.SIGHUP)
            wait_until(lambda: said.read_text().count("not reloaded") == number, 30, f"the refusal of {told}")  # noqa: B023
            assert told in said.read_text()
        assert list(json.loads(ask(port, "/healthz")[1])["streams"]) == ["one"]
    words = said.read_text()
    assert words.count("one: added") == 1
    assert "one: removed" not in words
    assert "Traceback" not in words


@pytest.mark.parametrize("name", [name for name in MISTAKES if name not in ("nothing", "no stream")])
def test_the_same_mistakes_are_refused_at_the_start(model, tmp_path, name):
    text, told = MISTAKES[name]
    write_profile(tmp_path / "other.toml")
    clip = write_video(tmp_path / "clip.mp4", moving_pictures(5)).read_bytes()
    (tmp_path / "streams.toml").write_text(f'model = "{model}"\n{text.format(uri="rtsp://h/x")}')
    words = [*COMMAND, "run", "--config", "streams.toml"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert told in done.stderr
    assert (tmp_path / "clip.mp4").read_bytes() == clip


def test_three_mistakes_are_told_at_once(tmp_path):
    text = 'threshold = 7\n[live]\nstall = 3\n[[stream]]\nname = "a"\nuri = "rtsp://h/x"\ntransport = "smoke"\n'
    (tmp_path / "streams.toml").write_text(text)
    done = subprocess.run(
        [*COMMAND, "run", "--config", "streams.toml"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    for told in ("has 3 mistakes", "threshold is 7", "live: unknown stall", "transport is 'smoke'"):
        assert told in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["rtsp://h/x", "rtsp://h/y", "--out", "a.mp4"], "a.mp4: with several inputs targets hold {name}"),
        (["rtsp://h/x", "--metrics", "here"], "metrics 'here', expected PORT or HOST:PORT"),
        (["rtsp://h/x", "--stall", "0"], "stall_seconds is 0.0, expected a number from 0.1 to 300"),
        (["clip.mp4", "--transport", "udp"], "transport: for live streams only, and no input is one"),
        ([], "no input: name videos"),
        (["rtsp://h/x", "clip.mp4", "--out", "{name}.mp4"], "clip.mp4 is an input and an output"),
        (["rtsp://h/x", "--out", "a.jsonl", "--records", "./a.jsonl"], "the same output is named twice: ./a.jsonl"),
        (
            ["rtsp://h/x", "--out", "rtsp://u:hush@o/{name}", "--out", "rtsp://u:hush@o/h"],
            "named twice: rtsp://***@o/h",
        ),
        (["rtsp://h/x", "--out", "mqtt://broker"], "an MQTT output is mqtt://[user:password@]host[:port]/topic"),
    ],
)
def test_what_does_not_go_together_is_refused(model, tmp_path, words, told):
    done = subprocess.run(
        [*COMMAND, "run", *words, "--model", str(model)], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode != 0
    assert told in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [("run", "--metrics", "0"), ("run",), ("monitor",)])
@pytest.mark.parametrize(
    ("text", "told"), [(None, "cannot read the settings file s.toml"), ("[[stream", "s.toml is not TOML")]
)
def test_a_file_of_streams_that_cannot_be_read_is_told_as_that(tmp_path, command, text, told):
    if text is not None:
        (tmp_path / "s.toml").write_text(text)
    done = subprocess.run(
        [*COMMAND, *command, "--config", "s.toml"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_streams_of_the_command_line_that_fail_for_good_end_it(model, tmp_path):
    words = [f"rtsp://me:secret@127.0.0.1:{free_port()}/x", "--max-reconnects", "1", "--model", str(model)]
    done = subprocess.run([*COMMAND, "run", *words], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "given up after 1 reconnects" in done.stderr
    assert "secret" not in done.stderr


def test_scoring_a_live_stream_is_refused():
    words = ["score", "rtsp://me:secret@h/x"]
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "rtsp://***@h/x is a video; use: streamfilter run" in done.stderr
