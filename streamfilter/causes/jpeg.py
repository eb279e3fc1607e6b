"""What a JPEG file says about itself before any pixel is decoded."""

from __future__ import annotations

START_OF_SCAN, TABLES = 0xDA, 0xDB
ALONE = (0x01, *range(0xD0, 0xDA))
"""Markers without a length: restarts, start and end of the picture."""
LUMA = 0
"""Place of the table that the luma of nearly every file is quantised with."""
COARSE = 180.0
"""Mean quantisation step from which a file counts as coarse, grey levels times 8: libjpeg's quality 12 has 185."""


def is_coarse(data: bytes) -> bool:
    """Whether a JPEG file's luma is quantised so coarsely that this alone makes it useless."""
    step = mean_step(data)
    return step is not None and step >= COARSE


def mean_step(data: bytes) -> float | None:
    """Mean of the 64 quantisation steps of the luma; None when the file names none before its pixels."""
    place = 2
    while place + 4 <= len(data):
        if data[place] != 0xFF:
            return None
        marker = data[place + 1]
        if marker in ALONE or marker == 0xFF:
            place += 1 if marker == 0xFF else 2
            continue
        length = int.from_bytes(data[place + 2 : place + 4], "big")
        if marker == START_OF_SCAN or length < 2:
            return None
        if marker == TABLES:
            found = _luma_step(data[place + 4 : place + 2 + length])
            if found is not None:
                return found
        place += 2 + length
    return None


def _luma_step(segment: bytes) -> float | None:
    """The mean step of the luma's table in a DQT segment, which may hold several; None when it is not among them."""
    place = 0
    while place < len(segment):
        wide, number = segment[place] >> 4, segment[place] & 15
        size = 64 * (1 + (wide > 0))
        table = segment[place + 1 : place + 1 + size]
        if len(table) < size:
            return None
        if number == LUMA:
            return sum(int.from_bytes(table[i : i + 1 + (wide > 0)], "big") for i in range(0, size, size // 64)) / 64
        place += 1 + size
    return None
