"""Publishing to an RTSP server, every wait bounded.

FFmpeg's own publisher ignores writes that fail or never end, and PyAV holds the interpreter while it connects: one
server that hangs would stop the whole process.
"""

from __future__ import annotations

import logging
import re
import socket
import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from streamfilter.errors import ConfigError
from streamfilter.sinks._rtsp_auth import proof, strongest

log = logging.getLogger(__name__)

PORTS = {"rtsp": 554, "rtsps": 322}
TIMEOUT_SECONDS = 5.0
HANG_UP_SECONDS = 0.5
RTCP_TYPES = range(200, 208)
MOST_BYTES = 2**20
"""Largest answer of a server."""

Headers = dict[str, list[str]]
"""Of an answer, by their names in lower case."""


@dataclass(frozen=True, repr=False)
class Address:
    """Where to publish, and as whom."""

    host: str
    port: int
    uri: str
    """The address as requests name it, without user and password."""
    user: str | None
    """None when the address holds none."""
    password: str
    is_secure: bool

    @classmethod
    def of(cls, target: str) -> Address:
        """The parts of an `rtsp://` or `rtsps://` address.

        Raises:
            ConfigError: host or port is missing or wrong.
        """
        try:
            parts = urlsplit(target)
            host, port = parts.hostname, parts.port or PORTS[parts.scheme]
        except ValueError:
            host = None
        if not host or "@" in parts.path:
            raise ConfigError("an RTSP output is rtsp://[user:password@]host[:port]/path; write @, / and : of a "
                              "password as %40, %2F and %3A")  # fmt: skip
        uri = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        user = None if parts.username is None else unquote(parts.username)
        return cls(host, port, uri, user, unquote(parts.password or ""), parts.scheme == "rtsps")


class Connect:
    """A connect to a server in a thread of its own.

    Args:
        address: of the server.
        description: of what is published, as SDP.
    """

    def __init__(self, address: Address, description: str) -> None:
        self._address, self._description = address, description
        self._session: Session | None = None
        self._failure: Exception | None = None
        self._is_wanted = True
        self._done = threading.Event()
        self._lock = threading.Lock()
        threading.Thread(target=self._work, name=f"connect to {address.uri}", daemon=True).start()

    def _work(self) -> None:
        try:
            session = Session(self._address, self._description)
            with self._lock:
                self._session = session if self._is_wanted else None
                is_wanted = self._is_wanted
            if not is_wanted:
                session.close()
        except Exception as error:
            self._failure = error
        self._done.set()

    def wait(self, seconds: float) -> None:
        """Until it is there or has failed, but no longer."""
        self._done.wait(seconds)

    def session(self) -> Session | None:
        """The session; None while the connect goes on.

        Raises:
            OSError: it failed.
        """
        if self._done.is_set() and self._failure is not None:
            raise self._failure
        return self._session if self._done.is_set() else None

    def abandon(self) -> None:
        """End the session, now or as soon as it has begun."""
        with self._lock:
            self._is_wanted = False
            session, self._session = self._session, None
        if session is not None:
            session.close()


