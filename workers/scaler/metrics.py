"""A scaler's metrics for Prometheus: the decision, what it rests on, and how old that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from workers.scaler.policy.durations import Durations
    from workers.scaler.status import ScalerStatus

_QUANTILES = (0.5, 0.95)


class ScalerMetrics(Collector):
    """Reads the status of one scaler whenever it is asked."""

    def __init__(self, status: ScalerStatus) -> None:
        self._status = status
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """Returns all metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yields the metrics, for the registry."""
        status, decision = self._status, self._status.decision
        yield GaugeMetricFamily("leadtime_scaler_leads", "1 if this scaler decides.", float(status.leads))
        yield GaugeMetricFamily("leadtime_scaler_round_age_seconds", "Seconds since the last round.", status.age_s)
        yield CounterMetricFamily(
            "leadtime_scaler_unseen", "Rounds in which jobs or workers could not be seen.", status.failures
        )
        yield CounterMetricFamily(
            "leadtime_scaler_changes", "Times that another number of workers was decided here.", status.changes
        )
        if decision is not None:
            yield GaugeMetricFamily("leadtime_scaler_replicas_wanted", "Workers there should be.", decision.replicas)
            yield GaugeMetricFamily(
                "leadtime_scaler_holding", "1 while an older decision holds, for want of data.", float(decision.held)
            )
            yield GaugeMetricFamily(
                "leadtime_scaler_decision_timestamp_seconds",
                "When what the decision goes by was seen, by the stream's server (Unix time).",
                decision.at_ms / 1000,
            )
            yield GaugeMetricFamily(
                "leadtime_scaler_expected_rate", "Jobs per second expected when a start would be over.", decision.rate
            )
        if status.outstanding is not None:
            yield GaugeMetricFamily("leadtime_scaler_outstanding_jobs", "Jobs that wait or run.", status.outstanding)
        if status.replicas is not None:
            workers = GaugeMetricFamily("leadtime_scaler_workers", "Workers, by their state.", labels=["state"])
            workers.add_metric(["ready"], status.replicas.ready)
            workers.add_metric(["starting"], len(status.replicas.starting_ages_s))
            yield workers
        if status.learnt is not None:
            yield from _durations(
                "leadtime_scaler_service_seconds", "How long jobs took that were seen.", status.learnt.services
            )
            yield from _durations(
                "leadtime_scaler_startup_seconds",
                "How long workers took to start that were seen.",
                status.learnt.startups,
            )


def _durations(name: str, text: str, seen: Durations) -> Iterator[Metric]:
    quantiles = GaugeMetricFamily(name, f"{text} Quantiles of the last ones.", labels=["quantile"])
    for share in _QUANTILES:
        quantiles.add_metric([f"{share:g}"], seen.quantile_s(share))
    yield quantiles
    yield GaugeMetricFamily(f"{name}_mean", f"{text} Mean of the last ones.", seen.mean_s)
