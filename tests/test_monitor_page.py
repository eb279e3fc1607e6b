"""The monitor's page in a real browser, beside a real camera: what it shows as streams come, go and come back."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from streamfilter.frame import Decision, Frame, Reason, StreamEvent
from streamfilter.metrics import StreamMeter
from streamfilter.monitor import Board, Monitor
from tests.browser import Browser, chromium, need_chromium
from tests.live_servers import RtspServer, free_port, need_gstreamer, wait_until
from tests.media import moving_pictures, write_video
from tests.models import brightness_model

COMMAND = [sys.executable, "-m", "streamfilter"]
READ = "Number(document.querySelector('.total')?.dataset.read ?? 0)"
STATE = "document.querySelector('.state')?.textContent"
LINK = "document.getElementById('link').dataset.link"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return brightness_model(tmp_path_factory.mktemp("model") / "bright.onnx")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    need_chromium()
    with chromium() as one:
        yield one


@contextmanager
def running(folder: Path, *words: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """The command, its words on standard error kept in `said.txt`."""
    with (folder / "said.txt").open("w") as said:
        process = subprocess.Popen([*COMMAND, *words], cwd=folder, stderr=said, env={**os.environ, **variables})
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def said(folder: Path) -> str:
    return (folder / "said.txt").read_text()


def answer(address: str, **headers: str) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=5) as told:
            return int(told.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0


def own_address() -> str:
    """An address of this machine that is not the loopback, where it has one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def complaints(browser: Browser) -> list[str]:
    """What the console says, but for lines of loads that failed: the server is killed on purpose."""
    return [line for line in browser.console_errors() if "Failed to load resource" not in line and "ERR_" not in line]


def test_a_live_stream_is_shown_and_its_end_and_return_survived(model, browser, tmp_path):
    need_gstreamer()
    port = free_port()
    words = ["run", "", "--monitor", str(port), "--records", "cam.jsonl", "--model", str(model)]
    with RtspServer("--pattern", "blink", "--gop", "10") as camera:
        words[1] = camera.url
        with running(tmp_path, *words) as process:
            wait_until(lambda: answer(f"http://127.0.0.1:{port}/") == 200, 60, "the page")
            browser.open(f"http://127.0.0.1:{port}/")
            browser.js("window.isTheSame = true")
            browser.wait_for(f"{STATE} === 'playing' && {READ} > 10", 60)
            before = browser.js(f"return {READ}")
            browser.wait_for(f"{READ} > {before} + 20", 30)
            browser.wait_for("document.querySelector('.shot img')?.naturalWidth === 320", 30)
            assert "low utility" in browser.js("return document.querySelector('.shot').textContent")
            assert browser.console_errors() == []
            assert {address.split("/")[2] for address in browser.network_requests()} == {f"127.0.0.1:{port}"}

            camera.kill()
            browser.wait_for(f"{STATE} === 'waiting'", 30)
            assert "refuses the connection" in browser.js("return document.querySelector('.detail').textContent")
            browser.wait_for("document.getElementById('announcement').textContent.includes(': waiting')")
            stopped = browser.js(f"return {READ}")
            camera.start()
            browser.wait_for(f"{STATE} === 'playing' && {READ} > {stopped} + 10", 60)
            assert browser.js("return document.querySelector('[data-figure=reconnects]').textContent.trim()") == "1"

            process.send_signal(signal.SIGTERM)
            started = time.monotonic()
            assert process.wait(20) == 128 + signal.SIGTERM
            assert time.monotonic() - started < 6
            browser.wait_for(f"{LINK} === 'lost'", 20)
            assert "trying again" in browser.js("return document.getElementById('notice').textContent")
        with running(tmp_path, *words):
            browser.wait_for(f"{LINK} === 'live' && {STATE} === 'playing' && {READ} > 10", 60)
            assert browser.js("return window.isTheSame") is True
            assert browser.js("return document.querySelectorAll('.card').length") == 1
    assert complaints(browser) == []


