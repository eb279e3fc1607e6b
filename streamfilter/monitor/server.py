"""The page over HTTP: its files, what it shows as server-sent events, small pictures."""

from __future__ import annotations

import itertools
import json
import logging
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.resources import files
from types import TracebackType
from typing import TYPE_CHECKING, Self

from streamfilter.metrics import StreamStatus
from streamfilter.monitor.access import WRONG, Access, Verdict
from streamfilter.monitor.board import Board
from streamfilter.web import LOOPBACK, Listener

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

log = logging.getLogger(__name__)

EVERY_SECONDS = 1.0
MOST_READERS = 16
RETRY_MS = 2000
NEVER = -2
OPEN_PATHS = ("/page.css", "/icon.svg")
"""What the page that asks for the token needs."""
TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
GUARDS = [
    (
        "Content-Security-Policy",
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
]

Statuses = Callable[[], Sequence[StreamStatus]]


class Monitor:
    """Serves the page until closed.

    Args:
        board: what it shows.
        statuses: gives the state of all streams.
        port: to listen on; 0 for any free one.
        host: to listen at; only this machine by default.
        token: asked for when not None.

    Raises:
        ConfigError: the port cannot be had, or other machines can reach the page and there is no token.
    """

    def __init__(
        self, board: Board, statuses: Statuses, port: int, host: str = LOOPBACK, token: str | None = None
    ) -> None:
        self._board, self._statuses = board, statuses
        self._changed = threading.Condition()
        self._ended = False
        self._turn, self._update = -1, b""
        self._pages = _pages()
        Access(host, port, token)
        self._listener = Listener(self._answer, port, host, "monitor")
        self.port: int = self._listener.port
        self._access = Access(host, self.port, token)
        self.address = f"http://{_reachable(host)}:{self.port}/"
        """Where a browser finds it."""
        self._thread = threading.Thread(target=self._tell, name="monitor updates", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Send every reader away and stop listening."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._listener.close()
        self._thread.join(2)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _tell(self) -> None:
        """Take turns until closed; one that fails is told and tried again."""
        for turn in itertools.count():
            try:
                self._take_turn(turn)
            except Exception:
                log.exception("the monitor page could not be brought up to date")
            with self._changed:
                if self._changed.wait_for(lambda: self._ended, EVERY_SECONDS):
                    return

    def _take_turn(self, turn: int) -> None:
        """Make a message for all readers; without any, only note how the streams are doing."""
        if not self._board.watchers:
            self._board.note(self._statuses())
            return
        update = self._message(is_whole=False)
        with self._changed:
            self._turn, self._update = turn, update
            self._changed.notify_all()

    def _message(self, is_whole: bool) -> bytes:
        told = json.dumps(self._board.message(self._statuses(), is_whole), separators=(",", ":"), allow_nan=False)
        return f"event: state\ndata: {told}\n\n".encode()

    def _answer(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        verdict = self._access.judge(environ)
        path = environ.get("PATH_INFO", "/")
        if not verdict.is_allowed and not (path in OPEN_PATHS and verdict.status.startswith("401")):
            return self._refuse(verdict, path, start)
        if path == "/events":
            return self._stream(start)
        if path.startswith("/shots/"):
            jpeg = self._board.jpeg(path.removeprefix("/shots/").removesuffix(".jpg"))
            if jpeg is not None:
                return _send(start, "200 OK", "image/jpeg", jpeg, ("Cache-Control", "private, max-age=3600, immutable"))
        if path in self._pages:
            return _send(start, "200 OK", *self._pages[path])
        return _send(start, "404 Not Found", "text/plain", b"there is no such page\n")

    def _refuse(self, verdict: Verdict, path: str, start: StartResponse) -> Iterable[bytes]:
        if verdict.cookie is not None:
            return _send(start, verdict.status, "text/plain", b"", ("Set-Cookie", verdict.cookie), ("Location", "./"))
        if verdict.status.startswith("401"):
            wanted = ("WWW-Authenticate", 'Bearer realm="streamfilter monitor"')
            if path == "/":
                kind, page = self._pages["/enter.html"]
                page = page.replace(b" hidden", b"") if verdict.told == WRONG else page
                return _send(start, verdict.status, kind, page, wanted)
            return _send(start, verdict.status, "text/plain", f"{verdict.told}\n".encode(), wanted)
        more = [("Allow", "GET")] if verdict.status.startswith("405") else []
        return _send(start, verdict.status, "text/plain", f"{verdict.told}\n".encode(), *more)

    def _stream(self, start: StartResponse) -> Iterable[bytes]:
        with self._changed:
            is_taken = not self._ended and self._board.watchers < MOST_READERS
            self._board.watchers += is_taken
        if not is_taken:
            told = f"{MOST_READERS} pages are open already; close one\n".encode()
            return _send(start, "503 Service Unavailable", "text/plain", told)
        start("200 OK", [*GUARDS, ("Content-Type", "text/event-stream; charset=utf-8"), ("Cache-Control", "no-store")])
        return _Reader(self)

    def leave(self) -> None:
        """A reader went."""
        with self._changed:
            self._board.watchers -= 1

    def updates(self) -> Iterator[bytes]:
        """What one reader gets: all of it, then what is new every second; all of it again when it missed something.

        Nothing waits for a slow reader: it gets the newest message when it has taken the last one.
        """
        yield f"retry: {RETRY_MS}\n\n".encode()
        turn = NEVER
        while not self._ended:
            with self._changed:
                seen, (turn, update) = turn, (self._turn, self._update)
            yield update if turn == seen + 1 else self._message(is_whole=True)
            self._wait_past(turn)

    def _wait_past(self, turn: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._turn != turn)


class _Reader:
    """One reader's messages; it is counted until the server closes it, even if it never took one."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor, self._updates = monitor, monitor.updates()
        self._is_open = True

    def __iter__(self) -> Iterator[bytes]:
        return self._updates

    def close(self) -> None:
        """Called by the server once the answer has ended, however it did."""
        if self._is_open:
            self._is_open = False
            self._monitor.leave()


def _send(start: StartResponse, status: str, kind: str, body: bytes, *headers: tuple[str, str]) -> Iterable[bytes]:
    charset = "; charset=utf-8" if kind.startswith("text/") else ""
    cached = [] if any(name == "Cache-Control" for name, _ in headers) else [("Cache-Control", "no-store")]
    start(status, [*GUARDS, ("Content-Type", kind + charset), *cached, *headers])
    return [body]


def _pages() -> dict[str, tuple[str, bytes]]:
    """The files of the page by path: type and content."""
    found = {}
    for file in files("streamfilter.monitor").joinpath("page").iterdir():
        kind = TYPES.get(file.name.rpartition(".")[2])
        if kind is not None:
            found[f"/{file.name}"] = (kind, file.read_bytes())
    return {"/": found["/index.html"], **found}


def _reachable(host: str) -> str:
    """How a browser names a host that is listened at."""
    if host in ("0.0.0.0", "::", ""):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host
