"""A small server of one's own: what it listens at, and that it neither hangs nor fills up."""

import logging
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from unittest.mock import ANY

import pytest

from streamfilter import web
from streamfilter.errors import ConfigError
from streamfilter.serving import Server
from streamfilter.web import Listener, is_loopback, parse_listen
from tests.live_servers import wait_until


def hello(environ, start):
    start("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def ask(listener: Listener | Server, path: str = "/") -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{listener.port}{path}", timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def answering() -> int:
    return sum(thread.name == "answer" for thread in threading.enumerate())


def connect(listener: Listener | Server, words: bytes = b"GET / HTTP/1.0\r\n\r\n") -> socket.socket:
    client = socket.create_connection(("127.0.0.1", listener.port), timeout=10)
    client.sendall(words)
    return client


def answer_to(listener: Listener | Server, method: str, path: str) -> tuple[str, dict[str, str], bytes]:
    """Status, headers and all that is sent after them."""
    with (
        closing(connect(listener, f"{method} {path} HTTP/1.0\r\n\r\n".encode())) as client,
        client.makefile("rb") as sent,
    ):
        head, _, body = sent.read().partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    return status, dict(line.split(": ", 1) for line in lines), body


def trickle(client: socket.socket) -> None:
    """Send a byte now and then, for 20 seconds."""
    for _ in range(400):
        client.sendall(b"X")
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("9090", ("127.0.0.1", 9090)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        ("host.example:1", ("host.example", 1)),
        ("[::1]:9090", ("::1", 9090)),
        (":0", ("127.0.0.1", 0)),
    ],
)
def test_where_to_listen_is_read(text, found):
    assert parse_listen(text, "metrics") == found


@pytest.mark.parametrize("text", ["", "here", "1:2:x", "65536", "-1", "٣", "9090 "])
def test_where_to_listen_is_refused(text):
    with pytest.raises(ConfigError, match=r"monitor .*, expected PORT or HOST:PORT"):
        parse_listen(text, "monitor")


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("LocalHost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.0.2", False),
        ("localhost.example", False),
    ],
)
def test_only_this_machine_reaches_the_loopback(host, is_local):
    assert is_loopback(host) is is_local


def test_a_port_that_is_taken_is_told():
    listener = Listener(hello, 0, "127.0.0.1", "one")
    with pytest.raises(ConfigError, match=rf"cannot listen on 127.0.0.1:{listener.port} .*choose another port"):
        Listener(hello, listener.port, "127.0.0.1", "two")
    assert ask(listener) == (200, b"hello")
    listener.close()


def test_it_listens_at_version_6_addresses():
    try:
        listener = Listener(hello, 0, "::1", "six")
    except ConfigError:
        pytest.skip("this machine has no IPv6 loopback")
    with urllib.request.urlopen(f"http://[::1]:{listener.port}/", timeout=5) as answer:
        assert answer.read() == b"hello"
    listener.close()


def test_closing_ends_answers_that_go_on_for_ever():
    def endless(environ, start) -> Iterator[bytes]:
        start("200 OK", [("Content-Type", "text/plain")])
        while True:
            time.sleep(0.01)
            yield b"more\n"

    listener = Listener(endless, 0, "127.0.0.1", "endless")
    reading, idle = connect(listener), connect(listener, b"")
    assert reading.recv(5)
    wait_until(lambda: answering() == 2)
    started = time.monotonic()
    listener.close()
    assert time.monotonic() - started < 8
    assert answering() == 0
    for client in (reading, idle):
        client.close()


def test_who_takes_nothing_is_dropped():
    closed = threading.Event()

    class Flood:
        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield bytes(1_000_000)

        def close(self) -> None:
            closed.set()

    def flood(environ, start) -> Flood:
        start("200 OK", [("Content-Type", "text/plain")])
        return Flood()

    listener = Listener(flood, 0, "127.0.0.1", "flood", timeout_seconds=0.3)
    lazy, silent = connect(listener), connect(listener, b"GET")
    assert closed.wait(20)
    wait_until(lambda: answering() == 0, 20, "both to be dropped")
    lazy.close()
    silent.close()
    listener.close()


def test_who_sends_a_byte_now_and_then_is_dropped():
    listener = Listener(hello, 0, "127.0.0.1", "slow", timeout_seconds=1.0)
    with closing(connect(listener, b"GET / HTTP/1.0\r\n")) as slow:
        with pytest.raises(ConnectionError):
            trickle(slow)
        wait_until(lambda: answering() == 0, 20, "it to be dropped")
    listener.close()


def test_the_number_of_connections_is_bounded(monkeypatch):
    monkeypatch.setattr(web, "MOST_CONNECTIONS", 2)
    go_on = threading.Event()

    def slow(environ, start):
        go_on.wait(20)
        return hello(environ, start)

    listener = Listener(slow, 0, "127.0.0.1", "busy")
    held = [connect(listener) for _ in range(2)]
    wait_until(lambda: answering() == 2 and not listener._server._asking)
    with closing(connect(listener, b"")) as refused:
        assert refused.recv(1) == b""
    go_on.set()
    for client in held:
        assert client.recv(12) == b"HTTP/1.0 200"
        client.close()
    wait_until(lambda: answering() == 0)
    assert ask(listener) == (200, b"hello")
    listener.close()


def test_connections_that_ask_nothing_make_room_for_those_that_do(monkeypatch, caplog):
    monkeypatch.setattr(web, "MOST_CONNECTIONS", 2)
    listener = Listener(hello, 0, "127.0.0.1", "crowded")
    idle = [connect(listener, b"GE") for _ in range(6)]
    assert ask(listener) == (200, b"hello")
    wait_until(lambda: answering() <= 2)
    for client in idle:
        client.close()
    listener.close()
    assert caplog.text.count("more than 2 connections at once; turned away: 1") == 1
    assert caplog.text.count("turned away") == 1


def test_a_fault_of_the_application_is_logged_and_told_as_such(caplog, capfd):
    def faulty(environ, start):
        if environ["PATH_INFO"] == "/bad":
            raise ValueError("secret thing")
        return hello(environ, start)

    listener = Listener(faulty, 0, "127.0.0.1", "faulty")
    with caplog.at_level(logging.ERROR):
        assert ask(listener, "/bad") == (500, b"this went wrong; the log tells why\n")
    assert "answering /bad failed" in caplog.text
    assert ask(listener) == (200, b"hello")
    connect(listener, b"nonsense\r\n\r\n").close()
    listener.close()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("path", "status"), [("/healthz", "503 Service Unavailable"), ("/metrics", "200 OK"), ("/x", "404 Not Found")]
)
def test_head_is_get_without_the_body(path, status):
    with Server(lambda: [], 0) as server:
        told, headers, body = answer_to(server, "GET", path)
        assert told == f"HTTP/1.0 {status}"
        assert answer_to(server, "HEAD", path) == (told, {**headers, "Date": ANY}, b"")
    assert headers["Content-Length"] == str(len(body))
    assert body
