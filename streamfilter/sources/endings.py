"""Whether a file is whole, by the framing of its container: FFmpeg reads to the last byte and says nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO

TRANSPORT_PACKET_BYTES = 188
TAIL_BYTES = 2**18
"""Of the end of a file: more than the longest page of Ogg and the longest packs of MPEG."""
PACK, PROGRAM_END, FIRST_PACKET = 0xBA, 0xB9, 0xBB
"""Start codes of an MPEG program stream."""
ASF_HEAD_BYTES = 2**16
ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
ASF_DATA_HEADER_BYTES = 50


def is_cut(name: str, container_format: str, end_bytes: int) -> bool:
    """Whether a file ends inside one of its packets, pages or blocks.

    Args:
        name: of the file.
        container_format: FFmpeg's name of it; of those not known here nothing is said.
        end_bytes: where the last packet ended that FFmpeg gave.
    """
    check = _CHECKS.get(container_format)
    with suppress(OSError), _opened(name) as file:
        size = file.seek(0, os.SEEK_END)
        if container_format == "yuv4mpegpipe":
            # Nothing stands between its frames but their headers, and a part of a frame is not given.
            return end_bytes < size
        return check is not None and check(file, size)
    return False


def is_whole_avi(name: str) -> bool:
    """Whether all the bytes are there that an AVI file's RIFF headers promise."""
    with suppress(OSError), _opened(name) as file:
        size, end = file.seek(0, os.SEEK_END), 0
        while (head := _read(file, end, 8))[:4] == b"RIFF":
            length = int.from_bytes(head[4:8], "little")
            end += 8 + length + length % 2
        return 8 < end <= size + 1
    return False


def _opened(name: str) -> BinaryIO:
    """A regular file; a named pipe would wait for another writer.

    Raises:
        OSError: it is none, or cannot be opened.
    """
    if not os.path.isfile(name):
        raise FileNotFoundError(name)
    return open(name, "rb")


def _is_cut_transport_stream(file: BinaryIO, size: int) -> bool:
    return _read(file, 0, 1) == b"\x47" and size % TRANSPORT_PACKET_BYTES != 0


def _is_cut_program_stream(file: BinaryIO, size: int) -> bool:
    """Source: ISO/IEC 13818-1, 2.5.3: packs of packets that say how long they are."""
    tail = _read(file, max(0, size - TAIL_BYTES), TAIL_BYTES)
    at = tail.rfind(bytes((0, 0, 1, PACK)))
    while 0 <= at < len(tail):
        code = tail[at + 3 : at + 4]
        if tail[at : at + 3] != b"\0\0\1"[: len(tail) - at] or code == bytes((PROGRAM_END,)):
            return False
        at += _unit_bytes(tail[at : at + 14])
    return at > len(tail)


def _unit_bytes(head: bytes) -> int:
    """The length of the pack header, or of the packet, that starts with these bytes."""
    head = head.ljust(14, b"\0")
    if head[3] != PACK:
        return 6 + int.from_bytes(head[4:6], "big")
    is_mpeg2 = head[4] >> 6 == 1
    return 14 + (head[13] & 7) if is_mpeg2 else 12


def _is_cut_ogg(file: BinaryIO, size: int) -> bool:
    """Source: RFC 3533, section 6: a page's header lists the lengths of its segments."""
    tail = _read(file, max(0, size - TAIL_BYTES), TAIL_BYTES)
    page = tail[tail.rfind(b"OggS") :] if b"OggS" in tail else b""
    lengths = page[27 : 27 + page[26]] if len(page) > 26 else b""
    return len(page) < 27 or len(page) < 27 + page[26] + sum(lengths)


def _is_cut_asf(file: BinaryIO, size: int) -> bool:
    """Source: ASF specification, 3.2 (number and size of data packets) and 5.1 (they follow the header)."""
    head = _read(file, 0, ASF_HEAD_BYTES)
    at = head.find(ASF_FILE_PROPERTIES)
    if at < 0 or len(head) < at + 104 or head[at + 88] & 1:  # a broadcast, whose lengths mean nothing
        return False
    header, packets = (int.from_bytes(head[start : start + 8], "little") for start in (16, at + 56))
    return size < header + ASF_DATA_HEADER_BYTES + packets * int.from_bytes(head[at + 92 : at + 96], "little")


def _is_cut_gif(file: BinaryIO, size: int) -> bool:
    """Source: GIF89a, 27: the last byte is the trailer; some writers fill up with zeros."""
    return not _read(file, max(0, size - TAIL_BYTES), TAIL_BYTES).rstrip(b"\0").endswith(b";")


def _read(file: BinaryIO, start: int, count: int) -> bytes:
    file.seek(start)
    return file.read(count)


_CHECKS: dict[str, Callable[[BinaryIO, int], bool]] = {
    "mpegts": _is_cut_transport_stream,
    "mpeg": _is_cut_program_stream,
    "ogg": _is_cut_ogg,
    "asf": _is_cut_asf,
    "gif": _is_cut_gif,
}
