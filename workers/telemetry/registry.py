"""The registry of one process's metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Histogram,
    Metric,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.openmetrics import exposition as openmetrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


class MetricsFormat(NamedTuple):
    """A format of metrics. Exemplars are only in OpenMetrics'."""

    content_type: str
    encoded: Callable[[CollectorRegistry], bytes]


PROMETHEUS = MetricsFormat(CONTENT_TYPE_LATEST, generate_latest)
OPENMETRICS = MetricsFormat(openmetrics.CONTENT_TYPE_LATEST, openmetrics.generate_latest)


def format_for(accept: str | None) -> MetricsFormat:
    """The format for a scraper that sends this header `Accept`: OpenMetrics' only if it names that."""
    return OPENMETRICS if "application/openmetrics-text" in (accept or "") else PROMETHEUS


def histogram_class(is_traced: bool) -> type[Histogram]:
    """What a process's histograms are: traced ones name traces as exemplars."""
    if not is_traced:
        return Histogram
    from workers.telemetry.exemplars import TracedHistogram

    return TracedHistogram


class QuantilesFamily(Metric):
    """Quantiles of what was seen lately: a summary without sum and count. `quantile` is one of its labels."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str]) -> None:
        super().__init__(name, documentation, "summary")
        self._labels = tuple(labels)

    def add_metric(self, labels: Sequence[str], value: float) -> None:
        """Adds a quantile, with the labels' values in their order."""
        self.add_sample(self.name, dict(zip(self._labels, labels, strict=True)), value)


class ProcessRegistry(CollectorRegistry):
    """A registry of its own, with the process's CPU, memory and file descriptors in it."""

    def __init__(self) -> None:
        super().__init__()
        ProcessCollector(registry=self)

    def text(self, form: MetricsFormat = PROMETHEUS) -> bytes:
        """All metrics."""
        return form.encoded(self)

    def collect(self) -> Iterable[Metric]:
        """All metrics without their `_created` series.

        `prometheus_client.disable_created_metrics` would leave them out too, but also from metrics that a worker's
        functions keep in registries of their own.
        """
        for metric in super().collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric
