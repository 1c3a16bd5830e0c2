"""Prometheus metrics of one gateway process, and of the stream as it sees it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from workers.telemetry.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workers.stream import Counts

_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
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
    """Counts this process's requests and pushes in plain numbers, and makes metrics of them when it is scraped."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._times: dict[str, Histogram] = {}
        self._pushes: Counter[str] = Counter()
        self._waiters = 0
        self._stream: Counts | None = None
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._registry.register(self)

    def pushed(self, outcome: str) -> None:
        """Counts a push."""
        self._pushes[outcome] += 1

    def answered(self, endpoint: str, method: str, status: int, seconds: float) -> None:
        """Counts a request that reached an endpoint."""
        self._requests[endpoint, method, status] += 1
        times = self._times.get(endpoint)
        if times is None:
            times = self._times[endpoint] = Histogram(_BOUNDS_S)
        times.add(seconds)

    def turned_away(self, status: int) -> None:
        """Counts a request that reached none: its path and method are a stranger's choice, and no labels."""
        self._requests["none", "other", status] += 1

    def text(self, counts: Counts | None, waiters: int) -> bytes:
        """All of it in Prometheus' text format; the stream's figures only with `counts`."""
        self._stream, self._waiters = counts, waiters
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """For the registry."""
        requests = CounterMetricFamily(
            "leadtime_http_requests", "Answered requests.", labels=["endpoint", "method", "status"]
        )
        for (endpoint, method, status), count in self._requests.items():
            requests.add_metric([endpoint, method, str(status)], count)
        yield requests
        times = HistogramMetricFamily(
            "leadtime_http_request_seconds",
            "Time from a request's head to the end of its answer, waits included.",
            labels=["endpoint"],
        )
        for endpoint, one in self._times.items():
            times.add_metric([endpoint], one.buckets(), one.sum_s)
        yield times
        pushes = CounterMetricFamily(
            "leadtime_pushes", "Pushes by outcome: accepted, existing, conflict, full.", labels=["outcome"]
        )
        for outcome, count in self._pushes.items():
            pushes.add_metric([outcome], count)
        yield pushes
        yield GaugeMetricFamily("leadtime_waiters", "Requests that wait for a job's end.", self._waiters)
        yield GaugeMetricFamily(
            "leadtime_stream_reachable",
            "1 if the stream could be read for this very scrape.",
            float(self._stream is not None),
        )
        if self._stream is not None:
            for field, (name, text) in _STREAM_GAUGES.items():
                yield GaugeMetricFamily(name, text, getattr(self._stream, field))
