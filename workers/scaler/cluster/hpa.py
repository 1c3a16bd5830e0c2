"""The HPA's arithmetic: the metric that makes a HorizontalPodAutoscaler do what was decided.

Let s be the replicas that there are (the scale's status, without terminating pods), x the metric, and 1 its
AverageValue target. The HPA leaves s as it is if 1 - t <= x / s <= 1 + t, and goes to ceil(x) otherwise, in its limits
(`GetExternalPerPodMetricReplicas` in pkg/controller/podautoscaler/replica_calculator.go of Kubernetes 1.34). t is its
tolerance, 0.1 unless the cluster says otherwise. With n the decision, x must have the ceiling n, and lie as far from s
as it can:

| wanted | x | ceil(x) | the HPA goes to n |
| --- | --- | --- | --- |
| n = s | n | n | always (x / s = 1) |
| n > s | n | n | if n > 1.1 s: by one replica for s < 10, by two for s < 20 |
| n < s | n - 0.99 | n | if n < 0.9 s + 0.99: by one replica for s < 20, by two for s < 30 |
| 0 | 0 | 0 | always: to its minimum, 1, and KEDA goes from there to 0 |

No metric does better: the HPA ignores everything between s and 1.1 s. A change that it ignores is less than a tenth of
the replicas that there are, and it is carried out as soon as more than that is wanted. Two ways are exact. In the HPA's
behavior `tolerance: 0` makes t = 0, so that every change is carried out (deploy/chart/templates/models/keda-scaler.yaml
has it; it works from Kubernetes 1.35 on, as an older API server drops the field). Or the scaler patches the Deployment
itself (SCALER_MODE=direct).

If s changes between the answer and its use, the HPA may stay at s until it asks again, 15 s later. It never goes to
another number than n.
"""

from __future__ import annotations

# The most that can be taken off n without changing its ceiling, less a margin: KEDA rounds metrics to thousandths.
_BELOW = 0.99


def metric_for(wanted: int, current: int) -> float:
    """Returns the metric x for `wanted` replicas (n), if there are `current` (s)."""
    if 0 < wanted < current:
        return wanted - _BELOW
    return float(wanted)
