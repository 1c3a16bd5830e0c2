"""What one worker process counts and times, for Prometheus."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Literal, TypeAlias

from prometheus_client import Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from workers.telemetry.registry import PROMETHEUS, ProcessRegistry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client import Metric

    from workers.telemetry.registry import MetricsFormat

JobOutcome: TypeAlias = Literal["finished", "failed", "retried", "released", "cancelled", "lost"]
OUTCOMES: tuple[JobOutcome, ...] = ("finished", "failed", "retried", "released", "cancelled", "lost")
_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)


class ServiceTimes:
    """How many attempts ran to their end (`count`), and the seconds that the last `KEPT` of them took.

    The worker's registration tells them to the scaler, which learns from them how long a job takes.
    """

    __slots__ = ("count", "last_s")

    KEPT = 32

    def __init__(self) -> None:
        self.count = 0
        self.last_s: deque[float] = deque(maxlen=self.KEPT)

    def add(self, seconds: float) -> None:
        """Counts one attempt."""
        self.count += 1
        self.last_s.append(seconds)

    def text(self) -> str:
        """The last ones, oldest first, separated by spaces."""
        return " ".join(f"{seconds:.4g}" for seconds in self.last_s)


class WorkerMetrics(Collector):
    """Counters and times of one worker. `jobs` counts attempts by outcome."""

    def __init__(self, histogram: type[Histogram] = Histogram) -> None:
        self._registry = ProcessRegistry()
        self._registry.register(self)
        self._gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        self.jobs: dict[JobOutcome, int] = dict.fromkeys(OUTCOMES, 0)
        self.served = ServiceTimes()
        self.attempts = histogram(
            "leadtime_worker_attempt_seconds",
            "Time from an attempt's start to its function's end.",
            buckets=_BOUNDS_S,
            registry=self._registry,
        )
        self.queue_waits = histogram(
            "leadtime_worker_queue_wait_seconds",
            "Time from a job's push to the start of its first attempt.",
            buckets=_BOUNDS_S,
            registry=self._registry,
        )
        self.model_loads = histogram(
            "leadtime_worker_model_load_seconds",
            "Time from a model process's start until its model was loaded.",
            buckets=_BOUNDS_S,
            registry=self._registry,
        )

    def waited(self, seconds: float) -> None:
        """Counts a job's wait in the queue. Two clocks measure it: less than 0 counts as 0."""
        self.queue_waits.observe(max(0.0, seconds))

    def add_gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Adds a gauge; each scrape calls `value`."""
        self._gauges[name] = (text, value)

    def text(self, form: MetricsFormat = PROMETHEUS) -> bytes:
        """All metrics."""
        return self._registry.text(form)

    def collect(self) -> Iterator[Metric]:
        """The metrics that are no histograms, for the registry."""
        jobs = CounterMetricFamily(
            "leadtime_worker_jobs",
            "Attempts by how they ended. finished, failed: the job has ended. retried: it waits for another attempt. "
            "released: handed back, as the worker stopped or lacks the function. cancelled: stopped by its user. "
            "lost: its lease had run out, or it had ended otherwise.",
            labels=["outcome"],
        )
        for outcome, count in self.jobs.items():
            jobs.add_metric([outcome], count)
        yield jobs
        for name, (text, value) in self._gauges.items():
            yield GaugeMetricFamily(name, text, value=value())
