"""What the page shows: the rings of all streams beside how they are doing."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from streamfilter.address import mask
from streamfilter.frame import Decision, Frame, StreamEvent
from streamfilter.metrics import StreamStatus
from streamfilter.monitor.pictures import Pictures
from streamfilter.monitor.ring import HISTORY_SECONDS, Ring

RECENT_SECONDS = 3
"""Part of the timeline that comes with each message."""
GONE_SECONDS = 600.0
"""How long a stream that ended is still shown."""
MOST_GONE = 50

Clock = Callable[[], float]


class Board:
    """Looks on while streams run, and tells about them. A `Watcher`; it owns a thread for small pictures.

    Args:
        about: what is said of the run as a whole, plain JSON values.
        clock: seconds, as decisions are timed.
    """

    def __init__(self, about: dict[str, Any], clock: Clock = time.monotonic) -> None:
        self.boot = secrets.token_hex(4)
        """Sets this run apart from an earlier one."""
        self.watchers = 0
        """How many look on now."""
        self._about, self._clock = about, clock
        self._lock = threading.Lock()
        self._rings: dict[str, Ring] = {}
        self._gone: dict[str, tuple[float, dict[str, Any]]] = {}
        self._last: dict[str, dict[str, Any]] = {}
        self._told: dict[str, int] = {}
        """The version of each ring that the last message to all readers held; theirs alone, so without a lock."""
        self._pictures = Pictures(self.boot, lambda: self.watchers > 0)

    def looked(self, stream: str, frames: Sequence[Frame], decisions: Sequence[Decision], now: float) -> None:
        """Frames were decided on; dropped ones still have their pixels."""
        ring = self._ring(stream)
        ring.looked(decisions, now)
        if not self._pictures.wants(stream, now):
            return
        for frame, decision in zip(frames, decisions, strict=True):
            if frame.is_readable and (decision.spared is not None or not decision.keep):
                self._pictures.offer(stream, ring, frame, decision, now)
                return

    def counted(self, stream: str, frame: Frame, decision: Decision, now: float) -> None:
        """A frame's decision is final."""
        self._ring(stream).counted(frame, decision, now)

    def heard(self, event: StreamEvent) -> None:
        """Something happened to a stream."""
        self._ring(event.stream).heard(event.kind, mask(event.detail), time.time())

    def jpeg(self, shot_id: str) -> bytes | None:
        """A small picture; None when it is not there any more."""
        with self._lock:
            rings = list(self._rings.values())
        return next((shot.jpeg for ring in rings for shot in ring.shots if shot.id == shot_id), None)

    def note(self, statuses: Sequence[StreamStatus]) -> list[dict[str, Any]]:
        """Remember how streams are doing now, for when they are gone; those that run and then those that went."""
        heads = [_head(status) for status in statuses]
        return heads + self._ended({status.name for status in statuses}, heads, self._clock())

    def message(self, statuses: Sequence[StreamStatus], is_whole: bool) -> dict[str, Any]:
        """How all streams are doing, as plain JSON values.

        Args:
            statuses: of the streams that run.
            is_whole: with the whole timeline, pictures and events; or with the last seconds, and pictures and events of
                streams that have new ones since the last such message.
        """
        now = self._clock()
        heads = self.note(statuses)
        return {
            "boot": self.boot,
            "is_whole": is_whole,
            "time": round(time.time(), 3),
            "second": round(now, 3),
            "about": self._about,
            "streams": [{**head, **self._body(head["name"], is_whole, now)} for head in heads],
        }

    def close(self) -> None:
        """End the thread."""
        self._pictures.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _ring(self, stream: str) -> Ring:
        with self._lock:
            return self._rings.setdefault(stream, Ring())

    def _body(self, stream: str, is_whole: bool, now: float) -> dict[str, Any]:
        ring = self._ring(stream)
        version = ring.version
        body: dict[str, Any] = {
            **ring.totals,
            "rates": ring.rates(now),
            "latency_ms": ring.latency(now),
            "points": ring.points(now - (HISTORY_SECONDS if is_whole else RECENT_SECONDS)),
        }
        if is_whole or self._told.get(stream) != version:
            body["shots"] = [shot.as_dict() for shot in reversed(ring.shots)]
            body["events"] = ring.events[::-1]
        if not is_whole:
            self._told[stream] = version
        return body

    def _ended(self, running: set[str], heads: Sequence[dict[str, Any]], now: float) -> list[dict[str, Any]]:
        """Streams that were there and are no more, for as long as they are shown; what is older is forgotten."""
        with self._lock:
            for name, ring in self._rings.items():
                if name not in running and name not in self._gone:
                    self._gone[name] = (now, self._last.get(name) or _unknown(name, ring))
            for name in running:
                self._gone.pop(name, None)
            self._last = {head["name"]: head for head in heads}
            by_age = sorted(self._gone, key=lambda name: -self._gone[name][0])
            for place, name in enumerate(by_age):
                if place >= MOST_GONE or now - self._gone[name][0] > GONE_SECONDS:
                    del self._gone[name], self._rings[name]
                    self._told.pop(name, None)
                    self._pictures.forget(name)
            gone = [(self._rings[name], head) for name, (_, head) in self._gone.items()]
        return [{**head, **_end_of(ring), "waiting_frames": 0, "last_frame_seconds": None} for ring, head in gone]


def _head(status: StreamStatus) -> dict[str, Any]:
    # A file tells of no connects: its frames say that it plays.
    plays = status.state == "starting" and status.last_frame_seconds is not None
    silent = status.last_frame_seconds
    return {
        "name": status.name,
        "uri": mask(status.uri),
        "state": "playing" if plays else status.state,
        "detail": mask(status.detail),
        "reconnects": status.reconnects,
        "taint_seconds": round(status.taint_seconds, 1),
        "waiting_frames": status.queue_depth,
        "last_frame_seconds": None if silent is None else round(silent, 1),
        "thresholds": {task: round(threshold, 4) for task, threshold in status.thresholds.items()},
    }


def _unknown(name: str, ring: Ring) -> dict[str, Any]:
    """Of a stream that was gone before anybody asked."""
    uris = [event["detail"] for event in ring.events if event["kind"] == "added"]
    return {"name": name, "uri": uris[-1] if uris else "", "reconnects": 0, "taint_seconds": 0.0, "thresholds": {}}


def _end_of(ring: Ring) -> dict[str, str]:
    """How a stream that is gone ended."""
    for event in reversed(ring.events):
        if event["kind"] == "failed":
            return {"state": "failed", "detail": event["detail"]}
        if event["kind"] == "added":
            break
    return {"state": "ended", "detail": ""}
