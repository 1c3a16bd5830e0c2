"""Decides by the policy, and holds the last decision when there is nothing to go by."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from workers.scaler.memory import Memory, load_decision
from workers.scaler.policy import Decision, Snapshot, State, decide, start

if TYPE_CHECKING:
    from workers.scaler.jobs import JobsSeen
    from workers.scaler.policy import Options
    from workers.scaler.surroundings import ReplicasSeen

logger = logging.getLogger(__name__)

# Durations that wait for a snapshot to go with; the policy remembers no more anyway.
_MOST_NEW = 1000
# A leader publishes its decision every 5 s at least: after so many without one, nobody leads.
_OLD_S = 12.0


class Decider:
    """The policy with its memory. Every decision is within the limits of `options`."""

    def __init__(self, options: Options, memory: Memory | None = None) -> None:
        self.options = options
        self.state: State | None = memory.state if memory else None
        self.decision: Decision | None = memory.decision if memory else None
        self.last_replicas = 0  # that were decided before the present decision
        self.snapshot: Snapshot | None = None
        self._now_s = memory.now_s if memory else 0.0
        self._services_s: tuple[float, ...] = ()
        self._startups_s: tuple[float, ...] = ()
        self._blind_since_s: float | None = None
        self._failed = False

    def learn(self, services_s: tuple[float, ...] = (), startups_s: tuple[float, ...] = ()) -> None:
        """Keeps durations that have been observed for the next snapshot."""
        self._services_s = (*self._services_s, *services_s)[-_MOST_NEW:]
        self._startups_s = (*self._startups_s, *startups_s)[-_MOST_NEW:]

    def decide(self, jobs: JobsSeen, replicas: ReplicasSeen) -> Decision | None:
        """Returns a new decision; if the policy fails, the last one if there is one."""
        snapshot = Snapshot(
            now_s=jobs.now_s,
            arrived=jobs.arrived,
            waiting=jobs.waiting,
            running=jobs.running,
            ready=replicas.ready,
            starting_ages_s=replicas.starting_ages_s,
            services_s=self._services_s,
            startups_s=self._startups_s,
            unplaced=replicas.unplaced,
            unplaced_why=replicas.unplaced_why,
        )
        try:
            state = self.state or start(snapshot, self.options)
            decision, state = decide(snapshot, state, self.options)
            wanted = self.options.bound(int(decision.replicas))
        except Exception:
            # A mistake here must not cost anybody their workers.
            if not self._failed:
                logger.exception("the policy failed")
            self._failed = True
            return self.hold("the policy failed")
        self._failed = False
        self._blind_since_s = None
        self._services_s = self._startups_s = ()
        self.last_replicas = self.decision.replicas if self.decision is not None else 0
        self.state, self.snapshot, self._now_s = state, snapshot, jobs.now_s
        rate, lead_s = _finite(decision.rate), _finite(decision.lead_s)
        self.decision = replace(decision, replicas=wanted, rate=rate, lead_s=lead_s, at_ms=jobs.at_ms)
        return self.decision

    def hold(self, why: str) -> Decision | None:
        """Returns the last decision again, if there is one; its reason says why, and for how long already."""
        now_s = time.monotonic()
        self._blind_since_s = self._blind_since_s or now_s
        if self.decision is not None:
            within = replace(self.decision, replicas=self.options.bound(self.decision.replicas))
            self.decision = held(within, f"{why}, for {now_s - self._blind_since_s:.0f} s now")
        return self.decision

    def grant(self, replicas: int, why: str) -> Decision | None:
        """Returns the last decision with what a budget gives of it, which the policy then goes on from."""
        if self.decision is None or not why:
            return self.decision
        self.decision = replace(self.decision, replicas=replicas, reason=f"{self.decision.reason}; {why}")
        if self.state is not None:
            self.state = replace(self.state, replicas=replicas)
        return self.decision

    def memory(self, count: int, arrived: int, services_seen: dict[str, int]) -> Memory | None:
        """Returns what to keep, if anything has been decided."""
        if self.state is None or self.decision is None:
            return None
        return Memory(
            now_s=self._now_s,
            state=self.state,
            decision=self.decision,
            count=count,
            arrived=arrived,
            services_seen=services_seen,
        )


def held(decision: Decision, why: str) -> Decision:
    """Returns the same number of replicas, held because of `why`."""
    return replace(decision, held=True, reason=f"{why}: hold {decision.replicas}")


def followed(published: bytes, now_ms: int, options: Options) -> Decision | None:
    """Returns the leader's decision within the limits of a scaler that follows; None if there is none.

    `now_ms` is by the server's clock. The decision is held if it is so old that nobody can be leading.
    """
    decision = load_decision(published)
    if decision is None:
        return None
    decision = replace(decision, replicas=options.bound(decision.replicas))
    age_s = (now_ms - decision.at_ms) / 1000
    return held(decision, f"nobody has decided for {age_s:.0f} s") if age_s > _OLD_S else decision


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0
