"""Frames that are kept although they would be dropped, and what answers about them tell of the drops. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

from streamfilter.frame import Decision, Frame, Reason
from streamfilter.interval import CONFIDENCE, Interval, blocked_interval, drawn_interval

SPARABLE = (Reason.LOW_UTILITY, Reason.TAINTED, Reason.AWAITING_KEYFRAME)
"""Reasons of frames that have pixels: all others are lost, not judged."""
UNSOUND = (Reason.TAINTED, Reason.AWAITING_KEYFRAME)
"""Those of them that say how the line is, not what the picture scores."""
PICTURES_A_BLOCK = 25
"""Pictures have no clock; so many in a row are a block."""

BlockKey = tuple[str, int]


@dataclass(frozen=True)
class Sparing:
    """Which frames that would be dropped are kept."""

    shadow: bool = False
    """All of them."""
    canary: float = 0.0
    """This share of them, drawn at random, 0-1."""
    seed: int = 0
    """Of the draw."""


def spare(sparing: Sparing, frame: Frame, decision: Decision) -> Decision:
    """The decision, or that the frame is kept as a canary or in shadow mode, with the reason it was spared.

    In shadow mode the drawn frames are canaries as well, for consumers that can say of a few only whether they were
    useful.
    """
    if decision.reason not in SPARABLE or not frame.is_readable:
        return decision
    if draw(sparing.seed, frame.input, frame.index) < sparing.canary:
        reason = Reason.CANARY
    elif sparing.shadow:
        reason = Reason.SHADOW
    else:
        return decision
    return replace(decision, keep=True, reason=reason, spared=decision.reason)


def draw(seed: int, name: str, index: int) -> float:
    """A number in [0, 1) that depends on seed, source and frame index alone: the same again in every run."""
    text = f"{seed}\0{name}\0{index}".encode("utf-8", "surrogateescape")
    return int.from_bytes(blake2b(text, digest_size=8).digest()) / 2**64


def would_drop(decision: Decision) -> bool:
    """Whether a frame was, or would have been, dropped for what was seen of it."""
    return decision.spared is not None or decision.reason in SPARABLE


def is_unsound(decision: Decision) -> bool:
    """Whether it was, or would have been, dropped because data was lost on its way."""
    return (decision.spared or decision.reason) in UNSOUND


def block_of(frame: Frame, seconds: float) -> BlockKey:
    """Which block of neighbouring frames a frame belongs to."""
    if frame.pts_seconds is None:
        return "", frame.index // PICTURES_A_BLOCK
    return frame.input, int(frame.pts_seconds // seconds)


@dataclass
class CanaryBlock:
    """Counts of neighbouring frames, which resemble each other."""

    dropped: int = 0
    """Frames that were or would have been dropped."""
    canaries: int = 0
    """Those of them that were passed."""
    answered: int = 0
    """Those of the passed of which is known whether they were useful."""
    wrongful: int = 0
    """Those of the answered that were."""
    kept: int = 0
    """Frames kept for any other reason."""
    kept_utility: float = 0.0
    """Sum of their utilities, each the calibrated probability that the frame is useful."""
    kept_answered: int = 0
    kept_useful: int = 0

    def count(self, decision: Decision, utility: float) -> None:
        """Add a decided frame; what was lost for load or could not be decoded counts for nothing."""
        if would_drop(decision):
            self.dropped += 1
            self.canaries += decision.keep
        elif decision.keep:
            self.kept += 1
            self.kept_utility += utility

    def answer(self, decision: Decision, useful: bool) -> None:
        """Add what is known of a passed frame."""
        if would_drop(decision):
            self.answered += 1
            self.wrongful += useful
        else:
            self.kept_answered += 1
            self.kept_useful += useful


@dataclass(frozen=True)
class CanaryEstimate:
    """What the answered canaries tell of all frames that were or would have been dropped."""

    dropped: int
    canaries: int
    answered: int
    wrongful: int
    """Answered canaries that were useful: wrongly dropped, were they not canaries."""
    blocks: int
    """Stretches of time with answered canaries in them."""
    interval: Interval
    """Of `wrongful_rate` among the frames that were dropped, 95 %; (0, 1) without answers."""
    stream_interval: Interval
    """Of the rate at which the stream goes on to drop wrongly, 95 %: wider, as neighbouring frames resemble each other;
    (0, 1) with answers in fewer than two blocks."""
    kept: int
    """Frames that were kept for any other reason."""
    useful_kept: float
    """Useful frames among those kept."""
    useful_kept_from: str
    """Where that is from: `feedback` on kept frames, or the `utility` that the model gave them."""

    @property
    def wrongful_rate(self) -> float | None:
        """Share of the dropped frames that were useful; None without answers."""
        return self.wrongful / self.answered if self.answered else None

    def lost_share(self, wrongful_rate: float) -> float:
        """Share of all useful frames that is lost when this share of the dropped ones is useful; 0 when none is."""
        lost = wrongful_rate * self.dropped
        return lost / (lost + self.useful_kept) if lost else 0.0


def estimate(blocks: Iterable[CanaryBlock], confidence: float = CONFIDENCE) -> CanaryEstimate:
    """What is known of the dropped frames of some blocks.

    Answers are taken as given for canaries at random: whether there is one must not depend on the frame.
    """
    blocks = list(blocks)
    dropped, canaries = sum(one.dropped for one in blocks), sum(one.canaries for one in blocks)
    answered, wrongful = sum(one.answered for one in blocks), sum(one.wrongful for one in blocks)
    useful_kept, source = _useful_kept(blocks)
    return CanaryEstimate(
        dropped=dropped,
        canaries=canaries,
        answered=answered,
        wrongful=wrongful,
        blocks=sum(one.answered > 0 for one in blocks),
        interval=drawn_interval(dropped, answered, wrongful, confidence),
        stream_interval=blocked_interval([(one.answered, one.wrongful) for one in blocks], confidence),
        kept=sum(one.kept for one in blocks),
        useful_kept=useful_kept,
        useful_kept_from=source,
    )


def _useful_kept(blocks: Sequence[CanaryBlock]) -> tuple[float, str]:
    answered = sum(one.kept_answered for one in blocks)
    if answered:
        share = sum(one.kept_useful for one in blocks) / answered
        return share * sum(one.kept for one in blocks), "feedback"
    return sum(one.kept_utility for one in blocks), "utility"
