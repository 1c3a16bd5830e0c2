"""What one worker process counts and times, for Prometheus."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from typing import TYPE_CHECKING, Literal, TypeAlias

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from prometheus_client import Metric

JobOutcome: TypeAlias = Literal["finished", "failed", "retried", "released", "cancelled", "lost"]
OUTCOMES: tuple[JobOutcome, ...] = ("finished", "failed", "retried", "released", "cancelled", "lost")
_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)


class Times:
    """A histogram of seconds that costs little to add to: a worker may end tens of thousands of jobs a second."""

    __slots__ = ("_buckets_s", "_counts", "_sum_s")

    def __init__(self, buckets_s: Sequence[float] = _BUCKETS_S) -> None:
        self._buckets_s = buckets_s
        self._counts = [0] * (len(buckets_s) + 1)
        self._sum_s = 0.0

    def add(self, seconds: float) -> None:
        """Counts one; less than 0 (clocks differ) counts as 0."""
        seconds = max(0.0, seconds)
        self._counts[bisect_left(self._buckets_s, seconds)] += 1
        self._sum_s += seconds

    def family(self, name: str, text: str) -> HistogramMetricFamily:
        """What Prometheus is told: counts up to each bound."""
        total, buckets = 0, []
        for bound_s, count in zip([*map(str, self._buckets_s), "+Inf"], self._counts, strict=True):
            total += count
            buckets.append((bound_s, float(total)))
        return HistogramMetricFamily(name, text, buckets=buckets, sum_value=self._sum_s)


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
        self.attempts = Times()
        self.served = Recent()
        self.queue_waits = Times()
        self.model_loads = Times()
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
        yield self.attempts.family(
            "leadtime_worker_attempt_seconds", "Time from an attempt's start to its function's end."
        )
        yield self.queue_waits.family(
            "leadtime_worker_queue_wait_seconds", "Time from a job's push to the start of its first attempt."
        )
        yield self.model_loads.family(
            "leadtime_worker_model_load_seconds", "Time from a model process's start until its model was loaded."
        )
        for name, (text, value) in self._gauges.items():
            yield GaugeMetricFamily(name, text, value=value())
