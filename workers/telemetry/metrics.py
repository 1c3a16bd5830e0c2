"""What one worker process counts and times, for Prometheus."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Literal, TypeAlias

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from workers.telemetry.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client import Metric

JobOutcome: TypeAlias = Literal["finished", "failed", "retried", "released", "cancelled", "lost"]
OUTCOMES: tuple[JobOutcome, ...] = ("finished", "failed", "retried", "released", "cancelled", "lost")
_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)


class Recent:
    """How many there were, and the last `KEPT` of them, in seconds: what a scaler learns from."""

    __slots__ = ("count", "last_s")

    KEPT = 32

    def __init__(self) -> None:
        self.count = 0
        self.last_s: deque[float] = deque(maxlen=self.KEPT)

    def add(self, seconds: float) -> None:
        """Counts one."""
        self.count += 1
        self.last_s.append(seconds)

    def text(self) -> str:
        """The last ones, oldest first, separated by spaces."""
        return " ".join(f"{seconds:.4g}" for seconds in self.last_s)


class Metrics(Collector):
    """Counters and times of one worker."""

    def __init__(self) -> None:
        self.jobs: dict[JobOutcome, int] = dict.fromkeys(OUTCOMES, 0)
        self.attempts = Histogram(_BOUNDS_S)
        self.served = Recent()
        self.queue_waits = Histogram(_BOUNDS_S)
        self.model_loads = Histogram(_BOUNDS_S)
        self._gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        self.registry = CollectorRegistry()
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def add_gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """`value` is asked whenever somebody wants to know."""
        self._gauges[name] = (text, value)

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        """What the registry asks for."""
        jobs = CounterMetricFamily(
            "leadtime_worker_jobs",
            "Attempts by how they ended. finished, failed: the job has ended. retried: it waits for another attempt. "
            "released: handed back when the worker stopped. cancelled: stopped by its user. lost: its lease had run "
            "out, or it had ended otherwise.",
            labels=["outcome"],
        )
        for outcome, count in self.jobs.items():
            jobs.add_metric([outcome], count)
        yield jobs
        yield _family(
            "leadtime_worker_attempt_seconds", "Time from an attempt's start to its function's end.", self.attempts
        )
        yield _family(
            "leadtime_worker_queue_wait_seconds",
            "Time from a job's push to the start of its first attempt.",
            self.queue_waits,
        )
        yield _family(
            "leadtime_worker_model_load_seconds",
            "Time from a model process's start until its model was loaded.",
            self.model_loads,
        )
        for name, (text, value) in self._gauges.items():
            yield GaugeMetricFamily(name, text, value=value())


def _family(name: str, text: str, histogram: Histogram) -> HistogramMetricFamily:
    return HistogramMetricFamily(name, text, buckets=histogram.buckets(), sum_value=histogram.sum_s)
