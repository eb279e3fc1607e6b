"""Counters of a run: every frame read is counted once, by the reason of its decision; and how each stream is doing."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from streamfilter.frame import Decision, Frame, Reason, StreamEvent
from streamfilter.trust import TRUST_EVENTS, Trust

CAMERA, CAMERA_OK = "camera_", "camera_ok"
"""How kinds of events begin that are about the camera itself, and the one that says all is well."""
HINT_FRAMES, HINT_SHARE = 100, 0.9
"""Of so many frames or more, so large a share under the threshold is more likely the threshold's fault."""
LATENCY_BOUNDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Upper bounds of the latency histogram, seconds."""


@dataclass
class Summary:
    """What became of the frames of a run.

    `frames_read` = `frames_kept` + the sum of `dropped_by_reason`, always.
    """

    kept_by_reason: Counter[Reason] = field(default_factory=Counter)
    """Kept frames for each reason."""
    dropped_by_reason: Counter[Reason] = field(default_factory=Counter)
    """Dropped frames for each reason."""
    spared_by_reason: Counter[Reason] = field(default_factory=Counter)
    """Kept canaries and frames of shadow mode, for each reason they would have been dropped for."""
    frames_reused: int = 0
    """Frames that took over the utility of an earlier one that looked alike."""
    reuse_checked: int = 0
    """Frames that could have, and were scored to see whether that would have been right."""
    reuse_differing: int = 0
    """Those of them on which the decision would have been another."""
    camera_events: Counter[str] = field(default_factory=Counter)
    """How often each trouble with a camera was told, such as `camera_dark`."""
    failures: list[str] = field(default_factory=list)
    """One line for each input that could not be opened or read to its end."""
    interrupted: bool = False
    """Whether the run was asked to stop before its inputs ended."""
    seconds: float = 0.0
    """Wall-clock time of the run."""

    def __post_init__(self) -> None:
        self._started_at = time.monotonic()

    def count(self, decision: Decision) -> None:
        """Add one decided frame."""
        (self.kept_by_reason if decision.keep else self.dropped_by_reason)[decision.reason] += 1
        if decision.keep and decision.spared is not None:
            self.spared_by_reason[decision.spared] += 1
        self.frames_reused += decision.is_reused
        self.reuse_checked += decision.reuse_agrees is not None
        self.reuse_differing += decision.reuse_agrees is False
        self.seconds = time.monotonic() - self._started_at

    def hear(self, event: StreamEvent) -> None:
        """Count an event that tells of trouble with a camera."""
        if event.kind.startswith(CAMERA) and event.kind != CAMERA_OK:
            self.camera_events[event.kind] += 1

    @property
    def frames_kept(self) -> int:
        """Frames passed on."""
        return self.kept_by_reason.total()

    @property
    def frames_read(self) -> int:
        """Frames that came out of the sources, unreadable ones included."""
        return self.frames_kept + self.dropped_by_reason.total()

    @property
    def fps(self) -> float:
        """Frames read a second of wall-clock time; 0 before the first."""
        return self.frames_read / self.seconds if self.seconds > 0 else 0.0

    @property
    def hint(self) -> str:
        """What to look into when the score turned nearly every frame away and no camera was in trouble; else empty."""
        spared = self.spared_by_reason[Reason.LOW_UTILITY]
        low = self.dropped_by_reason[Reason.LOW_UTILITY] + self.kept_by_reason[Reason.GAP_FLOOR] + spared
        is_enough = self.frames_read >= HINT_FRAMES and low >= HINT_SHARE * self.frames_read
        if self.camera_events or not is_enough:
            return ""
        return (
            f"{low / self.frames_read:.0%} of the frames are under the threshold; if your consumer decides rightly on "
            "them all the same, calibrate the threshold on this camera: streamfilter calibrate --help"
        )

    def as_dict(self) -> dict[str, Any]:
        """The counts as plain JSON values."""
        return {
            "frames_read": self.frames_read,
            "frames_kept": self.frames_kept,
            "kept_by_reason": _plain(self.kept_by_reason),
            "dropped_by_reason": _plain(self.dropped_by_reason),
            "spared_by_reason": _plain(self.spared_by_reason),
            "frames_reused": self.frames_reused,
            "reuse_checked": self.reuse_checked,
            "reuse_differing": self.reuse_differing,
            "camera_events": dict(sorted(self.camera_events.items())),
            "seconds": round(self.seconds, 3),
            "fps": round(self.fps, 1),
            "failures": list(self.failures),
            "interrupted": self.interrupted,
        }

    def __str__(self) -> str:
        text = f"{self.frames_read} frames read, {self.frames_kept} kept{_causes(self.kept_by_reason)}"
        text += f", {self.dropped_by_reason.total()} dropped{_causes(self.dropped_by_reason)}"
        if self.spared_by_reason:
            text += f", {self.spared_by_reason.total()} spared{_causes(self.spared_by_reason)}"
        if self.frames_reused:
            text += f", {self.frames_reused} by the utility of a frame that looked alike"
            if self.reuse_checked:
                text += f" ({self.reuse_checked} more checked: {self.reuse_differing} would differ)"
        for kind, number in sorted(self.camera_events.items()):
            text += f", {kind} {number}"
        return f"{text}; {self.seconds:.1f} s, {self.fps:.0f} fps"


@dataclass(frozen=True)
class StreamStatus:
    """How one stream is doing at one moment."""

    name: str
    uri: str
    """Its address; passwords are masked."""
    state: str
    """`starting`, or the kind of the last event that changed it, such as `playing`, `waiting`, `unhealthy`."""
    detail: str
    """The line that came with the last trouble; empty when there was none."""
    counts: Summary
    """What became of its frames."""
    latency_counts: tuple[int, ...]
    """Delivered frames by latency from packet to delivery: a number for each of `LATENCY_BOUNDS` and one for more."""
    latency_sum: float
    """Of all delivered frames, seconds."""
    reconnects: int
    taint_seconds: float
    """Time spent in taint windows."""
    queue_depth: int
    """Frames waiting anywhere."""
    last_frame_seconds: float | None
    """Time since the last frame was decided on; None before the first."""
    thresholds: Mapping[str, float] = field(default_factory=dict)
    """Utility at or above which a frame is useful, for each task that counts."""
    camera: tuple[str, ...] = ()
    """What is wrong with the camera: `dark`, `covered`, `defocused`, `frozen`."""
    trust: Trust | None = None
    """Whether its drops are still what its profile promised; None where nobody watches."""


class Watcher(Protocol):
    """Looks on while streams run. It is called in their threads: it has to be quick, and must not raise."""

    def looked(self, stream: str, frames: Sequence[Frame], decisions: Sequence[Decision], now: float) -> None:
        """Frames were decided on; dropped ones still have their pixels."""

    def counted(self, stream: str, frame: Frame, decision: Decision, now: float) -> None:
        """A frame's decision is final: it was delivered, or dropped at last."""


class StreamMeter:
    """Collects what `StreamStatus` tells; written by reader, scorer and delivery, read by anyone."""

    def __init__(
        self, name: str, uri: str, thresholds: Mapping[str, float] | None = None, watcher: Watcher | None = None
    ) -> None:
        self.name, self.uri = name, uri
        self._thresholds, self._watcher = thresholds or {}, watcher
        self.state, self.detail = "starting", ""
        self.camera: tuple[str, ...] = ()
        """What is wrong with the camera."""
        self.decided = 0
        """Frames scored or decided unscored so far."""
        self._lock = threading.Lock()
        self._counts = Summary()
        self._latencies = [0] * (len(LATENCY_BOUNDS) + 1)
        self._latency_sum = 0.0
        self._taint_seconds = 0.0
        self._last: float | None = None
        self._was_tainted = False

    def heard(self, event: StreamEvent) -> None:
        """Note an event of the stream; those of trust in its drops and of the camera do not change its state."""
        if event.kind in TRUST_EVENTS or event.kind.startswith(CAMERA):
            return
        self.state = "playing" if event.kind == "healthy" else event.kind
        if event.kind in ("waiting", "failed", "unhealthy"):
            self.detail = event.detail
        elif event.kind in ("playing", "healthy"):
            self.detail = ""

    def looked(self, frames: Sequence[Frame], decisions: Sequence[Decision], is_tainted: bool, now: float) -> None:
        """Note a batch that was decided on, and whether it ended inside a taint window."""
        with self._lock:
            if self._was_tainted and self._last is not None:
                self._taint_seconds += now - self._last
            self._was_tainted, self._last = is_tainted, now
            self.decided += len(frames)
        if self._watcher is not None:
            self._watcher.looked(self.name, frames, decisions, now)

    def count(self, frame: Frame, decision: Decision, now: float) -> None:
        """Note a frame's final decision."""
        with self._lock:
            self._counts.count(decision)
            if decision.keep and frame.arrived_seconds is not None:
                latency = now - frame.arrived_seconds
                self._latencies[bisect_left(LATENCY_BOUNDS, latency)] += 1
                self._latency_sum += latency
        if self._watcher is not None:
            self._watcher.counted(self.name, frame, decision, now)

    def status(self, queue_depth: int, reconnects: int) -> StreamStatus:
        """All of it, now."""
        now = time.monotonic()
        with self._lock:
            counts = Summary(Counter(self._counts.kept_by_reason), Counter(self._counts.dropped_by_reason))
            for name in ("seconds", "frames_reused", "reuse_checked", "reuse_differing"):
                setattr(counts, name, getattr(self._counts, name))
            counts.spared_by_reason = Counter(self._counts.spared_by_reason)
            return StreamStatus(
                self.name, self.uri, self.state, self.detail, counts, tuple(self._latencies), self._latency_sum,
                reconnects, self._taint_seconds, queue_depth, None if self._last is None else now - self._last,
                self._thresholds, self.camera,
            )  # fmt: skip


def _plain(counts: Counter[Reason]) -> dict[str, int]:
    return {reason.value: number for reason, number in sorted(counts.items())}


def _causes(counts: Counter[Reason]) -> str:
    named = [f"{reason.value} {number}" for reason, number in counts.most_common()]
    return f" ({', '.join(named)})" if named else ""
