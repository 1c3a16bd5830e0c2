"""The pages by which Kubernetes probes a scaler.

| path | 200 means | 503 means |
| --- | --- | --- |
| `/healthz` | its rounds go on | they are stuck: restart it |
| `/readyz` | it has a decision to tell, its own or the leader's, of any model | it has seen nothing yet |
| `/metrics` | Prometheus' text format | - |

A scaler that holds its last decision because Redis or the API server is away is alive and ready: a restart would not
help, and KEDA must be able to ask it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from workers.scaler.metrics import ScalerMetrics
from workers.telemetry.probe_site import ProbeAnswer, ProbeSite

if TYPE_CHECKING:
    from workers.scaler.status import ScalerStatus

# Seconds after which a round is stuck: longer than its waits for Redis and the API server, which have timeouts.
STUCK_S = 30.0


class ScalerProbe(ProbeSite):
    """The probe pages of a scaler, on PROBE_PORT: of all models."""

    def __init__(self, statuses: ScalerStatus | Mapping[str, ScalerStatus]) -> None:
        super().__init__(self._healthy, self._ready, ScalerMetrics(statuses).text)
        self._statuses = statuses if isinstance(statuses, Mapping) else {"": statuses}

    def _healthy(self) -> ProbeAnswer:
        age_s = max(status.age_s for status in self._statuses.values())
        if age_s > STUCK_S:
            return ProbeAnswer(False, f"the last round began {age_s:.0f} s ago, {STUCK_S:g} s are allowed")
        return ProbeAnswer(True, "alive")

    def _ready(self) -> ProbeAnswer:
        if all(status.decision is None for status in self._statuses.values()):
            return ProbeAnswer(False, "nothing has been decided yet")
        several = len(self._statuses) > 1
        return ProbeAnswer(
            True,
            "; ".join((f"{queue}: " if several else "") + _told(status) for queue, status in self._statuses.items()),
        )


def _told(status: ScalerStatus) -> str:
    if status.decision is None:
        return "nothing has been decided yet"
    text = f"{status.decision.replicas} replicas: {status.decision.reason}"
    parts = status.replicas.startup_parts_s if status.replicas is not None else {}
    if parts:
        text += f" (a start: {', '.join(f'{part} {seconds:.0f} s' for part, seconds in parts.items())})"
    return text
