"""The pages by which Kubernetes probes a scaler.

| path | 200 means | 503 means |
| --- | --- | --- |
| `/healthz` | its rounds go on | they are stuck: restart it |
| `/readyz` | it has a decision to tell, its own or the leader's, of any model | it has seen nothing yet |
| `/metrics` | Prometheus' text format | - |

A scaler whose models the leader doesn't know is ready as well: the leader is of a release with other models, and goes
only when this one is ready.

A scaler that holds its last decision because Redis or the API server is away is alive and ready: a restart would not
help, and KEDA must be able to ask it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from workers.scaler.reporting.metrics import ScalerMetrics
from workers.telemetry.probe_site import ProbeAnswer, ProbeSite

if TYPE_CHECKING:
    from workers.scaler.reporting.status import ScalerStatus

# Seconds after which a round is stuck: longer than its waits for Redis and the API server, which have timeouts.
STUCK_S = 30.0
# Seconds after which a leader that has decided nothing of a model does not know it. It decides in its first round, and
# publishes at once; a leader that has gone is replaced within the Lease's 15 s.
UNKNOWN_S = 20.0


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
        statuses = self._statuses.values()
        if all(status.unknown_s >= UNKNOWN_S for status in statuses):
            return ProbeAnswer(True, "another scaler leads, which does not know these models: it has to go first")
        if all(status.decision is None for status in statuses):
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
