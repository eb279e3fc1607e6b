"""The monitor's page over HTTP: who may see it, what it is told, and that it neither leaks nor hangs."""

import io
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from email.message import Message

import numpy as np
import pytest
from PIL import Image

from streamfilter.errors import ConfigError
from streamfilter.frame import Cause, Decision, Frame, Reason, StreamEvent
from streamfilter.metrics import StreamMeter, StreamStatus
from streamfilter.monitor import Board, Monitor, new_token
from streamfilter.monitor import board as board_room
from streamfilter.monitor import server as server_room
from streamfilter.monitor.access import Access
from streamfilter.monitor.pictures import small_jpeg
from streamfilter.sources import open_source
from tests.live_servers import wait_until
from tests.media import moving_pictures, write_video

TOKEN = "a token for tests"
PICTURE = np.full((90, 640, 3), (200, 30, 30), np.uint8)
DROP = Decision(keep=False, reason=Reason.LOW_UTILITY, utility={"detection": 0.1}, cause=Cause.DARK)
KEEP = Decision(keep=True, reason=Reason.USEFUL, utility={"detection": 0.9})
WATCHED = Decision(keep=True, reason=Reason.SHADOW, utility={"detection": 0.1}, spared=Reason.LOW_UTILITY)


def status(name: str = "gate", uri: str = "rtsp://***@gate/x") -> StreamStatus:
    return StreamMeter(name, uri, {"detection": 0.5}).status(2, 1)


@contextmanager
def served(
    statuses: Callable[[], list[StreamStatus]] = lambda: [status()], host: str = "127.0.0.1", token: str | None = None
) -> Iterator[tuple[Board, Monitor]]:
    with Board({"model": "m", "version": "0"}) as board, Monitor(board, statuses, 0, host, token) as monitor:
        yield board, monitor


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def ask(monitor: Monitor, path: str = "/", method: str = "GET", **headers: str) -> tuple[int, Message, bytes]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(f"http://127.0.0.1:{monitor.port}{path}", method=method, headers=named)
    try:
        with urllib.request.build_opener(NoRedirect).open(request, timeout=10) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


class Events:
    """A reader of the server-sent events."""

    def __init__(self, monitor: Monitor) -> None:
        self._answer = urllib.request.urlopen(f"http://127.0.0.1:{monitor.port}/events", timeout=10)
        self.headers = self._answer.headers

    def next(self) -> dict:
        for line in self._answer:
            if line.startswith(b"data: "):
                return json.loads(line.removeprefix(b"data: "))
        raise EOFError

    def close(self) -> None:
        self._answer.close()


def drop(board: Board, picture: np.ndarray = PICTURE, decision: Decision = DROP, name: str = "gate") -> None:
    board.looked(name, [Frame("cam", 7, 1.25, array=picture)], [decision], time.monotonic())


def shots(board: Board, name: str = "gate") -> list[dict]:
    streams = board.message([status(name)], is_whole=True)["streams"]
    return next(stream["shots"] for stream in streams if stream["name"] == name)


def test_a_reader_gets_all_of_it_and_then_what_is_new():
    with Board({"model": "m"}, lambda: 1000.0) as board, Monitor(board, lambda: [status()], 0) as monitor:
        for second in (800, 999):
            board.looked("gate", [Frame("cam", 0, array=PICTURE)], [KEEP], second)
        with closing(Events(monitor)) as events:
            assert events.headers["Content-Type"] == "text/event-stream; charset=utf-8"
            assert events.headers["Cache-Control"] == "no-store"
            first = events.next()
            while (later := events.next())["is_whole"]:
                pass
    assert first["is_whole"]
    (stream,) = first["streams"]
    assert stream["points"] == [[800, {"detection": 0.9}, 0, 0, False], [999, {"detection": 0.9}, 0, 0, False]]
    assert [one["points"] for one in later["streams"]] == [stream["points"][1:]]
    assert (first["boot"], first["about"]) == (board.boot, {"model": "m"})
    assert stream["state"] == "starting"
    assert (stream["waiting_frames"], stream["reconnects"], stream["thresholds"]) == (2, 1, {"detection": 0.5})


def test_pictures_and_events_are_told_when_there_are_new_ones():
    with Board({}) as board:

        def told(is_whole: bool) -> bool:
            (stream,) = board.message([status()], is_whole)["streams"]
            return "shots" in stream and "events" in stream

        assert [told(False), told(False), told(True), told(False)] == [True, False, True, False]
        board.heard(StreamEvent("gate", "waiting", ""))
        assert [told(True), told(False), told(False)] == [True, True, False]
        drop(board)
        wait_until(lambda: shots(board), 10, "the picture")
        assert [told(False), told(False)] == [True, False]


