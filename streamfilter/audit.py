"""Checks on utilities that are taken over; how much change is allowed follows from what they show. Pure."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

ONE_IN = 25
"""Of so many frames that could take a utility over, about one is checked."""
PATIENCE = 50
"""Checks in a row that must agree before more change is allowed again."""
SMALLEST_SHARE = 1 / 64


@dataclass(frozen=True)
class Audit:
    """What the checks of a stream have shown."""

    share: float = 1.0
    """Part of the change set by the user that is allowed now, 0-1."""
    checked: int = 0
    """Checks since the share changed last."""
    differing: int = 0
    """Those of them in which the decision would have been another."""


def is_drawn(name: str, index: int) -> bool:
    """Whether a frame is one of those to be checked: by chance, but the same in every run."""
    return zlib.crc32(f"{name}\0{index}".encode("utf-8", "surrogateescape")) % ONE_IN == 0


def learn(audit: Audit, agrees: bool, budget: float) -> Audit:
    """What is known after one more check.

    Too many differing decisions halve the allowed change; a long run of agreement raises it by half again. One
    difference among few checks counts as too many: it takes 1 / `budget` of them to say otherwise.

    Args:
        audit: what was known before.
        agrees: whether the frame's own utility leads to the decision it would have taken over.
        budget: share of differing decisions that is allowed, 0-1.
    """
    checked, differing = audit.checked + 1, audit.differing + (not agrees)
    if not agrees and differing / checked > budget:
        return Audit(max(SMALLEST_SHARE, audit.share / 2))
    if audit.share < 1 and not differing and checked >= PATIENCE:
        return Audit(min(1.0, audit.share * 1.5))
    return Audit(audit.share, checked, differing)
