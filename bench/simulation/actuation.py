"""What carries a rule's decisions out: at once, or through KEDA and the HPA.

KEDA after its sources (kedacore/keda): `RequestScale`, `scaleFromZeroOrIdle` and `scaleToZeroOrIdle` in
pkg/scaling/executor/scale_scaledobjects.go, and the loops of pkg/scaling/scale_handler.go. It acts between 0 and 1
(or the minimum) only: everything else is its HPA's, which asks for the metric itself, once every 15 s.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from bench.simulation.hpa import SYNC_S, TOLERANCE, Behavior, Hpa

if TYPE_CHECKING:
    from bench.simulation.cluster import Cluster
    from bench.simulation.rule import Decision, Rule

_ROUNDING_S = 1e-6


class Actuation(Protocol):
    """How decisions become pods. A description: what it keeps of a run is made by `begin`."""

    def begin(self, cluster: Cluster, rule: Rule) -> None:
        """Plans its first deeds of a run."""


@dataclass(frozen=True, slots=True)
class Direct:
    """The rule is asked every `interval_s`, and what it says is done at once."""

    interval_s: float = 1.0
    phase_s: float = 0.0

    def begin(self, cluster: Cluster, rule: Rule) -> None:
        """Asks for the first time at `phase_s`."""

        def ask() -> None:
            decision = rule.decide(cluster.view())
            cluster.tell(decision)
            wanted = decision.replicas
            if wanted is None:
                wanted = math.ceil(decision.metric) if decision.metric is not None else cluster.replicas
            cluster.scale(min(max(wanted, cluster.minimum), cluster.maximum))
            cluster.at(cluster.now_s + self.interval_s, ask)

        cluster.at(self.phase_s, ask)


@dataclass(frozen=True, slots=True)
class Keda:
    """A ScaledObject and the HPA that it makes."""

    target: float = 1.0  # of the metric for each replica
    polling_s: float = 30.0
    cooldown_s: float = 300.0
    behavior: Behavior | None = None
    activation: float = 0.0  # active is a metric above it
    idle: int | None = None  # idleReplicaCount
    tolerance: float = TOLERANCE
    cached: bool = False  # useCachedMetrics: the HPA gets what the last poll found
    push: bool = False  # external-push: the scaler tells by itself when it becomes active or inactive
    decide_s: float | None = None  # how often the scaler decides; None decides when it is asked
    keda_phase_s: float = 0.0  # its first poll
    hpa_phase_s: float = 0.0  # its first tick

    def begin(self, cluster: Cluster, rule: Rule) -> None:
        """Starts all its loops."""
        _KedaRun(self, cluster, rule).begin()


class _KedaRun:
    """What KEDA and the HPA remember of one run."""

    def __init__(self, keda: Keda, cluster: Cluster, rule: Rule) -> None:
        self._keda = keda
        self._cluster = cluster
        self._rule = rule
        self._hpa = Hpa(max(1, cluster.minimum), cluster.maximum, keda.target, keda.behavior, keda.tolerance)
        self._decided: float | None = None  # the metric, of a scaler that decides by itself
        self._polled = 0.0
        self._active_s = -math.inf  # lastActiveTime
        self._pushed: bool | None = None

    def begin(self) -> None:
        if self._keda.decide_s is not None:
            self._cluster.at(0.0, self._decide)
        self._cluster.at(self._keda.keda_phase_s, self._poll)
        self._cluster.at(self._keda.hpa_phase_s, self._tick)

    def _ask(self) -> float:
        decision = self._rule.decide(self._cluster.view())
        self._cluster.tell(decision)
        return _metric_of(decision, self._keda.target * self._cluster.replicas)

    def _metric(self) -> float:
        return self._ask() if self._decided is None else self._decided

    def _decide(self) -> None:
        self._decided = self._ask()
        if self._keda.push and (active := self._decided > self._keda.activation) != self._pushed:
            self._pushed = active
            self._request(active)
        self._cluster.at(self._cluster.now_s + (self._keda.decide_s or 1.0), self._decide)

    def _poll(self) -> None:
        self._polled = self._metric()
        self._request(self._polled > self._keda.activation)
        self._cluster.at(self._cluster.now_s + self._keda.polling_s, self._poll)

    def _request(self, active: bool) -> None:
        """KEDA's RequestScale."""
        cluster, keda, now_s = self._cluster, self._keda, self._cluster.now_s
        replicas, minimum, idle = cluster.replicas, cluster.minimum, keda.idle
        if active:
            if replicas == 0 or (idle is not None and replicas < minimum):
                cluster.scale(max(minimum, 1))
            self._active_s = now_s
        elif (idle is not None and replicas > idle) or (replicas > 0 and minimum == 0):
            # The time is kept in whole seconds, so that polls that are a cool-down apart are enough.
            if self._active_s + keda.cooldown_s < now_s + _ROUNDING_S:
                cluster.scale(idle or 0)
        elif replicas < minimum and idle is None:
            cluster.scale(minimum)

    def _tick(self) -> None:
        current = self._cluster.replicas
        # At 0 the HPA is out of action and asks for nothing.
        metric = 0.0 if current == 0 else self._polled if self._keda.cached else self._metric()
        wanted = self._hpa.tick(self._cluster.now_s, current, metric)
        if wanted != current:
            self._cluster.scale(wanted)
        self._cluster.at(self._cluster.now_s + SYNC_S, self._tick)


def _metric_of(decision: Decision, otherwise: float) -> float:
    if decision.metric is not None:
        return decision.metric
    return otherwise if decision.replicas is None else float(decision.replicas)
