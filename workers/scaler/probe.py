"""The pages by which Kubernetes probes a scaler.

| path | 200 means | 503 means |
| --- | --- | --- |
| `/healthz` | its rounds go on | they are stuck: restart it |
| `/readyz` | it has a decision to tell, its own or the leader's | it has seen nothing yet |
| `/metrics` | Prometheus' text format | - |

A scaler that holds its last decision because Redis or the API server is away is alive and ready: a restart would not
help, and KEDA must be able to ask it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.scaler.metrics import ScalerMetrics
from workers.telemetry.probe_site import ProbeAnswer, ProbeSite

if TYPE_CHECKING:
    from workers.scaler.status import ScalerStatus

# Seconds after which a round is stuck: longer than its waits for Redis and the API server, which have timeouts.
STUCK_S = 30.0


class ScalerProbe(ProbeSite):
    """The probe pages of one scaler, on PROBE_PORT."""

    def __init__(self, status: ScalerStatus) -> None:
        super().__init__(self._healthy, self._ready, ScalerMetrics(status).text)
        self._status = status

    def _healthy(self) -> ProbeAnswer:
        age_s = self._status.age_s
        if age_s > STUCK_S:
            return ProbeAnswer(False, f"the last round began {age_s:.0f} s ago, {STUCK_S:g} s are allowed")
        return ProbeAnswer(True, "alive")

    def _ready(self) -> ProbeAnswer:
        decision = self._status.decision
        if decision is None:
            return ProbeAnswer(False, "nothing has been decided yet")
        return ProbeAnswer(True, f"{decision.replicas} replicas: {decision.reason}")
