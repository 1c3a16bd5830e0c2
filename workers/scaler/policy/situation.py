"""The facts about jobs and pods that a decision rests on, at one time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from workers.scaler.policy.state import STARTUP_SHARE

if TYPE_CHECKING:
    from workers.scaler.policy.interface import Options, Snapshot
    from workers.scaler.policy.state import State

# Start-up times after which a pod that is still starting is not reckoned with any more. Judged by simulation:
# `--load ramping --startup exponential:30`.
# Example: start-up 30 s: a pod that has been starting for 90 s may go.
STUCK_STARTUPS = 3.0


class ServiceTerms(NamedTuple):
    """How jobs are served, and what a late one costs."""

    mean_s: float
    variation: float  # squared coefficient of variation
    wait_s: float  # the objective
    slots: int  # jobs that one replica runs at once
    late_price_s: float  # in pod-seconds


@dataclass(frozen=True, slots=True)
class Situation:
    """Jobs and pods as they are, and the times to reckon with; all times are in seconds."""

    now_s: float
    waiting: int  # jobs
    running: int  # jobs
    ready: int  # pods
    coming_s: tuple[float, ...]  # until each starting pod is expected to be ready, the soonest first
    hopeful: int  # starting pods that are not stuck
    service: ServiceTerms
    startup_s: float  # the 80th percentile
    lead_s: float  # until a pod that is ordered now is ready
    can_wait: bool  # a job can usually wait for a pod that is ordered when it comes
    unplaced: int = 0  # pods that were ordered and get no place: nobody knows when they come
    unplaced_why: str = ""

    @classmethod
    def of(cls, snapshot: Snapshot, state: State, options: Options) -> Situation:
        """Returns that of `snapshot`, of which `state` has learnt."""
        ages_s, startup_s = snapshot.starting_ages_s, state.startup_s
        mean_s = state.services.mean_s
        wait_s = options.wait_s(mean_s)
        return cls(
            snapshot.now_s,
            snapshot.waiting,
            snapshot.running,
            snapshot.ready,
            tuple(sorted([state.startups.left_s(age_s, STARTUP_SHARE) for age_s in ages_s])),
            sum(age_s < STUCK_STARTUPS * startup_s for age_s in ages_s),
            ServiceTerms(mean_s, state.services.variation, wait_s, options.concurrency, options.late_price_s(mean_s)),
            startup_s,
            startup_s + options.actuation_s,
            wait_s >= state.startups.mean_s + options.actuation_s,
            snapshot.unplaced,
            snapshot.unplaced_why,
        )

    @property
    def pods(self) -> int:
        """Pods that are ready or starting, and those that get no place."""
        return self.ready + len(self.coming_s) + self.unplaced

    @property
    def outstanding(self) -> int:
        """Jobs that wait or run."""
        return self.waiting + self.running