def test_no_password_leaves_by_the_page():
    with served(lambda: [status(uri="rtsp://me:hunter2@gate/x?token=hunter2")]) as (board, monitor):
        board.heard(StreamEvent("gate", "failed", "rtsp://me:hunter2@gate/x refuses"))
        with closing(Events(monitor)) as events:
            told = json.dumps(events.next())
    assert "hunter2" not in told
    assert "rtsp://***@gate/x refuses" in told


def test_a_dropped_frame_is_shown_small_and_a_kept_one_is_not():
    with served() as (board, monitor):
        drop(board, decision=KEEP)
        drop(board)
        wait_until(lambda: shots(board), 10, "the picture")
        (shot,) = shots(board)
        answer, headers, body = ask(monitor, f"/shots/{shot['id']}.jpg")
        assert ask(monitor, "/shots/other.jpg")[0] == 404
    assert (shot["index"], shot["pts_seconds"], shot["reason"], shot["cause"]) == (7, 1.25, "low_utility", "dark")
    assert shot["is_kept"] is False
    assert (answer, headers["Content-Type"]) == (200, "image/jpeg")
    small = Image.open(io.BytesIO(body))
    assert small.size == (320, 45)
    assert np.abs(np.asarray(small, int) - PICTURE[0, 0]).max() < 12


def test_what_shadow_mode_let_pass_is_shown_as_such():
    with Board({}) as board:
        drop(board, decision=WATCHED)
        wait_until(lambda: shots(board), 10, "the picture")
        assert [(shot["reason"], shot["is_kept"]) for shot in shots(board)] == [("low_utility", True)]


@pytest.mark.parametrize(("watchers", "pause"), [(0, 10.0), (1, 1.0)])
def test_pictures_are_made_now_and_then(watchers, pause):
    with Board({}) as board:
        board.watchers = watchers
        for step, count in ((0.0, 1), (pause * 0.9, 1), (pause * 1.1, 2)):
            frame = Frame("cam", 0, array=PICTURE)
            board.looked("gate", [frame, frame], [DROP, DROP], 1000.0 + step)
            wait_until(lambda count=count: len(shots(board)) >= count, 10, "the picture")
            time.sleep(0.05)
            assert len(shots(board)) == count


def test_pictures_are_made_of_decoders_frames_and_turned_upright(tmp_path):
    clip = write_video(tmp_path / "clip.mp4", moving_pictures(3, 360, 640))
    frame = next(iter(open_source(str(clip))))
    before = frame.native.to_ndarray(format="rgb24")
    small = Image.open(io.BytesIO(small_jpeg(frame)))
    assert small.size == (320, 180)
    assert np.abs(np.asarray(small, float) - before.reshape(180, 2, 320, 2, 3).mean((1, 3))).mean() < 8
    turned = Frame("cam", 0, native=frame.native, rotation_degrees=90, is_mirrored=True)
    upright = Image.open(io.BytesIO(small_jpeg(turned)))
    assert upright.size == (180, 320)
    assert np.abs(np.asarray(upright, float) - np.rot90(np.asarray(small, float))[:, ::-1]).mean() < 8


def test_a_picture_that_cannot_be_made_is_no_end_of_pictures(caplog):
    bad = Frame("cam", 5, array=PICTURE)
    object.__setattr__(bad, "array", None)
    with Board({}) as board:
        board.looked("gate", [bad], [DROP], 1000.0)
        wait_until(lambda: "no small picture of frame 5: PictureError" in caplog.text, 10, "the warning")
        board.looked("gate", [Frame("cam", 6, array=PICTURE)], [DROP], 1020.0)
        wait_until(lambda: shots(board), 10, "the picture of the sound frame")
        assert [shot["index"] for shot in shots(board)] == [6]


@pytest.mark.parametrize("nonsense", [float("nan"), float("inf")])
def test_a_model_that_answers_nonsense_does_not_stop_the_page(nonsense):
    with served() as (board, monitor):
        drop(board, decision=Decision(keep=False, reason=Reason.LOW_UTILITY, utility={"detection": nonsense}))
        wait_until(lambda: shots(board), 10, "the picture")
        board.looked("gate", [Frame("cam", 8, array=PICTURE)], [KEEP], time.monotonic())
        with closing(Events(monitor)) as events:
            (stream,) = events.next()["streams"]
    assert stream["shots"][0]["utility"] is None
    assert {"detection": 0.9} in [point[1] for point in stream["points"]]


def test_a_fault_is_logged_and_the_page_goes_on(caplog):
    faulty = threading.Event()

    def statuses() -> list[StreamStatus]:
        if faulty.is_set():
            raise RuntimeError("a bug")
        return [status()]

    with served(statuses) as (_, monitor), closing(Events(monitor)) as events:
        events.next()
        faulty.set()
        wait_until(lambda: "a bug" in caplog.text, 20, "the log line")
        faulty.clear()
        assert events.next()["streams"]


