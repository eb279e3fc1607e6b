"""Small pictures of dropped frames, made in a thread of their own: now and then one of each stream."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from streamfilter.errors import PictureError
from streamfilter.frame import RGB, Decision, Frame
from streamfilter.monitor.ring import Ring, Shot

if TYPE_CHECKING:
    from av.video.reformatter import VideoReformatter

log = logging.getLogger(__name__)

WIDEST = 320
HIGHEST = 320
JPEG_QUALITY = 75
WATCHED_SECONDS = 1.0
"""Least time between two pictures of a stream while somebody looks."""
UNWATCHED_SECONDS = 10.0
"""And while nobody does: whoever opens the page later sees what was dropped before."""

Offer = tuple[Ring, Frame, Decision, float]


class Pictures:
    """Takes dropped frames and leaves small pictures of some of them in their rings.

    At most one frame of a stream waits; whatever comes meanwhile is let go. It owns its thread.

    Args:
        boot: sets the pictures' addresses apart from those of an earlier run.
        is_watched: whether somebody looks.
    """

    def __init__(self, boot: str, is_watched: Callable[[], bool]) -> None:
        self._boot, self._is_watched = boot, is_watched
        self._numbers = itertools.count()
        self._waiting: dict[str, Offer] = {}
        self._taken: dict[str, float] = {}
        self._changed = threading.Condition()
        self._ended = self._failed = False
        self._thread = threading.Thread(target=self._work, name="monitor pictures", daemon=True)
        self._thread.start()

    def wants(self, stream: str, now: float) -> bool:
        """Whether it is time for a picture of the stream."""
        pause = WATCHED_SECONDS if self._is_watched() else UNWATCHED_SECONDS
        return stream not in self._waiting and now - self._taken.get(stream, -pause) >= pause

    def offer(self, stream: str, ring: Ring, frame: Frame, decision: Decision, now: float) -> None:
        """Give a readable frame that was dropped, or would have been; never waits."""
        with self._changed:
            self._waiting[stream] = (ring, frame, decision, time.time())
            self._taken[stream] = now
            self._changed.notify()

    def forget(self, stream: str) -> None:
        """The stream is gone."""
        with self._changed:
            self._waiting.pop(stream, None)
            self._taken.pop(stream, None)

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._ended = True
            self._waiting.clear()
            self._changed.notify()
        self._thread.join(2)

    def _work(self) -> None:
        while (offer := self._next()) is not None:
            ring, frame, decision, moment = offer
            try:
                ring.pictured(_shot(f"{self._boot}-{next(self._numbers)}", frame, decision, moment))
            except Exception as error:  # one picture that cannot be shown is no reason to show no others
                level = logging.DEBUG if self._failed else logging.WARNING
                self._failed = True
                log.log(level, "no small picture of frame %d: %s: %s", frame.index, type(error).__name__, error)

    def _next(self) -> Offer | None:
        with self._changed:
            while not self._waiting and not self._ended:
                self._changed.wait(UNWATCHED_SECONDS)
            return None if self._ended else self._waiting.pop(next(iter(self._waiting)))


def _shot(name: str, frame: Frame, decision: Decision, moment: float) -> Shot:
    return Shot(
        id=name,
        time=moment,
        index=frame.index,
        pts_seconds=None if frame.pts_seconds is None else round(frame.pts_seconds, 3),
        reason=(decision.spared or decision.reason).value,
        is_kept=decision.keep,
        cause=None if decision.cause is None else decision.cause.value,
        utility=decision.utility,
        jpeg=small_jpeg(frame),
    )


def small_jpeg(frame: Frame) -> bytes:
    """A frame as JPEG, as large as fits into 320 x 320 pixels and no larger than it is.

    Args:
        frame: a readable frame; its own picture stays as it is.

    Raises:
        PictureError: it cannot be decoded.
    """
    import cv2

    done, data = cv2.imencode(
        ".jpg", cv2.cvtColor(_small(frame), cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    )
    if not done:
        raise PictureError(f"frame {frame.index} of {frame.input} cannot be made a JPEG")
    return data.tobytes()


def _small(frame: Frame) -> RGB:
    import cv2

    if frame.native is None:
        whole = frame.rgb if frame.reduced is None else frame.reduced.array
        size = _fit(whole.shape[1], whole.shape[0])
        return np.asarray(cv2.resize(whole, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    width, height = _fit(frame.native.width, frame.native.height)
    # The frame's own scaler may be in use by a sink.
    small = _scaler().reformat(frame.native, width, height, format="rgb24", interpolation="AREA")
    return frame.upright(small.to_ndarray())


def _fit(width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, WIDEST / width, HIGHEST / height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _scaler() -> VideoReformatter:
    from av.video.reformatter import VideoReformatter

    return VideoReformatter()
