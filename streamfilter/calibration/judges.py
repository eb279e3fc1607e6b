"""From one frame to what it is worth: the versions of it that are looked at, and the verdict on each."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from streamfilter.consumers import Bars, Consumer, Outputs, Verdict, compare
from streamfilter.distort import PRISTINE, Distortion, apply, draw, parse
from streamfilter.errors import CalibrationError, ConfigError, ConsumerError, PictureError
from streamfilter.frame import RGB, Frame

MOST_FAILURES = 0.1
"""Share of the frames on which the consumer may fail before the calibration is given up."""
PATIENCE = 20
"""Frames before that share is looked at."""
NOT_ASKED = Verdict(None, 0)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Version:
    """A frame as it was, or degraded."""

    distortion: str
    """`pristine`, or a kind and its strength."""
    rgb: RGB | None
    """(H, W, 3) uint8, RGB, HWC, 0-255; None for the frame as it was."""
    verdict: Verdict


class Judge(Protocol):
    """Says which versions of a frame are looked at, and what they are worth."""

    @property
    def name(self) -> str:
        """As the profile shows it."""
        ...

    @property
    def samples(self) -> bool:
        """Whether frames may be left out at will; else `wants` alone says which count."""
        ...

    def wants(self, frame: Frame) -> bool:
        """Whether it has anything to say about this frame."""
        ...

    def judge(self, frame: Frame) -> Sequence[Version]:
        """The versions of a frame, the one as it was first.

        Raises:
            ConsumerError: the consumer failed on it.
            PictureError: its pixels cannot be had.
        """
        ...


class NoJudge:
    """Looks at frames as they are and asks nobody: enough for a keep rate."""

    name, samples = "", True

    def wants(self, frame: Frame) -> bool:
        """See `Judge.wants`."""
        return True

    def judge(self, frame: Frame) -> Sequence[Version]:
        """See `Judge.judge`."""
        return [Version(PRISTINE, None, NOT_ASKED)]


@dataclass(frozen=True, eq=False)
class AskingJudge:
    """Degrades each frame and asks a consumer about both; the answer on the frame as it was is taken as right.

    The distortions are drawn anew for each frame, the kinds in turn and the level uniform, by its input and index: the
    same frame gets the same ones in every run.
    """

    consumer: Consumer
    bars: Bars
    kinds: Sequence[str]
    """Keys of `streamfilter.distort.KINDS`."""
    draws: int = 1
    """Degraded versions of each frame."""
    samples: bool = True

    @property
    def name(self) -> str:
        """As the profile shows it."""
        return self.consumer.name

    def wants(self, frame: Frame) -> bool:
        """See `Judge.wants`."""
        return True

    def judge(self, frame: Frame) -> Sequence[Version]:
        """See `Judge.judge`."""
        rgb = frame.rgb
        reference = self.consumer.ask(rgb)
        versions = [Version(PRISTINE, None, compare(reference, reference, self.bars))]
        for distortion in draw(self.kinds, self.draws, f"{frame.input}:{frame.index}"):
            degraded = apply(rgb, distortion)
            verdict = compare(reference, self.consumer.ask(degraded), self.bars)
            versions.append(Version(f"{distortion.kind}={distortion.strength:g}", degraded, verdict))
        return versions


@dataclass(frozen=True, eq=False)
class OutputsJudge:
    """Reads from a file what a consumer said about frames and degraded versions of them."""

    outputs: Outputs
    bars: Bars
    samples: bool = False

    @property
    def name(self) -> str:
        """As the profile shows it."""
        return self.outputs.name

    def wants(self, frame: Frame) -> bool:
        """See `Judge.wants`."""
        return bool(self.outputs.of(frame.input, frame.index))

    def judge(self, frame: Frame) -> Sequence[Version]:
        """See `Judge.judge`."""
        verdicts = self.outputs.judge(self.outputs.of(frame.input, frame.index), self.bars)
        return list(self._versions(frame, verdicts))

    def _versions(self, frame: Frame, verdicts: dict[str, Verdict]) -> Iterator[Version]:
        for text, verdict in sorted(verdicts.items(), key=lambda item: item[0] != PRISTINE):
            yield Version(text, None if text == PRISTINE else apply(frame.rgb, _one_distortion(text)), verdict)


class Failures:
    """Counts the frames that could not be judged, and says when they are too many."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.judged, self.failed = 0, 0
        self._last = ""

    def note(self, frame: Frame, error: Exception) -> None:
        """Count a frame that could not be judged.

        Raises:
            CalibrationError: they are too many.
        """
        self.failed += 1
        self._last = f"frame {frame.index} of {frame.input}: {error}"
        if self.failed == 1:
            logger.warning("%s failed on %s; such frames are left out and counted", self._name or "reading", self._last)
        if self.judged + self.failed >= PATIENCE:
            self.check()

    def check(self) -> None:
        """See that enough frames could be judged.

        Raises:
            CalibrationError: the consumer failed on too many.
        """
        total = self.judged + self.failed
        if self.failed > MOST_FAILURES * total:
            raise CalibrationError(f"{self._name or 'reading'} failed on {self.failed} of {total} frames, {self._last}")


JUDGING_ERRORS = (ConsumerError, PictureError)


def _one_distortion(text: str) -> Distortion:
    try:
        found = parse(text)
    except ConfigError as error:
        raise ConsumerError(str(error)) from error
    if len(found) != 1:
        raise ConsumerError(f"distortion {text!r}, expected a kind and one strength such as jpeg=6")
    return found[0]
