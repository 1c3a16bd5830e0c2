"""The HorizontalPodAutoscaler's arithmetic for one external metric with a target average value.

After the controller's sources (kubernetes/kubernetes, pkg/controller/podautoscaler): `reconcileAutoscaler`,
`normalizeDesiredReplicas` and `normalizeDesiredReplicasWithBehaviors` with what they call in horizontal.go, and
`GetExternalPerPodMetricReplicas` in replica_calculator.go. The defaults of a `behavior` are those of
pkg/apis/autoscaling/v2/defaults.go: who sets one half of it gets the other half's defaults too, and leaves the old
path, on which the number at most doubles (or becomes 4) at a time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

SYNC_S = 15.0
TOLERANCE = 0.1
DOWNSCALE_STABILIZATION_S = 300.0


@dataclass(frozen=True, slots=True)
class Policy:
    """At most `value` pods, or per cent of them, within any `period_s`."""

    kind: Literal["Pods", "Percent"]
    value: int
    period_s: float


@dataclass(frozen=True, slots=True)
class Rules:
    """One direction."""

    policies: tuple[Policy, ...]
    stabilization_s: float
    select: Literal["Max", "Min", "Disabled"] = "Max"


@dataclass(frozen=True, slots=True)
class Behavior:
    """`spec.behavior`, with the API's defaults for what is left out."""

    up: Rules = Rules((Policy("Pods", 4, 15), Policy("Percent", 100, 15)), 0.0)
    down: Rules = Rules((Policy("Percent", 100, 15),), DOWNSCALE_STABILIZATION_S)


@dataclass(slots=True)
class Hpa:
    """One HPA with its memory. It has been there for longer than that, so that its beginning plays no part."""

    minimum: int  # at least 1: below, KEDA acts in its place
    maximum: int
    target: float  # of the metric for each replica
    behavior: Behavior | None = None
    tolerance: float = TOLERANCE
    _recommendations: list[tuple[float, int]] = field(default_factory=list)
    _ups: list[tuple[float, int]] = field(default_factory=list)
    _downs: list[tuple[float, int]] = field(default_factory=list)

    def tick(self, now_s: float, current: int, metric: float) -> int:
        """One reconciliation: the replicas that are to be, by those that are. With none it does nothing."""
        if current == 0:
            return 0
        if current > self.maximum:
            wanted = self.maximum
        elif current < self.minimum:
            wanted = self.minimum
        else:
            wanted = self._proposal(current, metric)
            wanted = (
                self._plain(now_s, current, wanted) if self.behavior is None else self._rated(now_s, current, wanted)
            )
        if self.behavior is not None and wanted != current:
            (self._ups if wanted > current else self._downs).append((now_s, abs(wanted - current)))
        return wanted

    def _proposal(self, current: int, metric: float) -> int:
        metric = math.ceil(metric * 1000 - 1e-6) / 1000  # it comes as a quantity in thousandths
        # As Kubernetes has it from 1.33 on: exactly a tenth is within the tolerance.
        if 1.0 - self.tolerance <= metric / (self.target * current) <= 1.0 + self.tolerance:
            return current
        return math.ceil(metric / self.target)

    def _plain(self, now_s: float, current: int, wanted: int) -> int:
        """Without `behavior`."""
        self._recommendations = [kept for kept in self._recommendations if kept[0] >= now_s - DOWNSCALE_STABILIZATION_S]
        highest = max([wanted, *(number for _, number in self._recommendations)])
        self._recommendations.append((now_s, wanted))
        most = min(self.maximum, max(2 * current, 4))
        return self.minimum if highest < self.minimum else min(highest, most)

    def _rated(self, now_s: float, current: int, wanted: int) -> int:
        """With `behavior`: stabilized first, then held to its policies."""
        behavior = self.behavior
        assert behavior is not None
        up_s, down_s = now_s - behavior.up.stabilization_s, now_s - behavior.down.stabilization_s
        lowest = min([wanted, *(number for time_s, number in self._recommendations if time_s > up_s)])
        highest = max([wanted, *(number for time_s, number in self._recommendations if time_s > down_s)])
        kept_s = min(up_s, down_s)
        self._recommendations = [kept for kept in self._recommendations if kept[0] >= kept_s]
        self._recommendations.append((now_s, wanted))
        stable = min(max(current, lowest), highest)
        if stable > current:
            return min(stable, max(current, self._limit(now_s, current, behavior.up, 1)), self.maximum)
        if stable < current:
            return max(stable, min(current, self._limit(now_s, current, behavior.down, -1)), self.minimum)
        return stable

    def _limit(self, now_s: float, current: int, rules: Rules, way: Literal[1, -1]) -> int:
        """How far the policies let it go: 1 is up, -1 down."""
        if rules.select == "Disabled":
            return current
        limits = []
        for policy in rules.policies:
            before = self._before(now_s, current, policy.period_s)
            if policy.kind == "Percent":
                # Rounded so that the change is the larger one.
                limit = before * (1 + way * policy.value / 100)
                limits.append(math.ceil(limit) if way > 0 else int(limit))
            else:
                limits.append(before + way * policy.value)
        # Downwards, the larger change of two is the lower number.
        return way * (min if rules.select == "Min" else max)(way * limit for limit in limits)

    def _before(self, now_s: float, current: int, period_s: float) -> int:
        """How many there were when the period began."""
        since_s = now_s - period_s
        added = sum(number for time_s, number in self._ups if time_s > since_s)
        deleted = sum(number for time_s, number in self._downs if time_s > since_s)
        return current - added + deleted
