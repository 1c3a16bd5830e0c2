"""What a scaler tells Prometheus: the decision, what it is made of, and how old that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from workers.scaler.loop import Scaler
    from workers.scaler.policy.durations import Durations

_QUANTILES = (0.5, 0.95)


class ScalerMetrics(Collector):
    """Reads one scaler whenever it is asked."""

    def __init__(self, scaler: Scaler) -> None:
        self._scaler = scaler
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """For the registry."""
        scaler, verdict, brain = self._scaler, self._scaler.verdict, self._scaler.brain
        yield GaugeMetricFamily("leadtime_scaler_leads", "1 if this scaler decides.", float(scaler.leads))
        yield GaugeMetricFamily("leadtime_scaler_round_age_seconds", "Seconds since the last round.", scaler.age_s)
        yield CounterMetricFamily(
            "leadtime_scaler_unseen", "Rounds in which jobs or workers could not be seen.", scaler.failures
        )
        yield CounterMetricFamily(
            "leadtime_scaler_changes", "Times that another number of workers was decided here.", scaler.changes
        )
        if verdict is not None:
            yield GaugeMetricFamily("leadtime_scaler_replicas_wanted", "Workers there should be.", verdict.replicas)
            yield GaugeMetricFamily(
                "leadtime_scaler_holding", "1 while an older decision holds, for want of data.", float(verdict.held)
            )
            yield GaugeMetricFamily(
                "leadtime_scaler_decision_timestamp_seconds",
                "When what the decision goes by was seen, by the stream's server (Unix time).",
                verdict.at_ms / 1000,
            )
            yield GaugeMetricFamily(
                "leadtime_scaler_expected_rate", "Jobs per second expected when a start would be over.", verdict.rate
            )
        if scaler.outstanding is not None:
            yield GaugeMetricFamily("leadtime_scaler_outstanding_jobs", "Jobs that wait or run.", scaler.outstanding)
        if scaler.replicas is not None:
            workers = GaugeMetricFamily("leadtime_scaler_workers", "Workers, by their state.", labels=["state"])
            workers.add_metric(["ready"], scaler.replicas.ready)
            workers.add_metric(["starting"], len(scaler.replicas.starting_ages_s))
            yield workers
        if brain is not None and brain.state is not None:
            yield from _durations(
                "leadtime_scaler_service_seconds", "How long jobs took that were seen.", brain.state.services
            )
            yield from _durations(
                "leadtime_scaler_startup_seconds",
                "How long workers took to start that were seen.",
                brain.state.startups,
            )


def _durations(name: str, text: str, seen: Durations) -> Iterator[Metric]:
    quantiles = GaugeMetricFamily(name, f"{text} Quantiles of the last ones.", labels=["quantile"])
    for share in _QUANTILES:
        quantiles.add_metric([f"{share:g}"], seen.quantile_s(share))
    yield quantiles
    yield GaugeMetricFamily(f"{name}_mean", f"{text} Mean of the last ones.", seen.mean_s)