def test_elsewhere_the_page_opens_with_its_token_only(model, browser, tmp_path):
    port, clip = free_port(), write_video(tmp_path / "clip.mp4", moving_pictures(5))
    words = ["monitor", str(clip), "--port", f"0.0.0.0:{port}", "--model", str(model)]
    with running(tmp_path, *words):
        wait_until(lambda: "?token=" in said(tmp_path), 60, "the token")
        token = said(tmp_path).partition("?token=")[2].split()[0]
        for host in {"127.0.0.1", own_address()}:
            page = f"http://{host}:{port}/"
            assert [answer(page + path) for path in ("", "events", "page.js", "?token=wrong")] == [401] * 4
            assert answer(page, Authorization=f"Bearer {token}") == 200
        browser.open(f"http://127.0.0.1:{port}/")
        assert browser.js("return document.querySelectorAll('.card, #streams').length") == 0
        browser.find("input[name=token]").send_keys(token)
        browser.press("ENTER")
        browser.wait_for(f"location.search === '' && {LINK} === 'live'")
        browser.wait_for(f"{STATE} === 'ended' && {READ} === 5")
        assert browser.js("return document.cookie") == ""
    browser.wait_for(f"{LINK} === 'lost'")
    with running(tmp_path, *words):
        browser.wait_for("document.getElementById('notice').textContent.includes('token is not valid any more')", 60)
    assert said(tmp_path).count(token) == 0
    assert complaints(browser) == []


