"""The metric that makes a HorizontalPodAutoscaler do what was decided.

With s the replicas there are (the scale's status, terminating pods left out), x the metric and 1 its AverageValue
target, the HPA leaves s as it is if 1 - t <= x / s <= 1 + t, and goes to ceil(x) otherwise, within its limits
(`GetExternalPerPodMetricReplicas` in pkg/controller/podautoscaler/replica_calculator.go of Kubernetes 1.34). t is its
tolerance, 0.1 unless the cluster says otherwise. So x must have n for its ceiling, n being the decision, and lie as
far from s as it can:

| wanted | x | ceil(x) | the HPA goes to n |
| --- | --- | --- | --- |
| n = s | n | n | always (x / s = 1) |
| n > s | n | n | if n > 1.1 s: by one replica for s < 10, by two for s < 20 |
| n < s | n - 0.99 | n | if n < 0.9 s + 0.99: by one replica for s < 20, by two for s < 30 |
| 0 | 0 | 0 | always: to its minimum, 1, and KEDA goes from there to 0 |

No metric does more: what is between s and 1.1 s is ignored whatever its ceiling is. A change that is ignored is less
than a tenth of the replicas there are; it is carried out as soon as more than that is wanted. Where that is too much,
`tolerance: 0` in the HPA's behavior makes t = 0 (deploy/scaler/keda.yaml has it; the feature HPAConfigurableTolerance
is on from Kubernetes 1.35, and an older API server drops the field): then every change is carried out, as x is s only
if n is. Or the scaler patches the Deployment itself (SCALER_MODE=direct).

Should s change between the answer and its use, the HPA may stay at s until it asks again, 15 s later. It never goes
to another number than n.
"""

from __future__ import annotations

# KEDA rounds metrics to thousandths: this is the most that still has n for its ceiling, with room for a rounding.
_BELOW = 0.99


def metric_for(wanted: int, current: int) -> float:
    """The metric x for `wanted` replicas, n, where there are `current`, s."""
    if 0 < wanted < current:
        return wanted - _BELOW
    return float(wanted)
