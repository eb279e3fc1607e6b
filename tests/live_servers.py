"""Real servers on this machine's loopback, for the tests of live streams: GStreamer's RTSP server and mosquitto."""

from __future__ import annotations

import functools
import os
import pwd
import random
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

import pytest

SYSTEM_PYTHON = "/usr/bin/python3"
RTSP_SCRIPT = Path(__file__).parent / "servers" / "rtsp_server.py"
GSTREAMER_PACKAGES = (
    "gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad "
    "gstreamer1.0-plugins-ugly gstreamer1.0-libav gstreamer1.0-rtsp python3-gi"
)
GSTREAMER_CHECK = """
import gi
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gst, GstRtspServer
Gst.init(None)
for name in ("x264enc", "rtph264pay", "h264parse", "jpegenc", "udpsrc"):
    assert Gst.ElementFactory.find(name), f"no {name}"
"""
START_SECONDS = 30.0
STOP_SECONDS = 10.0
# Under the range for outgoing connections (32768 and up): none of them takes the port of a server that is down.
PORTS = range(20_000, 30_000)


def free_port() -> int:
    """A TCP port of the loopback that nobody uses and that no outgoing connection will take."""
    for _ in range(100):
        port = int(random.choice(PORTS))
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"no free port in {PORTS}")


def wait_until(condition: Callable[[], object], seconds: float = 30.0, what: str = "") -> None:
    """Return as soon as a condition holds.

    Raises:
        TimeoutError: it does not hold within these seconds.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} s: {what or condition}")
        time.sleep(0.01)


def need_gstreamer() -> None:
    """Skip the test where GStreamer's RTSP server is not installed; fail it on the build server."""
    problem = _gstreamer_problem()
    if problem:
        missing(f"GStreamer's RTSP server does not run ({problem}): apt-get install {GSTREAMER_PACKAGES}")


def need_mosquitto() -> None:
    """Skip the test where mosquitto is not installed; fail it on the build server."""
    if _mosquitto() is None:
        missing("no mosquitto: apt-get install mosquitto")


@functools.cache
def _gstreamer_problem() -> str:
    try:
        subprocess.run([SYSTEM_PYTHON, "-c", GSTREAMER_CHECK], check=True, capture_output=True, text=True, timeout=120)
    except FileNotFoundError as error:
        return str(error)
    except subprocess.CalledProcessError as error:
        return error.stderr.strip().splitlines()[-1]
    return ""


def _mosquitto() -> str | None:
    return shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def missing(words: str) -> NoReturn:
    if os.environ.get("STREAMFILTER_CI"):
        pytest.fail(words)
    pytest.skip(words)


class Server:
    """A program that listens on a port of 127.0.0.1, started by `with` and gone after it.

    Args:
        port: where it listens; None = a free one. It stays the same when the server is started again.
    """

    def __init__(self, port: int | None = None) -> None:
        self.port = free_port() if port is None else port
        self._process: subprocess.Popen[str] | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="streamfilter-server-")
        self.folder = Path(self._folder.name)

    def command(self) -> list[str]:
        """What is run."""
        raise NotImplementedError

    def is_ready(self) -> bool:
        """Whether it listens by now."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def start(self) -> None:
        """Run it and wait until it listens.

        Raises:
            RuntimeError: it ended, or does not listen in time; the message holds what it said.
        """
        assert self._process is None, "it runs already"
        with self._said.open("w") as words:
            self._process = subprocess.Popen(self.command(), stdout=subprocess.PIPE, stderr=words, text=True)
        deadline = time.monotonic() + START_SECONDS
        while not self.is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"{self.command()[0]} does not listen: {self._said.read_text()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Ask it to end, and wait for that; nothing when it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, as a power cut would; nothing when it does not run."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Let it hold its connections without doing anything any more."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """End a freeze."""
        self._signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self._folder.cleanup()

    @property
    def _said(self) -> Path:
        return self.folder / "said.txt"

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)
        assert process.stdout is not None
        process.stdout.close()


class Script(Server):
    """A script beside these tests that prints "ready".

    Args:
        options: of the script, without `--port`.
        port: where it listens; None = a free one.
    """

    def __init__(self, *options: str, port: int | None = None) -> None:
        super().__init__(port)
        self.options = options

    def is_ready(self) -> bool:
        """Whether it said so."""
        assert self._process is not None
        assert self._process.stdout is not None
        return bool(select.select([self._process.stdout], [], [], 0)[0]) and "ready" in self._process.stdout.readline()


class RtspServer(Script):
    """GStreamer's RTSP server; options such as `--codec`, `h265`."""

    @property
    def url(self) -> str:
        """Its first stream."""
        return f"rtsp://127.0.0.1:{self.port}/cam"

    def command(self) -> list[str]:
        """The script, run by the system's Python."""
        return [SYSTEM_PYTHON, str(RTSP_SCRIPT), "--port", str(self.port), *self.options]


class Mosquitto(Server):
    """An MQTT broker. What it was told to keep for an absent subscriber outlives a kill.

    Args:
        account: `user:password` that it asks for; None = it takes anyone.
        port: where it listens; None = a free one.
    """

    def __init__(self, account: str | None = None, port: int | None = None) -> None:
        super().__init__(port)
        self._account = account

    def command(self) -> list[str]:
        """The broker with a configuration of its own."""
        program = _mosquitto()
        assert program is not None
        lines = [
            f"listener {self.port} 127.0.0.1",
            f"user {pwd.getpwuid(os.geteuid()).pw_name}",
            "persistence true",
            f"persistence_location {self.folder}/",
            "autosave_on_changes true",
            "autosave_interval 1",
            "max_queued_messages 0",
        ]
        if self._account is None:
            lines.append("allow_anonymous true")
        else:
            lines += ["allow_anonymous false", f"password_file {self._accounts(self._account)}"]
        settings = self.folder / "mosquitto.conf"
        settings.write_text("\n".join(lines) + "\n")
        return [program, "-c", str(settings)]

    def _accounts(self, account: str) -> Path:
        path = self.folder / "accounts"
        if not path.exists():
            path.write_text(account + "\n")
            path.chmod(0o600)
            subprocess.run(["mosquitto_passwd", "-U", str(path)], check=True, capture_output=True, timeout=30)
        return path