class Session:
    """An RTSP session that publishes one video, its packets within the TCP connection of its requests (RFC 2326).

    Args:
        address: of the server.
        description: of what is published, as SDP.

    Raises:
        OSError: there is no server, it does not answer in time, or it refuses us.
    """

    def __init__(self, address: Address, description: str) -> None:
        self._address = address
        self._received = bytearray()
        self._requests = 0
        self._session = ""
        self._challenge = ""
        self._socket = _connected(address)
        try:
            self._request("ANNOUNCE", address.uri, {"Content-Type": "application/sdp"}, description)
            transport = "RTP/AVP/TCP;unicast;interleaved=0-1;mode=record"
            answer = self._request("SETUP", f"{address.uri.rstrip('/')}/streamid=0", {"Transport": transport})
            chosen = re.search(r"interleaved=(\d+)", "".join(answer.get("transport", [])))
            self._channel = int(chosen[1]) if chosen else 0
            self._request("RECORD", address.uri, {"Range": "npt=0.000-"})
        except BaseException:
            self._socket.close()
            raise

    def send(self, packets: Sequence[bytes]) -> None:
        """Send RTP and RTCP packets.

        Raises:
            OSError: the server hung up, or took nothing for too long; the session is of no use any more.
        """
        self._drain()
        channels = [self._channel + (packet[1] in RTCP_TYPES) for packet in packets]
        framed = [struct.pack(">cBH", b"$", channel, len(packet)) + packet
                  for channel, packet in zip(channels, packets, strict=True)]  # fmt: skip
        try:
            self._socket.sendall(b"".join(framed))
        except OSError:
            self._socket.close()
            raise

    def close(self) -> None:
        """Tell the server, unless it is gone, and hang up once it has taken everything."""
        try:
            if self._socket.fileno() >= 0:
                self._socket.settimeout(HANG_UP_SECONDS)
                self._socket.sendall(self._lines("TEARDOWN", self._address.uri, {}, ""))
                while (data := self._socket.recv(65536)) and b"RTSP/" not in data:
                    pass
        except OSError as error:
            log.debug("%s: while hanging up: %s", self._address.uri, error)
        finally:
            self._socket.close()

    def _drain(self) -> None:
        """Throw away what the server sent; it would wait for us at last."""
        import ssl

        self._socket.setblocking(False)
        try:
            while self._socket.recv(65536):
                pass
        except (BlockingIOError, ssl.SSLWantReadError):
            self._socket.settimeout(TIMEOUT_SECONDS)
            return
        except OSError:
            self._socket.close()
            raise
        self._socket.close()
        raise ConnectionResetError("the server hung up")

    def _request(self, method: str, uri: str, headers: dict[str, str], body: str = "") -> Headers:
        """Ask for something and take the answer, with the password where the server wants it.

        Raises:
            OSError: no answer in time, or a refusal.
        """
        status, answer = self._ask(method, uri, headers, body)
        if status.startswith("401") and self._address.user is not None and not self._challenge:
            self._challenge = strongest(answer.get("www-authenticate", []))
            status, answer = self._ask(method, uri, headers, body)
        if not status.startswith("2"):
            raise OSError(f"it answered {status} to {method}")
        if "session" in answer:
            self._session = answer["session"][0].partition(";")[0].strip()
        return answer

    def _ask(self, method: str, uri: str, headers: dict[str, str], body: str) -> tuple[str, Headers]:
        self._socket.sendall(self._lines(method, uri, headers, body))
        return self._answer()

    def _lines(self, method: str, uri: str, headers: dict[str, str], body: str) -> bytes:
        self._requests += 1
        own = {"CSeq": str(self._requests), "User-Agent": "streamfilter", **headers}
        if self._challenge:
            own["Authorization"] = self._proof(method, uri)
        if self._session:
            own["Session"] = self._session
        if body:
            own["Content-Length"] = str(len(body.encode()))
        lines = [f"{method} {uri} RTSP/1.0", *(f"{name}: {value}" for name, value in own.items()), "", body]
        return "\r\n".join(lines).encode()

    def _proof(self, method: str, uri: str) -> str:
        user, password = self._address.user or "", self._address.password
        return proof(self._challenge, user, password, method, uri, self._requests)

    def _answer(self) -> tuple[str, Headers]:
        """Status, such as "200 OK", and headers."""
        while not self._received.startswith(b"RTSP"):
            self._skip_packet() if self._received.startswith(b"$") else self._receive()
        while b"\r\n\r\n" not in self._received:
            self._receive()
        text, _, self._received = self._received.partition(b"\r\n\r\n")
        head = text.decode("utf-8", "replace").split("\r\n")
        headers: Headers = {}
        for line in head[1:]:
            name, _, value = line.partition(":")
            headers.setdefault(name.strip().lower(), []).append(value.strip())
        length = headers.get("content-length", ["0"])[0]
        self._skip(int(length) if length.isdecimal() else 0)
        return head[0].partition(" ")[2], headers

    def _skip_packet(self) -> None:
        while len(self._received) < 4:
            self._receive()
        self._skip(4 + int.from_bytes(self._received[2:4]))

    def _skip(self, count: int) -> None:
        while len(self._received) < count:
            self._receive()
        del self._received[:count]

    def _receive(self) -> None:
        data = self._socket.recv(65536)
        if not data or len(self._received) > MOST_BYTES:
            raise ConnectionResetError("the server hung up")
        self._received += data


def _connected(address: Address) -> socket.socket:
    connection = socket.create_connection((address.host, address.port), timeout=TIMEOUT_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not address.is_secure:
        return connection
    import ssl

    try:
        return ssl.create_default_context().wrap_socket(connection, server_hostname=address.host)
    except BaseException:
        connection.close()
        raise
