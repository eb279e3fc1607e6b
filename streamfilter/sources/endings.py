"""Whether a file is whole, by the framing of its container: FFmpeg reads to the last byte and says nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO

TRANSPORT_PACKET_BYTES = 188


def is_cut(name: str, container_format: str) -> bool:
    """Whether a file ends inside one of its packets, pages or blocks.

    Args:
        name: of the file.
        container_format: FFmpeg's name of it; of those not known here nothing is said.
    """
    check = _CHECKS.get(container_format)
    if check is not None:
        with suppress(OSError), open(name, "rb") as file:
            return check(file, file.seek(0, os.SEEK_END))
    return False


def is_whole_avi(name: str) -> bool:
    """Whether all the bytes are there that an AVI file's RIFF headers promise."""
    with suppress(OSError), open(name, "rb") as file:
        size, end = file.seek(0, os.SEEK_END), 0
        while (head := _read(file, end, 8))[:4] == b"RIFF":
            length = int.from_bytes(head[4:8], "little")
            end += 8 + length + length % 2
        return 8 < end <= size + 1
    return False


def _is_cut_transport_stream(file: BinaryIO, size: int) -> bool:
    return _read(file, 0, 1) == b"\x47" and size % TRANSPORT_PACKET_BYTES != 0


def _read(file: BinaryIO, start: int, count: int) -> bytes:
    file.seek(start)
    return file.read(count)


_CHECKS: dict[str, Callable[[BinaryIO, int], bool]] = {
    "mpegts": _is_cut_transport_stream,
}
