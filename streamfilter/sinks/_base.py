"""What every sink is: the protocol, the life cycle they share, and their options."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from streamfilter.config import not_in
from streamfilter.errors import ConfigError
from streamfilter.frame import Decision, Frame


class Sink(Protocol):
    """Where frames go once their fate is decided. Every frame is given to every sink, kept or dropped."""

    def write(self, frame: Frame, decision: Decision) -> None:
        """Take one frame and what was decided about it; sinks of kept frames ignore the others.

        Raises:
            OutputError: it cannot be written.
            PictureError: this one cannot be; others can.
        """

    def close(self) -> None:
        """Finish the output whole; calling it again does nothing.

        Raises:
            OutputError: the output cannot be finished; nothing partial is left.
        """

    def abort(self) -> None:
        """Remove what was written; does nothing once closed or aborted."""


@dataclass(frozen=True)
class SinkOptions:
    """How kept frames are compressed.

    Raises:
        ConfigError: settings are out of range; all of them are listed.
    """

    codec: str = "libx264"
    """Video encoder, by its FFmpeg name."""
    crf: int = 23
    """Constant rate factor, 0-63 (0-51 for H.264 and H.265), lower is better; encoders that have none ignore it."""
    jpeg_quality: int = 95
    """JPEG quality, 1-100, of pictures that were not JPEG already."""

    def __post_init__(self) -> None:
        problems = [
            "" if isinstance(self.codec, str) and self.codec
            else f"codec is {self.codec!r}, expected the name of an encoder such as libx264",
            not_in("crf", self.crf, 0, 63, whole=True),
            not_in("jpeg_quality", self.jpeg_quality, 1, 100, whole=True),
        ]  # fmt: skip
        if any(problems):
            raise ConfigError(f"bad output settings: {'; '.join(filter(None, problems))}")


DEFAULTS = SinkOptions()


class BaseSink(ABC):
    """Life cycle of a sink: open, then closed whole or aborted, once."""

    def __init__(self) -> None:
        self._is_open = True

    def write(self, frame: Frame, decision: Decision) -> None:
        """Take one frame and what was decided about it.

        Raises:
            OutputError: it cannot be written.
            PictureError: this one cannot be; others can.
            ValueError: the sink was closed or aborted before.
        """
        if not self._is_open:
            raise ValueError("write to a sink that is already closed")
        self._write(frame, decision)

    def close(self) -> None:
        """Finish the output whole; calling it again does nothing.

        Raises:
            OutputError: the output cannot be finished; nothing partial is left.
        """
        if not self._is_open:
            return
        with ExitStack() as undo:
            undo.callback(self.abort)
            self._finish()
            undo.pop_all()
        self._is_open = False

    def abort(self) -> None:
        """Remove what was written; does nothing once closed or aborted."""
        if self._is_open:
            self._is_open = False
            self._discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    @abstractmethod
    def _write(self, frame: Frame, decision: Decision) -> None:
        """Take one frame while open."""

    @abstractmethod
    def _finish(self) -> None:
        """Make the output whole."""

    @abstractmethod
    def _discard(self) -> None:
        """Leave nothing behind; raises nothing for what is gone already."""


class KeptFramesSink(BaseSink):
    """A sink that sees only the kept frames."""

    def _write(self, frame: Frame, decision: Decision) -> None:
        if decision.keep and frame.is_readable:
            self._write_kept(frame)

    @abstractmethod
    def _write_kept(self, frame: Frame) -> None:
        """Take one kept, readable frame."""