def test_a_token_of_ones_own_is_asked_for_and_not_told(model, tmp_path):
    port, token = free_port(), "correct horse battery"
    words = ["-v", "monitor", "rtsp://127.0.0.1:9/x", "--model", str(model), "--port", str(port)]
    with running(tmp_path, *words, STREAMFILTER_MONITOR_TOKEN=token) as process:
        page = f"http://127.0.0.1:{port}/events"
        wait_until(lambda: answer(page) == 401, 60, "the refusal")
        assert answer(page, Authorization=f"Bearer {token}") == 200
        assert answer(page, Authorization=f"Bearer {token}", Host="evil.example") == 403
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 128 + signal.SIGINT
    assert token not in said(tmp_path)
    assert f"monitor: http://127.0.0.1:{port}/\n" in said(tmp_path)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["monitor"], "no input: name live streams or videos"),
        (["monitor", "rtsp://h/x", "--port", "there"], "monitor 'there', expected PORT or HOST:PORT"),
        (["monitor", "rtsp://h/x", "--token", "short"], "the monitor's token: expected at least 12 ASCII characters"),
        (["run", "rtsp://h/x", "--monitor", "0.0.0.0:1x"], "monitor '0.0.0.0:1x', expected PORT or HOST:PORT"),
        (["run", "clip.mp4", "--monitor", "8750"], "monitor: for live streams only, and no input is one"),
        (["monitor", "none.mp4", "--port", "0"], "none.mp4"),
        (["monitor", "rtsp://h/x", "--port", "no-such-host.invalid:1"], "cannot listen on no-such-host.invalid:1"),
    ],
)
def test_what_does_not_go_is_refused_in_a_line(model, tmp_path, words, told):
    done = subprocess.run(
        [*COMMAND, *words, "--model", str(model)], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode in (1, 2)
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_of_streams_is_watched_and_its_targets_left_alone(model, tmp_path):
    clip = write_video(tmp_path / "clip.mp4", moving_pictures(5))
    lines = f'model = "{model}"\n[[stream]]\nname = "a"\nuri = "{clip}"\nout = "kept.mp4"\nrecords = "a.jsonl"\n'
    (tmp_path / "streams.toml").write_text(lines)
    port = free_port()
    with running(tmp_path, "-v", "monitor", "--config", "streams.toml", "--port", str(port)) as process:
        wait_until(lambda: "a: removed" in said(tmp_path), 60, "the clip's end")
        assert answer(f"http://127.0.0.1:{port}/") == 200
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    assert "5 frames read" in said(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"clip.mp4", "streams.toml", "said.txt"}


class Show:
    """A page of made-up streams."""

    def __init__(self, board: Board) -> None:
        self.board, self.meters = board, {}

    def add(self, name: str, state: str = "playing", detail: str = "") -> None:
        self.meters[name] = StreamMeter(name, f"rtsp://***@{name}/x", {"a": 0.5, "b": 0.7}, self.board)
        self.board.heard(StreamEvent(name, "added", ""))
        self.meters[name].heard(StreamEvent(name, state, detail))

    def feed(self, name: str, keep: bool, utility: float, tainted: bool = False) -> None:
        reason = Reason.TAINTED if tainted else Reason.USEFUL if keep else Reason.LOW_UTILITY
        decision = Decision(keep, reason, {"a": utility, "b": utility / 2})
        frame = Frame(name, 3, array=np.full((90, 160, 3), 120, np.uint8), arrived_seconds=time.monotonic())
        self.meters[name].looked([frame], [decision], tainted, time.monotonic())
        self.meters[name].count(frame, decision, time.monotonic())

    def statuses(self) -> list:
        return [meter.status(0, 0) for meter in self.meters.values()]


@contextmanager
def showing(browser: Browser) -> Iterator[Show]:
    with Board({"model": "m", "version": "0"}) as board:
        show = Show(board)
        with Monitor(board, show.statuses, 0) as monitor:
            browser.open(monitor.address)
            browser.wait_for(f"{LINK} === 'live'")
            yield show


def test_names_and_words_of_streams_are_text_and_never_markup(browser):
    evil = "<img src=x onerror=window.hit=1>"
    with showing(browser) as show:
        before = len(browser.console_errors())
        show.add(evil, "waiting", evil)
        show.board.heard(StreamEvent(evil, "waiting", evil))
        browser.wait_for(f"{STATE} === 'waiting'")
        assert browser.js("return document.querySelector('h2').textContent") == evil
        assert browser.js("return document.querySelector('.events').textContent.includes('onerror')")
        assert browser.js("return window.hit ?? document.querySelectorAll('.card img').length") == 0
        assert browser.console_errors()[before:] == []


def colours(picture: np.ndarray) -> set[tuple[int, ...]]:
    return set(map(tuple, (picture[::2, ::2].reshape(-1, 3) // 32).tolist()))


def test_the_timeline_is_drawn_and_told(browser):
    browser.prefer("light")
    with showing(browser) as show:
        show.add("gate")
        browser.wait_for("document.querySelector('canvas')")
        blank = colours(browser.picture("canvas"))
        for keep, utility in ((True, 0.9), (False, 0.2), (False, 0.4)):
            show.feed("gate", keep, utility, tainted=not keep)
        browser.wait_for(f"{READ} === 3")
        drawn = colours(browser.picture("canvas"))
        kept, dropped, tainted = (0x2F, 0x74, 0xC8), (0xD9, 0x73, 0x0D), (0xF6, 0xE3, 0xC5)
        for colour in (kept, dropped, tainted):
            assert tuple(part // 32 for part in colour) in drawn - blank
        label = browser.js("return document.querySelector('canvas').ariaLabel")
        assert label.startswith("Score over the last 5 minutes; latest: a 0.50, threshold 0.5; b 0.25, threshold 0.7")
        figures = browser.js("return document.querySelector('.figures').textContent")
        assert "/s, 33 %" in figures
        assert "/s, 67 %" in figures
        rows = browser.js("return [...document.querySelectorAll('.reasons li')].map(row => row.textContent)")
        assert rows == ["dropped: tainted2", "kept: useful1"]


def test_a_dropped_frame_is_opened_and_closed_by_the_keyboard(browser):
    with showing(browser) as show:
        show.add("gate")
        show.feed("gate", False, 0.2)
        browser.wait_for("document.querySelector('.shot img')?.complete")
        browser.js("document.getElementById('pause').focus()")
        browser.press("TAB")
        browser.wait_for("document.activeElement.matches('.shot, .shots, summary')")
        browser.js("document.querySelector('.shot').focus()")
        browser.press("ENTER")
        browser.wait_for("document.getElementById('viewer').open")
        told = browser.js("return document.getElementById('viewer').textContent")
        for part in ("gate, frame 3", "low utility", "a 0.20, b 0.10", "a 0.50, b 0.70"):
            assert part in told
        browser.press("ESCAPE")
        browser.wait_for("!document.getElementById('viewer').open && document.activeElement.matches('.shot')")
        show.feed("gate", True, 0.9)
        browser.wait_for(f"{READ} === 2")
        assert browser.js("return document.activeElement.matches('.shot')")


def test_updates_can_be_paused_and_go_on_without_a_gap(browser):
    with showing(browser) as show:
        show.add("gate")
        show.feed("gate", True, 0.9)
        browser.wait_for(f"{READ} === 1")
        browser.click("#pause")
        show.feed("gate", True, 0.9)
        seen = browser.js("return performance.now()")
        browser.wait_for(f"performance.now() > {seen} + 2500")
        assert browser.js(f"return {READ}") == 1
        browser.click("#pause")
        browser.wait_for(f"{READ} === 2")


def test_it_fits_narrow_windows_in_light_and_dark(browser):
    with showing(browser) as show:
        show.add("gate-with-a-very-long-name-" + "x" * 60, "waiting", "y" * 200)
        browser.wait_for(f"{STATE} === 'waiting'")
        try:
            for scheme, is_dark in (("dark", True), ("light", False)):
                browser.prefer(scheme)
                browser.resize(360, 700)
                assert bool(browser.picture().mean() < 100) is is_dark
                assert browser.js("return document.documentElement.scrollWidth") <= 360
        finally:
            browser.resize(1280, 900)
