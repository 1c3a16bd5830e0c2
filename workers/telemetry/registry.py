"""The registry of one process's metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import Metric


class ProcessRegistry(CollectorRegistry):
    """A registry of its own, with the process's CPU, memory and file descriptors in it."""

    def __init__(self) -> None:
        super().__init__()
        ProcessCollector(registry=self)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self)

    def collect(self) -> Iterable[Metric]:
        """All metrics without their `_created` series.

        `prometheus_client.disable_created_metrics` would leave them out too, but also from metrics that a worker's
        functions keep in registries of their own.
        """
        for metric in super().collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric
