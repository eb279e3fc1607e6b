"""For those who look after it: Prometheus metrics and a health check over HTTP, and logs as JSON."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from streamfilter.errors import MissingExtraError
from streamfilter.health import Condition
from streamfilter.metrics import LATENCY_BOUNDS, StreamStatus
from streamfilter.web import LOOPBACK, Listener

if TYPE_CHECKING:
    from prometheus_client.core import Metric

BEGINNING = ("starting", "connecting", "connected")
"""States of a stream on its way to its first frame."""
SILENT_SECONDS = 10.0
"""A loop that has not come round for so long hangs."""
STATES = ("starting", "connecting", "connected", "playing", "waiting", "unhealthy", "failed", "closed")

Statuses = Callable[[], Sequence[StreamStatus]]


class Server:
    """`/metrics` and `/healthz` on a port, until closed.

    Args:
        statuses: gives the state of all streams.
        port: to listen on; 0 for any free one.
        host: to listen at; only this machine by default.

    Raises:
        MissingExtraError: prometheus-client is not installed.
        ConfigError: the port cannot be had.
    """

    def __init__(self, statuses: Statuses, port: int, host: str = LOOPBACK) -> None:
        try:
            from prometheus_client import CollectorRegistry, make_wsgi_app
        except ImportError as error:
            raise MissingExtraError(
                'prometheus-client is not installed; run: pip install "streamfilter[metrics]"'
            ) from error
        registry = CollectorRegistry()
        registry.register(_Collector(statuses))
        self._statuses = statuses
        self._metrics = make_wsgi_app(registry)
        self._ticked = time.monotonic()
        self._listener = Listener(self._answer, port, host, "metrics")
        self.port: int = self._listener.port

    def tick(self) -> None:
        """Say that the loop has come round; `/healthz` fails when it has not for ten seconds."""
        self._ticked = time.monotonic()

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "/")
        if path == "/metrics":
            method = environ["REQUEST_METHOD"].replace("HEAD", "GET")
            answer: Iterable[bytes] = self._metrics({**environ, "REQUEST_METHOD": method}, start)
            return answer
        if path == "/healthz":
            health = self.health()
            start("200 OK" if health["healthy"] else "503 Service Unavailable", [("Content-Type", "application/json")])
            return [json.dumps(health, indent=1).encode()]
        start("404 Not Found", [("Content-Type", "text/plain")])
        return [b"/metrics or /healthz\n"]

    def health(self) -> dict[str, Any]:
        """What `/healthz` tells: healthy while the loop runs and at least one stream works."""
        statuses = self._statuses()
        working = [status.name for status in statuses if _works(status)]
        return {
            "healthy": bool(working) and time.monotonic() - self._ticked < SILENT_SECONDS,
            "working": len(working),
            "streams": {
                status.name: {
                    "state": status.state,
                    "detail": status.detail,
                    "last_frame_seconds": _short(status),
                    "camera": list(status.camera),
                }
                for status in statuses
            },
        }


def _works(status: StreamStatus) -> bool:
    """Whether frames come, or the first ones may be on their way: nothing has gone wrong since the start."""
    return status.state == "playing" or (status.state in BEGINNING and not status.detail)


def _short(status: StreamStatus) -> float | None:
    return None if status.last_frame_seconds is None else round(status.last_frame_seconds, 3)


class _Collector:
    """The states of the streams as Prometheus wants them."""

    def __init__(self, statuses: Statuses) -> None:
        self._statuses = statuses

    def describe(self) -> list[Metric]:
        """Nothing beforehand: which streams there are changes."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All metrics of all streams, now."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        statuses = self._statuses()
        frames = CounterMetricFamily(
            "streamfilter_frames", "Frames by what became of them", labels=["stream", "kept", "reason"]
        )
        reconnects = CounterMetricFamily("streamfilter_reconnects", "Connects after the first", labels=["stream"])
        taint = CounterMetricFamily("streamfilter_taint_seconds", "Time in taint windows", labels=["stream"])
        depth = GaugeMetricFamily("streamfilter_queue_frames", "Frames waiting", labels=["stream"])
        state = GaugeMetricFamily("streamfilter_state", "1 for the state a stream is in", labels=["stream", "state"])
        camera = GaugeMetricFamily(
            "streamfilter_camera_health", "1 for what is wrong with a camera", labels=["stream", "condition"]
        )
        latency = HistogramMetricFamily(
            "streamfilter_latency_seconds", "From packet to delivery, kept frames", labels=["stream"]
        )
        for status in statuses:
            for kept, reasons in (("true", status.counts.kept_by_reason), ("false", status.counts.dropped_by_reason)):
                for reason, number in reasons.items():
                    frames.add_metric([status.name, kept, reason.value], number)
            reconnects.add_metric([status.name], status.reconnects)
            taint.add_metric([status.name], status.taint_seconds)
            depth.add_metric([status.name], status.queue_depth)
            for one in STATES:
                state.add_metric([status.name, one], float(status.state == one))
            for condition in Condition:
                camera.add_metric([status.name, condition.value], float(condition in status.camera))
            latency.add_metric([status.name], _buckets(status.latency_counts), status.latency_sum)
        yield from (frames, reconnects, taint, depth, state, camera, latency, *_trust_metrics(statuses))


def _trust_metrics(statuses: Sequence[StreamStatus]) -> Iterator[Metric]:
    """What canaries and scores say of the drops; a stream has no sample where nothing is known."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    counters = {
        "passed": CounterMetricFamily("streamfilter_canaries", "Frames spared from being dropped", labels=["stream"]),
        "answered": CounterMetricFamily("streamfilter_canaries_answered", "Those with feedback", labels=["stream"]),
        "wrongful": CounterMetricFamily("streamfilter_canaries_wrongful", "Those that were useful", labels=["stream"]),
    }
    rate = GaugeMetricFamily(
        "streamfilter_wrongful_drop_rate", "Share of the drops that were useful, 95 %", labels=["stream", "end"]
    )
    drift = GaugeMetricFamily(
        "streamfilter_score_drift", "Distance of the scores from the profile's, 0-1", labels=["stream", "task"]
    )
    credible = GaugeMetricFamily(
        "streamfilter_bound_credible", "1 while answers and scores allow what the profile promised", labels=["stream"]
    )
    for status in statuses:
        if (trust := status.trust) is None:
            continue
        for name, counter in counters.items():
            counter.add_metric([status.name], trust.counts[name])
        if trust.canary.wrongful_rate is not None:
            low, high = trust.canary.interval
            for end, value in (("low", low), ("estimate", trust.canary.wrongful_rate), ("high", high)):
                rate.add_metric([status.name, end], value)
        for task, distance in (trust.drift.distances if trust.drift else {}).items():
            drift.add_metric([status.name, task], distance)
        if trust.is_credible is not None:
            credible.add_metric([status.name], float(trust.is_credible))
    yield from (*counters.values(), rate, drift, credible)


def _buckets(counts: Sequence[int]) -> list[tuple[str, float]]:
    """Cumulative counts with their upper bounds."""
    total, buckets = 0, []
    for bound, number in zip([*map(str, LATENCY_BOUNDS), "+Inf"], counts, strict=True):
        total += number
        buckets.append((bound, float(total)))
    return buckets


class JsonFormatter(logging.Formatter):
    """One JSON object a log line: time (ISO 8601, UTC), level, logger, message, and the exception if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        fields = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)
