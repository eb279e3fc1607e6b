"""A way to a server that can be cut and mended at once, without the cost of a server that starts anew."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

CHUNK = 65_536


class Gate:
    """Passes TCP connections on to a server on this machine, for the length of a `with` block.

    Args:
        target: port of the server.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._open: set[socket.socket] = set()
        self._listener = _listening(0)
        self.port = int(self._listener.getsockname()[1])

    def __enter__(self) -> Gate:
        self._accept(self._listener)
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def cut(self) -> None:
        """Break every connection and refuse new ones."""
        # Closing alone leaves a thread that waits in accept.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in list(self._open):
            self._end(one)

    def mend(self) -> None:
        """Let connections in again."""
        self._listener = _listening(self.port)
        self._accept(self._listener)

    def _accept(self, listener: socket.socket) -> None:
        def serve() -> None:
            with suppress(OSError):
                while True:
                    near, _ = listener.accept()
                    far = socket.create_connection(("127.0.0.1", self._target))
                    self._open |= {near, far}
                    for ends in ((near, far), (far, near)):
                        threading.Thread(target=self._pump, args=ends, daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK):
                target.sendall(data)
        self._end(source)
        self._end(target)

    def _end(self, one: socket.socket) -> None:
        self._open.discard(one)
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()


def _listening(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen()
    return listener
