"""Prometheus metrics of one gateway process, and of the stream as it sees it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from workers.stream import Counts

_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_STREAM_GAUGES = {
    "waiting": ("leadtime_jobs_waiting", "Jobs in the stream that were never claimed (the consumer group's lag)."),
    "pending": ("leadtime_jobs_pending", "Jobs claimed and not acknowledged: running, or handed back."),
    "released": ("leadtime_jobs_released", "Jobs handed back, to be claimed before others; part of the pending."),
    "deferred": ("leadtime_jobs_deferred", "Jobs that wait for their time outside the stream."),
    "dead": ("leadtime_dead_letters", "Failed jobs whose payload is kept."),
    "workers": ("leadtime_workers", "Registered workers, starting ones included."),
    "idle_workers": ("leadtime_workers_idle", "Workers that wait for a job."),
}


class Metrics:
    """Counts this process's requests and pushes."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "leadtime_http_requests", "Answered requests.", ["endpoint", "method", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "leadtime_http_request_seconds",
            "Time from a request's head to the end of its answer, waits included.",
            ["endpoint"],
            buckets=_BUCKETS_S,
            registry=self.registry,
        )
        self._pushes = Counter(
            "leadtime_pushes", "Pushes by outcome: accepted, existing, conflict, full.", ["outcome"],
            registry=self.registry,
        )  # fmt: skip
        self._waiters = Gauge("leadtime_waiters", "Requests that wait for a job's end.", registry=self.registry)
        self._reachable = Gauge(
            "leadtime_stream_reachable", "1 if the stream could be read for this very scrape.", registry=self.registry
        )
        self._stream = {name: Gauge(*text, registry=None) for name, text in _STREAM_GAUGES.items()}
        # A child of a metric is looked up under a lock, by its labels: once is enough.
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._outcomes: dict[str, Counter] = {}

    def pushed(self, outcome: str) -> None:
        """Counts a push."""
        if outcome not in self._outcomes:
            self._outcomes[outcome] = self._pushes.labels(outcome)
        self._outcomes[outcome].inc()

    def answered(self, endpoint: str, method: str, status: int, seconds: float) -> None:
        """Counts a request."""
        key = (endpoint, method, status)
        if key not in self._children:
            self._children[key] = self._requests.labels(endpoint, method, status), self._seconds.labels(endpoint)
        requests, histogram = self._children[key]
        requests.inc()
        histogram.observe(seconds)

    def text(self, counts: Counts | None, waiters: int) -> bytes:
        """All of it in Prometheus' text format; the stream's figures only with `counts`."""
        self._waiters.set(waiters)
        self._reachable.set(counts is not None)
        text = generate_latest(self.registry)
        if counts is not None:
            stream = CollectorRegistry()
            for name, gauge in self._stream.items():
                gauge.set(getattr(counts, name))
                stream.register(gauge)
            text += generate_latest(stream)
        return text


class Measured:
    """ASGI middleware: counts and times requests, by endpoint."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s = time.perf_counter()
        status = 500

        async def send_measured(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_measured)
        finally:
            endpoint = scope.get("endpoint")
            # Methods and paths are the stranger's to choose; labels are not.
            name = endpoint.__name__ if endpoint is not None else "none"
            method = scope["method"] if endpoint is not None and status != 405 else "other"
            self._metrics.answered(name, method, status, time.perf_counter() - started_s)
