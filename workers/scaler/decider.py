"""The policy with its memory, and what holds when there is nothing to go by."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING

from workers.scaler.memory import Memory, Verdict
from workers.scaler.policy import Decision, Snapshot, State, decide, start

if TYPE_CHECKING:
    from workers.scaler.jobs import JobsSeen
    from workers.scaler.observer import Replicas
    from workers.scaler.policy import Options

logger = logging.getLogger(__name__)

# Durations that wait for a snapshot to go with; a policy remembers no more anyway.
_MOST_NEW = 1000


class Brain:
    """Decides from what is seen, or holds the last decision, within the limits."""

    def __init__(self, options: Options, memory: Memory | None = None) -> None:
        self.options = options
        self.state: State | None = memory.state if memory else None
        self.verdict: Verdict | None = memory.verdict if memory else None
        self.snapshot: Snapshot | None = None
        self._now_s = memory.now_s if memory else 0.0
        self._services_s: tuple[float, ...] = ()
        self._startups_s: tuple[float, ...] = ()
        self._blind_since_s: float | None = None
        self._failed = False

    def learn(self, services_s: tuple[float, ...] = (), startups_s: tuple[float, ...] = ()) -> None:
        """Durations that have been seen, which go into the next snapshot."""
        self._services_s = (*self._services_s, *services_s)[-_MOST_NEW:]
        self._startups_s = (*self._startups_s, *startups_s)[-_MOST_NEW:]

    def see(self, jobs: JobsSeen, replicas: Replicas) -> Verdict | None:
        """Decides."""
        snapshot = Snapshot(
            now_s=jobs.now_s,
            arrived=jobs.arrived,
            waiting=jobs.waiting,
            running=jobs.running,
            ready=replicas.ready,
            starting_ages_s=replicas.starting_ages_s,
            services_s=self._services_s,
            startups_s=self._startups_s,
        )
        try:
            state = self.state or start(snapshot, self.options)
            decision, state = decide(snapshot, state, self.options)
            wanted = self._within_limits(decision.replicas)
        except Exception:
            # A mistake here must not cost anybody their workers.
            if not self._failed:
                logger.exception("the policy failed")
            self._failed = True
            return self.hold("the policy failed")
        self._failed = False
        self._blind_since_s = None
        self._services_s = self._startups_s = ()
        self.state, self.snapshot, self._now_s = state, snapshot, jobs.now_s
        self.verdict = Verdict(
            replicas=wanted, reason=decision.reason, rate=_finite(decision), at_ms=jobs.at_ms, held=False
        )
        return self.verdict

    def hold(self, why: str) -> Verdict | None:
        """The last decision again, if there is one; the reason says why there is no new one, and for how long."""
        now_s = time.monotonic()
        self._blind_since_s = self._blind_since_s or now_s
        if self.verdict is not None:
            wanted = self._within_limits(self.verdict.replicas)
            reason = f"{why}, for {now_s - self._blind_since_s:.0f} s now: hold {wanted}"
            self.verdict = self.verdict.model_copy(update={"replicas": wanted, "reason": reason, "held": True})
        return self.verdict

    def memory(self, count: int, arrived: int, services_seen: dict[str, int]) -> Memory | None:
        """What to keep, if anything has been decided."""
        if self.state is None or self.verdict is None:
            return None
        return Memory(
            now_s=self._now_s,
            state=self.state,
            verdict=self.verdict,
            count=count,
            arrived=arrived,
            services_seen=services_seen,
        )

    def _within_limits(self, replicas: int) -> int:
        return max(self.options.min_replicas, min(self.options.max_replicas, int(replicas)))


def _finite(decision: Decision) -> float:
    return decision.rate if math.isfinite(decision.rate) else 0.0
