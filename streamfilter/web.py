"""A WSGI application on a port: a thread a connection, a bounded number of them, and none left once it is closed."""

from __future__ import annotations

import io
import ipaddress
import logging
import socket
import socketserver
import threading
import time
from typing import TYPE_CHECKING, Any, ClassVar
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from streamfilter.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
MOST_CONNECTIONS = 64
TIMEOUT_SECONDS = 10.0
"""Longest wait for a whole request, and for the other side to take a piece of the answer."""
TELL_SECONDS = 60.0
"""Between two lines about connections that were turned away."""
CLOSE_SECONDS = 1.0
"""Longest wait for the connections that are cut when the server is closed."""


def parse_listen(text: str, what: str) -> tuple[str, int]:
    """Host and port of `[HOST:]PORT`; this machine only where no host is named.

    Args:
        text: such as `9090`, `0.0.0.0:9090`, `[::1]:9090`.
        what: how the option is called.

    Raises:
        ConfigError: it is something else.
    """
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        raise ConfigError(f"{what} {text!r}, expected PORT or HOST:PORT")
    return host.removeprefix("[").removesuffix("]") or LOOPBACK, int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Listener:
    """Serves an application until it is closed.

    Args:
        application: called in a thread for each request; what it gives for HEAD has an end, and is not sent.
        port: to listen on; 0 for any free one.
        host: to listen at.
        name: of the thread.
        timeout_seconds: after which a connection is dropped whose request is not whole, or that takes nothing.

    Raises:
        ConfigError: the port cannot be had.
    """

    def __init__(
        self, application: WSGIApplication, port: int, host: str, name: str, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        handler = type("Handler", (_Handler,), {"timeout": timeout_seconds})
        server_class = _Server6 if ":" in host else _Server
        try:
            self._server = server_class((host, port), handler)
        except OSError as error:
            raise ConfigError(f"cannot listen on {host}:{port} ({error.strerror}); choose another port") from error
        self._server.set_app(_headed(_guarded(application)))
        self.port: int = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening and cut what is open."""
        self._server.shutdown()
        self._server.server_close()
        self._server.cut(CLOSE_SECONDS)
        self._thread.join(CLOSE_SECONDS)


class _Server(WSGIServer):
    def __init__(self, address: tuple[str, int], handler: Any) -> None:
        self._open: dict[socket.socket, threading.Thread] = {}
        self._asking: dict[socket.socket, None] = {}
        """Those of the open connections whose request is not whole yet, the oldest first."""
        self._changed = threading.Condition()
        self._turned_away = 0
        self._told = -TELL_SECONDS
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Bind without asking the name service what this machine is called, which may take long."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread; where there are too many, in place of the slowest one to ask, or not at all."""
        thread = threading.Thread(target=self._answer, args=(request, client_address), name="answer", daemon=True)
        with self._changed:
            has_room = self._has_room() or self._make_room()
            if has_room:
                self._open[request] = thread
                self._asking[request] = None
                thread.start()
        if not has_room:
            self.shutdown_request(request)

    def asked(self, request: socket.socket) -> None:
        """Note that a request is whole: its connection is not cut to make room."""
        with self._changed:
            self._asking.pop(request, None)

    def _has_room(self) -> bool:
        return len(self._open) < MOST_CONNECTIONS

    def _make_room(self) -> bool:
        """Cut the connection that has been asking for longest, if any; whether there is room now."""
        self._tell_of_one_more()
        oldest = next(iter(self._asking), None)
        if oldest is None:
            return False
        del self._asking[oldest]
        _shut(oldest)
        return self._changed.wait_for(self._has_room, CLOSE_SECONDS)

    def _tell_of_one_more(self) -> None:
        self._turned_away += 1
        now = time.monotonic()
        if now - self._told >= TELL_SECONDS:
            log.warning("more than %d connections at once; turned away: %d", MOST_CONNECTIONS, self._turned_away)
            self._told, self._turned_away = now, 0

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is its client's affair."""
        log.debug("a connection from %s broke", client_address, exc_info=True)

    def cut(self, timeout_seconds: float) -> None:
        """End all connections, also those that are being answered."""
        deadline = time.monotonic() + timeout_seconds
        with self._changed:
            threads = list(self._open.values())
            for request in self._open:
                _shut(request)
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _answer(self, request: socket.socket, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except Exception:
            self.handle_error(request, client_address)
        with self._changed:
            del self._open[request]
            self._asking.pop(request, None)
            self._changed.notify_all()
        self.shutdown_request(request)


class _Server6(_Server):
    address_family = socket.AF_INET6


def _shut(request: socket.socket) -> None:
    try:
        request.shutdown(socket.SHUT_RDWR)
    except OSError:
        log.debug("a connection was gone already", exc_info=True)


class _Handler(WSGIRequestHandler):
    server: _Server
    timeout: ClassVar[float]

    def setup(self) -> None:
        """Read against one clock, which starts now: a byte now and then does not keep a connection."""
        super().setup()
        self.rfile.close()
        self.rfile = io.BufferedReader(_Hurried(self.connection, self.timeout))

    def parse_request(self) -> bool:
        """Read the headers; from then on the other side has its time for each piece of the answer."""
        is_sound = super().parse_request()
        self.server.asked(self.request)
        self.connection.settimeout(self.timeout)
        return is_sound

    def log_message(self, format: str, *args: object) -> None:
        """No line for each request."""

    def get_stderr(self) -> Any:
        """Where wsgiref tells of connections that broke."""
        return _Debug()


class _Hurried(socket.SocketIO):
    """What a connection sends, until its time is up."""

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        super().__init__(connection, "r")
        self._connection, self._deadline = connection, time.monotonic() + seconds

    def readinto(self, buffer: Any) -> int | None:
        """Wait no longer than there is time left.

        Raises:
            TimeoutError: it is up.
        """
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        return super().readinto(buffer)


class _Debug:
    """A file whose lines become debug messages."""

    def write(self, text: str) -> None:
        if text.strip():
            log.debug("%s", text.rstrip())

    def flush(self) -> None:
        """Nothing waits."""


def _guarded(application: WSGIApplication) -> WSGIApplication:
    """The application, its own faults told in the log and answered with 500."""

    def guarded(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        try:
            return application(environ, start)
        except Exception:
            log.exception("answering %s failed", environ.get("PATH_INFO", "/"))
            start("500 Internal Server Error", [("Content-Type", "text/plain")])
            return [b"this went wrong; the log tells why\n"]

    return guarded


def _headed(application: WSGIApplication) -> WSGIApplication:
    """The application, its answer to HEAD without the body: the length alone is told."""

    def headed(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "HEAD":
            return application(environ, start)
        told: list[Any] = []

        def note(*given: Any) -> Callable[[bytes], object]:
            told[:] = given
            return told.append

        length = sum(map(len, application(environ, note)))
        start(told[0], [*told[1], ("Content-Length", str(length))])
        return []

    return headed