def test_streams_that_end_stay_for_a_while_and_are_forgotten(monkeypatch):
    monkeypatch.setattr(board_room, "MOST_GONE", 2)
    seconds = [100.0]
    with Board({}, clock=lambda: seconds[0]) as board:
        running = [status(name) for name in "abcd"]
        for one in running:
            board.heard(StreamEvent(one.name, "added", ""))
            board.counted(one.name, Frame("cam", 0, array=PICTURE), KEEP, 99.0)
        board.message(running, is_whole=False)
        board.heard(StreamEvent("b", "failed", "the cable was cut"))
        seconds[0] += 1
        told = board.message(running[2:], is_whole=False)["streams"]
        assert [(one["name"], one["state"], one["detail"]) for one in told] == [
            ("c", "starting", ""),
            ("d", "starting", ""),
            ("a", "ended", ""),
            ("b", "failed", "the cable was cut"),
        ]
        assert [one["frames_read"] for one in told] == [1, 1, 1, 1]
        assert {one["uri"] for one in told} == {"rtsp://***@gate/x"}
        board.heard(StreamEvent("b", "added", ""))
        assert board.message(running[1:], is_whole=False)["streams"][0]["state"] == "starting"
        seconds[0] += 1
        assert len(board.message([], is_whole=False)["streams"]) == 2
        seconds[0] += board_room.GONE_SECONDS + 1
        assert board.message([], is_whole=False)["streams"] == []


def test_a_stream_that_went_before_anybody_looked_is_known():
    running = [status("gate")]
    with served(lambda: running) as (board, monitor):
        for name in ("gate", "brief"):
            board.heard(StreamEvent(name, "added", f"rtsp://***@{name}/y"))
        wait_until(lambda: "gate" in board._last, 10, "a turn")
        running.clear()
        with closing(Events(monitor)) as events:
            told = {stream["name"]: stream for stream in events.next()["streams"]}
    assert (told["gate"]["uri"], told["gate"]["thresholds"]) == ("rtsp://***@gate/x", {"detection": 0.5})
    assert (told["brief"]["uri"], told["brief"]["state"]) == ("rtsp://***@brief/y", "ended")


def test_a_bounded_number_may_read_and_those_who_left_make_room(monkeypatch):
    monkeypatch.setattr(server_room, "MOST_READERS", 2)
    with served() as (board, monitor):
        readers = [Events(monitor) for _ in range(2)]
        for reader in readers:
            reader.next()
        answer, _, body = ask(monitor, "/events")
        assert (answer, body) == (503, b"2 pages are open already; close one\n")
        readers.pop().close()
        wait_until(lambda: board.watchers == 1, 20, "the reader that went to be noticed")
        readers.append(Events(monitor))
        readers[-1].next()
        for reader in readers:
            reader.close()


def test_closing_sends_readers_away_at_once():
    before = set(threading.enumerate())
    with served() as (_, monitor):
        lazy = socket.create_connection(("127.0.0.1", monitor.port), timeout=10)
        lazy.sendall(b"GET /events HTTP/1.0\r\nHost: localhost\r\n\r\n")
        events = Events(monitor)
        events.next()
        started = time.monotonic()
    assert time.monotonic() - started < 8
    assert set(threading.enumerate()) <= before
    with pytest.raises((EOFError, OSError)):
        [events.next() for _ in range(5)]
    events.close()
    lazy.close()


def test_every_answer_is_guarded():
    with served(token=TOKEN) as (_, monitor):
        for path, headers in (("/", {}), ("/", {"Authorization": f"Bearer {TOKEN}"}), ("/page.css", {}), ("/x", {})):
            _, told, _ = ask(monitor, path, **headers)
            assert told["Content-Security-Policy"].startswith("default-src 'self'; ")
            assert told["X-Content-Type-Options"] == "nosniff"
            assert told["Referrer-Policy"] == "no-referrer"
            assert told["Access-Control-Allow-Origin"] is None


def test_only_what_is_there_can_be_got_and_only_by_get():
    with served() as (_, monitor):
        for path in ("/", "/page.js", "/card.js", "/timeline.js", "/page.css", "/icon.svg"):
            assert ask(monitor, path)[0] == 200
        for path in ("/nothing", "/../server.py", "/page", "/shots/", "/%2e%2e/board.py"):
            assert ask(monitor, path)[0] == 404
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "HEAD"):
            answer, headers, _ = ask(monitor, "/", method)
            assert (answer, headers["Allow"]) == (405, "GET")
        with closing(socket.create_connection(("127.0.0.1", monitor.port), timeout=10)) as client:
            client.sendall(b"HEAD / HTTP/1.0\r\nHost: localhost\r\n\r\n")
            with client.makefile("rb") as sent:
                told = sent.read()
        assert told.startswith(b"HTTP/1.0 405 ")
        assert told.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("host", "answer"),
    [
        ("localhost", 200),
        ("localhost:1234", 200),
        ("127.0.0.1:8750", 200),
        ("[::1]:8750", 200),
        ("LOCALHOST", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example:80", 403),
        ("[::1].evil.example", 403),
        ("::1", 403),
        ("localhost:1:evil.example", 403),
        ("", 403),
    ],
)
def test_a_foreign_name_for_this_machine_is_refused(host, answer):
    with served() as (_, monitor):
        assert ask(monitor, "/", Host=host)[0] == answer
        assert ask(monitor, "/page.css", Host=host)[0] == answer


