"""What carries a rule's decisions out: at once, or through KEDA and the HPA.

KEDA after its sources (kedacore/keda): `RequestScale`, `scaleFromZeroOrIdle` and `scaleToZeroOrIdle` in
pkg/scaling/executor/scale_scaledobjects.go, and the loops of pkg/scaling/scale_handler.go. It acts between 0 and 1
(or the minimum) only: everything else is its HPA's, which asks for the metric itself, once every 15 s.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.simulation.hpa import SYNC_S, Behavior, Hpa

if TYPE_CHECKING:
    from bench.simulation.cluster import SimulatedCluster
    from bench.simulation.rules import Rule

_ROUNDING_S = 1e-6


@dataclass(frozen=True, slots=True)
class DirectActuation:
    """The rule is asked every `interval_s`, for the first time at `phase_s`, and what it says is done at once."""

    interval_s: float = 1.0
    phase_s: float = 0.0

    def begin(self, cluster: SimulatedCluster, rule: Rule) -> None:
        def ask() -> None:
            decision = cluster.ask(rule)
            wanted = math.ceil(decision.metric or 0) if decision.replicas is None else decision.replicas
            cluster.scale(min(max(wanted, cluster.minimum), cluster.maximum))

        cluster.every(self.interval_s, self.phase_s, ask)


@dataclass
class KedaActuation:
    """A ScaledObject and the HPA that it makes."""

    target: float = 1.0  # of the metric for each replica
    polling_s: float = 30.0
    cooldown_s: float = 300.0
    behavior: Behavior | None = None
    push: bool = False  # external-push: the scaler decides every second, and tells KEDA when it becomes (in)active
    keda_phase_s: float = 0.0  # its first poll
    hpa_phase_s: float = 0.0  # its first tick

    def begin(self, cluster: SimulatedCluster, rule: Rule) -> None:
        self._cluster, self._rule = cluster, rule
        self._hpa = Hpa(max(1, cluster.minimum), cluster.maximum, self.target, self.behavior)
        self._active_s = -math.inf  # lastActiveTime
        self._decided: float | None = None  # the metric, of a scaler that decides by itself
        self._pushed: bool | None = None
        if self.push:
            cluster.every(1.0, 0.0, self._decide)
        cluster.every(self.polling_s, self.keda_phase_s, lambda: self._request(self._metric() > 0))
        cluster.every(SYNC_S, self.hpa_phase_s, self._tick)

    def _ask(self) -> float:
        decision = self._cluster.ask(self._rule)
        return float(decision.replicas or 0) if decision.metric is None else decision.metric

    def _metric(self) -> float:
        return self._ask() if self._decided is None else self._decided

    def _decide(self) -> None:
        self._decided = self._ask()
        if (active := self._decided > 0) != self._pushed:
            self._pushed = active
            self._request(active)

    def _request(self, active: bool) -> None:
        """KEDA's RequestScale."""
        cluster, replicas, minimum = self._cluster, self._cluster.replicas, self._cluster.minimum
        if active:
            if replicas == 0:
                cluster.scale(max(minimum, 1))
            self._active_s = cluster.now_s
        elif replicas < minimum:
            cluster.scale(minimum)
        # The time is kept in whole seconds, so that polls that are a cool-down apart are enough.
        elif replicas and not minimum and self._active_s + self.cooldown_s < cluster.now_s + _ROUNDING_S:
            cluster.scale(0)

    def _tick(self) -> None:
        # At 0 the HPA is out of action and asks for nothing.
        current = self._cluster.replicas
        if current and (wanted := self._hpa.tick(self._cluster.now_s, current, self._metric())) != current:
            self._cluster.scale(wanted)
