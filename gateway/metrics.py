"""Prometheus metrics of one gateway process, and of the stream as this process sees it."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from workers.telemetry.registry import PROMETHEUS, ProcessRegistry, QuantilesFamily

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from prometheus_client import Metric

    from gateway.http.connection.budget import ByteBudget
    from workers.stream import Counts, ServerMemory
    from workers.telemetry.registry import MetricsFormat

_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_STREAM_GAUGES = {
    "waiting": ("leadtime_jobs_waiting", "Jobs in the stream that were never claimed (the consumer group's lag)."),
    "pending": ("leadtime_jobs_pending", "Jobs claimed and not acknowledged: running, handed back, or held ahead."),
    "released": ("leadtime_jobs_released", "Jobs handed back, to be claimed before others; part of the pending."),
    "ahead": ("leadtime_jobs_ahead", "Jobs that workers hold ahead without running them; part of the pending."),
    "high": ("leadtime_jobs_waiting_high", "Jobs of high priority that were never claimed; part of the waiting."),
    "low": ("leadtime_jobs_waiting_low", "Jobs of low priority that were never claimed; part of the waiting."),
    "deferred": ("leadtime_jobs_deferred", "Jobs that wait for their time outside the stream."),
    "dead": ("leadtime_dead_letters", "Failed jobs whose payload is kept."),
    "workers": ("leadtime_workers", "Registered workers, starting ones included."),
    "idle_workers": ("leadtime_workers_idle", "Workers that wait for a job."),
}
_LATENCY = (
    "leadtime_job_latency_seconds",
    "From push to end, of jobs that ended in the last five minutes: quantiles of a sample.",
)
_WAIT = ("leadtime_job_wait_seconds", "From push to start, of the same jobs: quantiles of a sample.")
_LONGEST_WAIT = ("leadtime_jobs_longest_wait_seconds", "How long the oldest waiting job has waited; 0 if none waits.")
_MEMORY_GAUGES = {
    "used_bytes": ("leadtime_server_memory_used_bytes", "Memory that the stream's server uses, all of its data."),
    "max_bytes": ("leadtime_server_memory_max_bytes", "The server's maxmemory; 0 is no limit."),
}


class RecentTimes(NamedTuple):
    """Of the jobs that ended in the last five minutes, from a sample; None without any. Latencies: push to end."""

    latency_p50_s: float | None
    latency_p95_s: float | None
    wait_p95_s: float | None


class QueueState(NamedTuple):
    """What a scrape has read of a queue."""

    counts: Counts
    longest_wait_s: float
    times: RecentTimes


class GatewayMetrics(Collector):
    """Counts this process's requests and pushes, and times the requests. `budget` is what connections hold."""

    def __init__(
        self,
        budget: ByteBudget,
        queues: Sequence[str] = ("",),
        histogram: type[Histogram] = Histogram,
    ) -> None:
        self._budget = budget
        self._queues = queues
        self._registry = ProcessRegistry()
        # Plain numbers: prometheus-client's counters would add 1 % to the time of a push.
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self.pushes: Counter[tuple[str, str]] = Counter()
        self.webhooks: Counter[tuple[str, str]] = Counter()
        times = histogram(
            "leadtime_http_request_seconds",
            "Time from a request's head to the end of its answer, waits included.",
            ["endpoint"],
            buckets=_BOUNDS_S,
            registry=self._registry,
        )
        # `labels` costs more than `observe`. There are few endpoints, so the cache stays small.
        self._times = cache(times.labels)
        self._waiters = 0
        self._states: Mapping[str, QueueState] | None = None
        self._memory: ServerMemory | None = None
        self._registry.register(self)

    def of(self, queue: str) -> QueueMetrics:
        """What counts for a queue."""
        return QueueMetrics(self, queue)

    def answered(self, endpoint: str, method: str, status: int, seconds: float) -> None:
        """Counts a request that reached an endpoint."""
        self._requests[endpoint, method, status] += 1
        self._times(endpoint).observe(seconds)

    def turned_away(self, status: int) -> None:
        """Counts a request that reached no endpoint. Its path and method are no labels: a client could make up any."""
        self._requests["none", "other", status] += 1

    def text(
        self,
        states: Mapping[str, QueueState] | None,
        waiters: int,
        memory: ServerMemory | None = None,
        form: MetricsFormat = PROMETHEUS,
    ) -> bytes:
        """All metrics, with the state of each queue. What is None is left out."""
        self._states, self._memory, self._waiters = states, memory, waiters
        return self._registry.text(form)

    def collect(self) -> Iterator[Metric]:
        """All metrics but the process' own, for the registry."""
        requests = CounterMetricFamily(
            "leadtime_http_requests", "Answered requests.", labels=["endpoint", "method", "status"]
        )
        for (endpoint, method, status), count in self._requests.items():
            requests.add_metric([endpoint, method, str(status)], count)
        yield requests
        # With one queue there is no label: a dashboard of before goes on.
        by_queue = ["queue"] if len(self._queues) > 1 else []
        for name, text, outcomes in (
            (
                "leadtime_pushes",
                "Pushes: accepted, existing, conflict, full, limited or invalid.",
                self.pushes,
            ),
            ("leadtime_webhooks", "Tries of webhooks by outcome: delivered, retried, failed.", self.webhooks),
        ):
            family = CounterMetricFamily(name, text, labels=["outcome", *by_queue])
            for (queue, outcome), count in outcomes.items():
                family.add_metric([outcome, queue][: 1 + len(by_queue)], count)
            yield family
        yield GaugeMetricFamily("leadtime_waiters", "Requests that wait for a job's end.", self._waiters)
        yield GaugeMetricFamily(
            "leadtime_buffered_bytes", "Held for clients that are slow to send or to read.", self._budget.held_bytes
        )
        cuts = CounterMetricFamily(
            "leadtime_connections_cut",
            "Connections that were cut off by reason: memory, write timeout, connections (too many), slow listener.",
            labels=["reason"],
        )
        for reason, count in self._budget.cuts.items():
            cuts.add_metric([reason], count)
        yield cuts
        yield GaugeMetricFamily(
            "leadtime_stream_reachable",
            "1 if the stream could be read for this very scrape.",
            float(self._states is not None),
        )
        yield from self._of_queues(by_queue)
        if self._memory is not None:
            for field, (name, text) in _MEMORY_GAUGES.items():
                if (value := getattr(self._memory, field)) is not None:
                    yield GaugeMetricFamily(name, text, value)

    def _of_queues(self, by_queue: Sequence[str]) -> Iterator[Metric]:
        states = self._states or {}
        gauges = [
            (name, text, {queue: getattr(state.counts, field) for queue, state in states.items()})
            for field, (name, text) in _STREAM_GAUGES.items()
        ]
        waits_s = {queue: state.longest_wait_s for queue, state in states.items()}
        for name, text, values in (*gauges, (*_LONGEST_WAIT, waits_s)):
            family = GaugeMetricFamily(name, text, labels=by_queue)
            for queue, value in values.items():
                family.add_metric([queue][: len(by_queue)], value)
            if family.samples:
                yield family
        yield from _quantiles({queue: state.times for queue, state in states.items()}, by_queue)


def _quantiles(recent: Mapping[str, RecentTimes], by_queue: Sequence[str]) -> Iterator[Metric]:
    labels = ["quantile", *by_queue]
    latency, wait = (QuantilesFamily(name, text, labels=labels) for name, text in (_LATENCY, _WAIT))
    for queue, times in recent.items():
        for family, quantile, value in (
            (latency, "0.5", times.latency_p50_s),
            (latency, "0.95", times.latency_p95_s),
            (wait, "0.95", times.wait_p95_s),
        ):
            if value is not None:
                family.add_metric([quantile, queue][: len(labels)], value)
    yield from (family for family in (latency, wait) if family.samples)


class QueueMetrics:
    """Counts what happens with one queue; `all` are the metrics of the process."""

    def __init__(self, of_all: GatewayMetrics, queue: str) -> None:
        self.all = of_all
        self._queue = queue

    def pushed(self, outcome: str, count: int = 1) -> None:
        """Counts a push, or so many in one request."""
        self.all.pushes[self._queue, outcome] += count

    def webhook(self, outcome: str) -> None:
        """Counts a try to deliver a webhook."""
        self.all.webhooks[self._queue, outcome] += 1
