"""What the policy is told, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """What a user may set, each with a default, and what the surroundings are like."""

    min_replicas: int = 0
    max_replicas: int = 10
    objective_s: float | None = None  # how long a job should wait at most; None: one mean service time
    late_cost: float = 12.0  # price of a job that waits longer, in mean service times of a pod
    concurrency: int = 1  # jobs that one replica runs at once
    actuation_s: float = 1.0  # from a decision to a pod's creation
    service_guess_s: float = 5.0  # until the first has been seen
    startup_guess_s: float = 30.0  # until the first has been seen
    standby: int = 0  # replicas that are kept idle beyond those that will be busy
    standby_price: float = 0.0  # of an idle one, as a part of a pod; with 0 they stand by whatever they save

    def wait_s(self, service_s: float) -> float:
        """The objective in seconds, if a job takes `service_s` on average."""
        return service_s if self.objective_s is None else self.objective_s

    def late_price_s(self, service_s: float) -> float:
        """Returns the price of a late job in pod-seconds, if a job takes `service_s` on average."""
        return self.late_cost * service_s

    def bound(self, replicas: int) -> int:
        """Returns the nearest number of replicas within the limits."""
        return max(self.min_replicas, min(self.max_replicas, replicas))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is seen at one time. Times are in seconds; durations are those that are new since the last snapshot."""

    now_s: float
    arrived: int  # jobs pushed so far, of all time
    waiting: int  # jobs
    running: int  # jobs
    ready: int  # pods
    starting_ages_s: tuple[float, ...] = ()  # of the pods that start, one each
    services_s: tuple[float, ...] = ()  # of jobs that ended
    startups_s: tuple[float, ...] = ()  # of pods that became ready
    unplaced: int = 0  # pods that were ordered and get no place; not among those that start
    unplaced_why: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """How many replicas there should be, and why. Everybody who is told of it is told this."""

    replicas: int
    reason: str
    rate: float = 0.0  # jobs/s that are expected in `lead_s` seconds
    lead_s: float = 0.0
    at_ms: int = 0  # when its snapshot was seen, by the clock of the stream's server; the policy has no clock
    held: bool = False  # the last decision again, as nothing could be seen since
    spread: float = 0.0  # standard deviation of `rate`, in jobs/s
