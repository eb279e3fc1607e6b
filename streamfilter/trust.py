"""What is known of a stream's drops: whether they still are what was promised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from streamfilter.canary import CanaryEstimate
from streamfilter.drift import Drift

TRUST_EVENTS = ("bound_doubtful", "bound_credible", "drifted", "settled")
"""Kinds of events that tell of it."""
COUNTS = ("passed", "answered", "wrongful", "kept_answered", "unknown", "repeated", "contradicting")
DECIMALS = 6


@dataclass(frozen=True)
class Trust:
    """What is known of a stream's drops at one moment."""

    canary: CanaryEstimate
    """Of low utility, in the time that is looked back on."""
    unsound: CanaryEstimate
    """Of frames dropped because data was lost on their way, in as many blocks; no profile speaks of them."""
    counts: Mapping[str, int]
    """Since the start: canaries `passed`, those of shadow mode included; those `answered`, and of these the `wrongful`;
    other frames answered for (`kept_answered`); and answers that count for nothing: `unknown` (of no frame that was
    passed, or of one long ago), `repeated`, `contradicting` (the first one stands)."""
    promised_lost_share: float | None
    """Share of the useful frames that may be lost, from the profile; None when it promises nothing of the kind."""
    is_bound_doubtful: bool
    """Whether the answers say that more is lost than was promised."""
    drift: Drift | None
    """None without a profile, or while there are too few blocks."""

    @property
    def has_answers(self) -> bool:
        """Whether anything is known at all."""
        return self.canary.answered > 0 or self.drift is not None

    @property
    def is_credible(self) -> bool | None:
        """Whether answers and scores allow what was promised; None when there is nothing to compare with."""
        if self.promised_lost_share is None and self.drift is None:
            return None
        return not self.is_bound_doubtful and not (self.drift is not None and self.drift.is_drifted)

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain JSON values; rates and intervals are null where nothing is known."""
        canary, rate = self.canary, self.canary.wrongful_rate
        known = rate is not None
        return {
            **_estimated(canary),
            "kept": canary.kept,
            "useful_kept": round(canary.useful_kept, 1),
            "useful_kept_from": canary.useful_kept_from,
            "lost_share": _rounded(canary.lost_share(rate)) if rate is not None else None,
            "lost_interval_95": _rounded([canary.lost_share(end) for end in canary.interval]) if known else None,
            "promised_lost_share": _rounded(self.promised_lost_share),
            "credible": self.is_credible,
            "drift": None
            if self.drift is None
            else {key: _rounded(value) for key, value in asdict(self.drift).items()},
            "unsound": _estimated(self.unsound),
            "answers": dict(self.counts),
        }

    def __str__(self) -> str:
        canary, parts = self.canary, []
        if canary.wrongful_rate is not None:
            low, high = canary.interval
            lost = canary.lost_share(canary.wrongful_rate)
            parts.append(
                f"{canary.wrongful} of {canary.answered} answered canaries useful: {canary.wrongful_rate:.1%} of the "
                f"drops wrongful ({low:.1%} to {high:.1%}), about {lost:.2%} of the useful frames lost"
            )
        if self.drift is not None:
            far = max(self.drift.distances.values())
            parts.append(f"scores {far:.2f} from the profile's{' (drifted)' if self.drift.is_drifted else ''}")
        return "; ".join(parts)


def _estimated(canary: CanaryEstimate) -> dict[str, Any]:
    rate = canary.wrongful_rate
    return {
        "dropped": canary.dropped,
        "canaries": canary.canaries,
        "answered": canary.answered,
        "wrongful": canary.wrongful,
        "wrongful_rate": _rounded(rate),
        "interval_95": None if rate is None else _rounded(canary.interval),
        "blocks": canary.blocks,
        "stream_interval_95": _rounded(canary.stream_interval) if canary.blocks > 1 else None,
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DECIMALS)
    if isinstance(value, Mapping):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value
