"""A scaler's metrics for Prometheus: the decision, what it rests on, and how old that is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from workers.telemetry.registry import PROMETHEUS, QuantilesFamily

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from workers.scaler.policy import Decision, State
    from workers.scaler.policy.durations import Durations
    from workers.scaler.reporting.status import ScalerStatus
    from workers.telemetry.registry import MetricsFormat

_QUANTILES = (0.5, 0.95)
# The values of one model, by the family's own label; "" if it has none.
_Values: TypeAlias = "Callable[[ScalerStatus], dict[str, float]]"


class ScalerMetrics(Collector):
    """Reads the status of each model's scaler whenever it is asked.

    Where there are several models, what belongs to one has its queue as a label.
    """

    def __init__(self, statuses: ScalerStatus | Mapping[str, ScalerStatus]) -> None:
        self._statuses = statuses if isinstance(statuses, Mapping) else {"": statuses}
        # With one queue there is no label: a dashboard of before goes on.
        self._by_queue = ["queue"] if len(self._statuses) > 1 else []
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def text(self, form: MetricsFormat = PROMETHEUS) -> bytes:
        """Returns all metrics."""
        return form.encoded(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yields the metrics, for the registry."""
        leads = any(status.leads for status in self._statuses.values())
        age_s = max(status.age_s for status in self._statuses.values())
        yield GaugeMetricFamily("leadtime_scaler_leads", "1 if this scaler decides.", float(leads))
        yield GaugeMetricFamily("leadtime_scaler_round_age_seconds", "Seconds since the last round.", age_s)
        for kind, name, text, label, values_of in _FAMILIES:
            family = kind(name, text, labels=[*([label] if label else []), *self._by_queue])
            for queue, status in self._statuses.items():
                for value_of, value in values_of(status).items():
                    family.add_metric(
                        [*([value_of] if label else []), queue][: bool(label) + len(self._by_queue)], value
                    )
            if family.samples:
                yield family


def _unseen(status: ScalerStatus) -> dict[str, float]:
    return {"": status.failures}


def _changes(status: ScalerStatus) -> dict[str, float]:
    return {"": status.changes}


def _decided(value: Callable[[Decision], float]) -> Callable[[ScalerStatus], dict[str, float]]:
    return lambda status: {} if status.decision is None else {"": value(status.decision)}


def _denied(status: ScalerStatus) -> dict[str, float]:
    return {"": status.denied} if status.leads and status.decision is not None else {}


def _outstanding(status: ScalerStatus) -> dict[str, float]:
    return {} if status.outstanding is None else {"": status.outstanding}


def _workers(status: ScalerStatus) -> dict[str, float]:
    seen = status.replicas
    return (
        {}
        if seen is None
        else {
            "ready": seen.ready,
            "starting": len(seen.starting_ages_s),
            "unplaced": seen.unplaced,
            "leaving": seen.leaving,
        }
    )


def _parts(status: ScalerStatus) -> dict[str, float]:
    return {} if status.replicas is None else dict(status.replicas.startup_parts_s)


def _learnt(which: Callable[[State], Durations], mean: bool = False) -> Callable[[ScalerStatus], dict[str, float]]:
    def values(status: ScalerStatus) -> dict[str, float]:
        if status.learnt is None:
            return {}
        seen = which(status.learnt)
        return {"": seen.mean_s} if mean else {f"{share:g}": seen.quantile_s(share) for share in _QUANTILES}

    return values


_SERVICES, _STARTUPS = "How long jobs took that were seen.", "How long workers took to start that were seen."
# Kind, name, meaning, label, and the values of one model by that label.
_FAMILIES: list[tuple[type[GaugeMetricFamily | CounterMetricFamily | QuantilesFamily], str, str, str, _Values]] = [
    (CounterMetricFamily, "leadtime_scaler_unseen", "Rounds in which jobs or workers could not be seen.", "", _unseen),
    (
        CounterMetricFamily,
        "leadtime_scaler_changes",
        "Times that another number of workers was decided here.",
        "",
        _changes,
    ),
    (
        GaugeMetricFamily,
        "leadtime_scaler_replicas_wanted",
        "Workers there should be.",
        "",
        _decided(lambda decision: decision.replicas),
    ),
    (
        GaugeMetricFamily,
        "leadtime_scaler_replicas_denied",
        "Workers that would be worth their cost beyond what the budget gives.",
        "",
        _denied,
    ),
    (
        GaugeMetricFamily,
        "leadtime_scaler_holding",
        "1 while an older decision holds, for want of data.",
        "",
        _decided(lambda decision: float(decision.held)),
    ),
    (
        GaugeMetricFamily,
        "leadtime_scaler_decision_timestamp_seconds",
        "When what the decision goes by was seen, by the stream's server (Unix time).",
        "",
        _decided(lambda decision: decision.at_ms / 1000),
    ),
    (
        GaugeMetricFamily,
        "leadtime_scaler_expected_rate",
        "Jobs per second expected when a start would be over.",
        "",
        _decided(lambda decision: decision.rate),
    ),
    (GaugeMetricFamily, "leadtime_scaler_outstanding_jobs", "Jobs that wait or run.", "", _outstanding),
    (GaugeMetricFamily, "leadtime_scaler_workers", "Workers, by their state.", "state", _workers),
    (
        GaugeMetricFamily,
        "leadtime_scaler_startup_part_seconds",
        "How long a part of a start took: scheduled, pulled, started, loaded. Median of the last ones.",
        "part",
        _parts,
    ),
    (
        QuantilesFamily,
        "leadtime_scaler_service_seconds",
        f"{_SERVICES} Quantiles of the last ones.",
        "quantile",
        _learnt(lambda state: state.services),
    ),
    (
        GaugeMetricFamily,
        "leadtime_scaler_service_seconds_mean",
        f"{_SERVICES} Mean of the last ones.",
        "",
        _learnt(lambda state: state.services, mean=True),
    ),
    (
        QuantilesFamily,
        "leadtime_scaler_startup_seconds",
        f"{_STARTUPS} Quantiles of the last ones.",
        "quantile",
        _learnt(lambda state: state.startups),
    ),
    (
        GaugeMetricFamily,
        "leadtime_scaler_startup_seconds_mean",
        f"{_STARTUPS} Mean of the last ones.",
        "",
        _learnt(lambda state: state.startups, mean=True),
    ),
]
