"""For those who look after it: Prometheus metrics and a health check over HTTP, and logs as JSON."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from socketserver import ThreadingMixIn
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from streamfilter.errors import ConfigError, MissingExtraError
from streamfilter.health import Condition
from streamfilter.metrics import LATENCY_BOUNDS, StreamStatus

if TYPE_CHECKING:
    from prometheus_client.core import Metric

WORKING = ("playing", "starting", "connecting", "connected", "added")
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

    def __init__(self, statuses: Statuses, port: int, host: str = "127.0.0.1") -> None:
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
        try:
            self._server = make_server(host, port, self._answer, _Threaded, _Quiet)
        except OSError as error:
            raise ConfigError(f"cannot listen on {host}:{port} ({error.strerror}); choose another port") from error
        self.port: int = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def tick(self) -> None:
        """Say that the loop has come round; `/healthz` fails when it has not for ten seconds."""
        self._ticked = time.monotonic()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "/")
        if path == "/metrics":
            answer: Iterable[bytes] = self._metrics(environ, start)
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
        working = [status.name for status in statuses if status.state in WORKING]
        return {
            "healthy": bool(working or not statuses) and time.monotonic() - self._ticked < SILENT_SECONDS,
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


def _short(status: StreamStatus) -> float | None:
    return None if status.last_frame_seconds is None else round(status.last_frame_seconds, 3)


class _Threaded(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    timeout = 10

    def log_message(self, format: str, *args: object) -> None:
        """No line for each scrape."""


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
        yield from (frames, reconnects, taint, depth, state, camera, latency)


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
