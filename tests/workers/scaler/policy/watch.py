"""Shows the policy one snapshot after the other, and keeps its decisions."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from workers.scaler.policy import Decision, Options, Snapshot, State, decide, start

if TYPE_CHECKING:
    from collections.abc import Sequence

PLENTY = Options(max_replicas=1000)
SERVICE_S, STARTUP_S = 5.0, 30.0


@dataclass
class PolicyWatch:
    """One policy that is asked once a second, with pods as the test says."""

    options: Options = PLENTY
    now_s: float = 0.0
    arrived: int = 0
    state: State | None = None
    decisions: list[Decision] = field(default_factory=list)

    def see(self, jobs: int = 0, seconds: float = 1.0, **what: Any) -> Decision:
        """After so many more seconds and jobs. `what` is the rest of a snapshot: no jobs and no pods if left out."""
        self.now_s += seconds
        self.arrived += jobs
        seen = Snapshot(self.now_s, self.arrived, **{"waiting": 0, "running": 0, "ready": 0, **what})
        self.state = self.state or start(replace(seen, arrived=0), self.options)
        decision, self.state = decide(seen, self.state, self.options)
        self.decisions.append(decision)
        return decision

    def learn(self, service_s: float = SERVICE_S, startup_s: float = STARTUP_S) -> None:
        """Twenty jobs and pods have been seen."""
        self.see(services_s=(service_s,) * 20, startups_s=(startup_s,) * 20)

    def follow(self, times_s: Sequence[float], until_s: float, ready: int, service_s: float = SERVICE_S) -> Decision:
        """Jobs that come at those times, and are served at once by that many pods."""
        while self.now_s < until_s:
            now_s = self.now_s + 1
            before, by_now = bisect_right(times_s, self.now_s), bisect_right(times_s, now_s)
            running = by_now - bisect_right(times_s, now_s - service_s)
            self.see(by_now - before, waiting=max(0, running - ready), running=min(running, ready), ready=ready)
        return self.decisions[-1]


def every(gap_s: float, until_s: float) -> list[float]:
    return np.arange(gap_s / 2, until_s, gap_s).tolist()


def by_chance(rate: float, until_s: float, seed: int = 0, batch: int = 1) -> list[float]:
    """In batches, as a Poisson process."""
    generator = np.random.default_rng(seed)
    times_s = np.sort(generator.uniform(0, until_s, generator.poisson(rate / batch * until_s)))
    return np.repeat(times_s, batch).tolist()