@pytest.mark.parametrize(
    ("site", "mode", "answer"),
    [
        ("none", "navigate", 200),
        ("same-origin", "cors", 200),
        ("cross-site", "navigate", 200),
        ("cross-site", "cors", 403),
        ("cross-site", "no-cors", 403),
        ("same-site", "no-cors", 403),
    ],
)
def test_pages_of_others_may_link_to_it_and_nothing_else(site, mode, answer):
    with served() as (_, monitor):
        assert ask(monitor, "/", Sec_Fetch_Site=site, Sec_Fetch_Mode=mode)[0] == answer


def test_elsewhere_nothing_is_told_without_the_token():
    with served(host="0.0.0.0", token=TOKEN) as (board, monitor):
        drop(board)
        wait_until(lambda: shots(board), 10, "the picture")
        paths = ["/", "/events", "/page.js", f"/shots/{shots(board)[0]['id']}.jpg", "/nothing"]
        wrong = [{}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}, {"Cookie": "a=b; =;;"},
                 {"Cookie": f"streamfilter-monitor-{monitor.port}={TOKEN}"}]  # fmt: skip
        for path in paths:
            for headers in wrong:
                answer, told, body = ask(monitor, path, **headers)
                assert answer == 401
                assert told["WWW-Authenticate"] == 'Bearer realm="streamfilter monitor"'
                assert b"gate" not in body
            assert ask(monitor, f"{path}?token=wrong%FF")[0] == 401
        assert b'type="password"' in ask(monitor, "/")[2]
        assert b"hidden>That was not the token" in ask(monitor, "/")[2]
        assert b'"wrong">That was not the token' in ask(monitor, "/?token=wrong")[2]
        assert ask(monitor, "/page.css")[0] == 200
        allowed = {"Authorization": f"Bearer {TOKEN}"}
        assert [ask(monitor, path, **allowed)[0] for path in paths if path != "/events"] == [200, 200, 200, 404]


def test_a_token_in_the_address_becomes_a_cookie_that_scripts_cannot_read():
    with served(host="0.0.0.0", token=TOKEN) as (_, monitor):
        answer, headers, _ = ask(monitor, f"/?token={urllib.request.quote(TOKEN)}")
        assert (answer, headers["Location"]) == (303, "./")
        value, *marks = headers["Set-Cookie"].split("; ")
        assert set(marks) == {"Path=/", "HttpOnly", "SameSite=Strict"}
        assert TOKEN not in headers["Set-Cookie"]
        assert ask(monitor, "/", Cookie=value)[0] == 200
        assert ask(monitor, "/", Cookie=value[:-1])[0] == 401


@pytest.mark.parametrize(
    "other", ['prefs={"a":1,"b":[2]}', "two words=1", "a[b]=1", "city=M\xfcnchen", "bare", "=", "", "a=b=c", 'a="b']
)
def test_the_cookie_counts_whatever_stands_beside_it(other):
    with served(host="0.0.0.0", token=TOKEN) as (_, monitor):
        value = ask(monitor, f"/?token={urllib.request.quote(TOKEN)}")[1]["Set-Cookie"].split(";")[0]
        for cookies in (f"{other}; {value}", f"{value}; {other}", f"{other};{value};{other}"):
            assert ask(monitor, "/", Cookie=cookies)[0] == 200
        assert ask(monitor, "/", Cookie=f"{other}; x{value}")[0] == 401


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.7.7", "host.example", ""])
def test_elsewhere_a_token_is_needed(host):
    with pytest.raises(ConfigError, match="it needs a token"):
        Access(host, 1, None)


@pytest.mark.parametrize("token", ["", "short", "elf chars..", "ein Schlüssel, lang", "with a\nline feed"])
def test_a_weak_token_is_refused(token):
    with pytest.raises(ConfigError, match="expected at least 12 ASCII characters"):
        Access("127.0.0.1", 1, token)


def test_new_tokens_are_long_and_differ():
    tokens = {new_token() for _ in range(20)}
    assert len(tokens) == 20
    assert min(map(len, tokens)) >= 32
