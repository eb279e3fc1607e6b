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
class Checks:
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


def learn(checks: Checks, agrees: bool, budget: float) -> Checks:
    """What is known after one more check.

    Too many differing decisions halve the allowed change; a long run of agreement raises it by half again. One
    difference among few checks counts as too many: it takes 1 / `budget` of them to say otherwise.

    Args:
        checks: what was known before.
        agrees: whether the frame's own utility leads to the decision it would have taken over.
        budget: share of differing decisions that is allowed, 0-1.
    """
    checked, differing = checks.checked + 1, checks.differing + (not agrees)
    if not agrees and differing / checked > budget:
        return Checks(max(SMALLEST_SHARE, checks.share / 2))
    if checks.share < 1 and not differing and checked >= PATIENCE:
        return Checks(min(1.0, checks.share * 1.5))
    return Checks(checks.share, checked, differing)
