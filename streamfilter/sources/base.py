"""What every source offers, and the bounds they share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from streamfilter.errors import InputError
from streamfilter.frame import Frame

MAX_PIXELS = 100_000_000
"""Pictures and video frames that declare more pixels than this are refused before they are allocated."""
MAX_PICTURE_BYTES = 512 * 2**20
"""A picture file larger than this is refused unread."""


class ConnectionRefused(InputError):
    """A connect that failed in a way that another try will hardly mend."""


class DecoderRefused(ConnectionRefused):
    """A decoder that failed at the first frame of a stream that was connected to."""


@dataclass(frozen=True)
class SourceInfo:
    """What a source says about itself before its first frame; headers may lie, so nothing here is measured."""

    frames_from_header: int | None = None
    """Number of frames promised; None when not said."""
    fps_from_header: float | None = None
    """Average frames per second; None when not said or when the source has no clock."""
    duration_seconds: float | None = None
    """Length of the video stream, seconds; None when not said or when the source has no clock."""
    size_hw: tuple[int, int] | None = None
    """Height and width in pixels as coded, before any rotation; None when unknown or mixed."""


@runtime_checkable
class PictureSource(Protocol):
    """A source of picture files, which may be decoded small as long as nobody wants more."""

    model_side: int | None
    """The model's input size, pixels, set before the first frame; None = pictures are decoded whole."""


class Source(Protocol):
    """A stream of frames, read once from its start to its end.

    Iterating yields frames with indices 0, 1, 2 ...; what cannot be decoded comes as a frame with a `problem`, and the
    rest goes on. The iterator ends where the input ends; after it, `failure` tells whether that was too early. A second
    iteration yields nothing more.
    """

    name: str
    """The input as messages and records show it; passwords are masked."""
    is_live: bool
    """Whether frames arrive on their own clock, so that waiting for the consumer would lose them."""
    info: SourceInfo
    failure: str | None
    """One line when the input ended early, set by the time the iteration has ended; None when it is whole."""

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames in presentation order.

        Raises:
            InputError: nothing at all could be read.
        """
        ...

    def close(self) -> None:
        """End the iteration and free the input; harmless when repeated, safe from another thread."""
        ...
