"""The HorizontalPodAutoscaler's arithmetic for one external metric with a target average value.

After the controller's sources (kubernetes/kubernetes, pkg/controller/podautoscaler): `reconcileAutoscaler`,
`normalizeDesiredReplicas` and `normalizeDesiredReplicasWithBehaviors` with what they call in horizontal.go, and
`GetExternalPerPodMetricReplicas` in replica_calculator.go. An HPA without `behavior` at most doubles the number at a
time (or makes it 4). If `scaleUp` or `scaleDown` is set, the other one has the defaults of
pkg/apis/autoscaling/v2/defaults.go, and this limit is gone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

SYNC_S = 15.0
TOLERANCE = 0.1
DOWNSCALE_STABILIZATION_S = 300.0


@dataclass(frozen=True, slots=True)
class ScalingPolicy:
    """At most `value` pods, or per cent of them, within any `period_s`."""

    kind: Literal["Pods", "Percent"]
    value: int
    period_s: float


@dataclass(frozen=True, slots=True)
class ScalingRules:
    """`scaleUp` or `scaleDown`; the policy that allows the larger change counts (`selectPolicy: Max`)."""

    policies: tuple[ScalingPolicy, ...]
    stabilization_s: float


@dataclass(frozen=True, slots=True)
class Behavior:
    """`spec.behavior`, with the API's defaults for what is left out."""

    up: ScalingRules = ScalingRules((ScalingPolicy("Pods", 4, 15), ScalingPolicy("Percent", 100, 15)), 0.0)
    down: ScalingRules = ScalingRules((ScalingPolicy("Percent", 100, 15),), DOWNSCALE_STABILIZATION_S)


@dataclass(slots=True)
class Hpa:
    """One HPA with its memory."""

    minimum: int  # at least 1: below, KEDA acts in its place
    maximum: int
    target: float  # of the metric for each replica
    behavior: Behavior | None = None
    _recommendations: list[tuple[float, int]] = field(default_factory=list)  # times, and replicas
    _changes: list[tuple[float, int]] = field(
        default_factory=list
    )  # times, and replicas that were added; negative: taken

    def tick(self, now_s: float, current: int, metric: float) -> int:
        """One reconciliation: the replicas that are to be, by those that are. With none it does nothing."""
        if current == 0:
            return 0
        if not self.minimum <= current <= self.maximum:
            wanted = min(max(current, self.minimum), self.maximum)
        elif self.behavior is None:
            wanted = self._plain(now_s, current, self._proposal(current, metric))
        else:
            wanted = self._rated(now_s, current, self._proposal(current, metric), self.behavior)
        if wanted != current:
            self._changes.append((now_s, wanted - current))
        return wanted

    def _proposal(self, current: int, metric: float) -> int:
        metric = math.ceil(metric * 1000 - 1e-6) / 1000  # Kubernetes rounds a quantity up to thousandths
        # As Kubernetes has it from 1.33 on: exactly a tenth is within the tolerance.
        if 1.0 - TOLERANCE <= metric / (self.target * current) <= 1.0 + TOLERANCE:
            return current
        return math.ceil(metric / self.target)

    def _plain(self, now_s: float, current: int, wanted: int) -> int:
        """Without `behavior`."""
        self._recommendations = [kept for kept in self._recommendations if kept[0] >= now_s - DOWNSCALE_STABILIZATION_S]
        highest = max([wanted, *(number for _, number in self._recommendations)])
        self._recommendations.append((now_s, wanted))
        return max(self.minimum, min(highest, self.maximum, max(2 * current, 4)))

    def _rated(self, now_s: float, current: int, wanted: int, behavior: Behavior) -> int:
        """With `behavior`: stabilized first, then held to its policies."""
        up_s, down_s = now_s - behavior.up.stabilization_s, now_s - behavior.down.stabilization_s
        lowest = min([wanted, *(number for time_s, number in self._recommendations if time_s > up_s)])
        highest = max([wanted, *(number for time_s, number in self._recommendations if time_s > down_s)])
        self._recommendations = [kept for kept in self._recommendations if kept[0] >= min(up_s, down_s)]
        self._recommendations.append((now_s, wanted))
        stable = min(max(current, lowest), highest)
        if stable > current:
            return min(stable, max(current, self._limit(now_s, current, behavior.up, 1)), self.maximum)
        return max(stable, min(current, self._limit(now_s, current, behavior.down, -1)), self.minimum)

    def _limit(self, now_s: float, current: int, rules: ScalingRules, way: Literal[1, -1]) -> int:
        """How far the policies let it go: 1 is up, -1 down."""
        limits = []
        for policy in rules.policies:
            # How many there were when the period began.
            since_s = now_s - policy.period_s
            before = current - sum(number for time_s, number in self._changes if time_s > since_s)
            if policy.kind == "Pods":
                limits.append(before + way * policy.value)
            else:
                # Rounded so that the change is the larger one.
                limit = before * (1 + way * policy.value / 100)
                limits.append(math.ceil(limit) if way > 0 else int(limit))
        return way * max(way * limit for limit in limits)
