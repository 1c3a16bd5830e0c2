"""What stands in for a scaler's surroundings: workers and an election as the test says."""

from __future__ import annotations

from workers.scaler.surroundings import ObservationError, ReplicasSeen


class FixedWorkers:
    """An observer that sees the replicas that the test has set; None: it can't see them."""

    def __init__(self) -> None:
        self.replicas: ReplicasSeen | None = ReplicasSeen(0, 0)

    async def observe(self) -> ReplicasSeen:
        if self.replicas is None:
            raise ObservationError("the pods can't be watched (it is down)")
        return self.replicas


class FixedLeadership:
    """A leadership that the test has set."""

    def __init__(self, leads: bool, holder: str = "") -> None:
        self.leads = leads
        self.holder = holder
