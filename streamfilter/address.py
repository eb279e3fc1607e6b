"""Addresses as people may see them."""

from __future__ import annotations

import re

# Up to the last @: a password may hold / and @ as they are. A space in one is crossed where a user and a colon come
# before it, but not into the next address.
CREDENTIALS = re.compile(r"(?<=://)(?:[^\s/@:]*:(?:\S|\s(?!\S*://))*@|\S*@)")
# What was meant as an address and lacks its scheme or a part of `://`.
MISTYPED = re.compile(r"(?<![\w.%+-])[\w.%+-]+:(?!//)(?:(?!://)\S)*@")
# What follows the application is, with most services, all one needs to publish in somebody's name.
STREAM_KEY = re.compile(r"(?i)\b(rtmp\w{0,2}://[^/\s]+/[^/\s]*/)(\S+)")
NAMES = r"[?&][\w.-]{0,40}(?:pass|pwd|token|secret|key|auth|sig|credential|streamid)[\w.-]{0,40}|[/_]pass(?:word)?"
PARAMETER = re.compile(rf"(?i)((?:{NAMES})=)([^&\s]*)")
PUNCTUATION = "])\"'>,.:;"
"""What follows an address in a sentence is no part of it."""


def mask(text: str) -> str:
    """An address, or a line that holds some, without passwords, tokens and keys."""
    text = MISTYPED.sub("***@", CREDENTIALS.sub("***@", text))
    return PARAMETER.sub(_hide, STREAM_KEY.sub(_hide, text))


def host_of(address: str) -> str | None:
    """Host and port of an address; None when it is none. What may be user or password is no part of it."""
    match = re.match(r"[a-z][a-z0-9+.-]*://([^/?#]+)", CREDENTIALS.sub("", address), re.IGNORECASE)
    return match[1] if match else None


def _hide(match: re.Match[str]) -> str:
    return f"{match[1]}***{match[2][len(match[2].rstrip(PUNCTUATION)) :]}"
