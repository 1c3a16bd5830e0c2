"""What all parts of one worker share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.settings import WorkerSettings
    from workers.stream import Outage, Stream
    from workers.telemetry.metrics import WorkerMetrics
    from workers.worker.life import Life


@dataclass(frozen=True, slots=True)
class Session:
    """Handed down to each part, so that none of them holds the worker."""

    id: str
    """The worker's name in the stream: a consumer of the group, and the owner of its leases."""
    stream: Stream
    """The queue's stream."""
    outage: Outage
    """Repeats calls while the server is away."""
    metrics: WorkerMetrics
    """What this worker counts and times."""
    settings: WorkerSettings
    """What the environment says."""
    life: Life
    """The worker's state."""

    @property
    def ready(self) -> bool:
        """Whether the worker claims jobs now: its model is loaded, the server is there, nobody told it to stop."""
        return self.life.ready and self.outage.available
