"""Addresses as people may see them."""

from __future__ import annotations

import re


def mask(text: str) -> str:
    """An address, or a line that holds some, without passwords, tokens and keys."""
    # Up to the last @: a password may hold / and @ as they are.
    text = re.sub(r"(?<=://)\S*@", "***@", text)
    return re.sub(r"(?i)([?&](?:pass\w*|pwd|token|secret|key|auth\w*|sig\w*)=)[^&\s]*", r"\1***", text)
