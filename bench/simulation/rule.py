"""What a rule sees of a cluster, and what it says: as little as a scaler of a real one could know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True, slots=True)
class View:
    """One look. The sequences only grow from one look to the next: remember how far you have read, change nothing."""

    now_s: float  # since the run's begin
    waiting: int  # jobs that no pod has claimed
    running: int  # jobs that pods have claimed, those of stopping pods too
    arrivals_s: Sequence[float]  # of all jobs so far, in order
    services_s: Sequence[float]  # of all jobs that have finished, in the order of their ends: claim to end
    startups_s: Sequence[float]  # of all pods that became ready, in that order: creation to ready
    ready: int  # pods that claim jobs
    starting_ages_s: tuple[float, ...]  # of the pods that are not ready yet, oldest first
    replicas: int  # wanted at present: ready and starting pods together
    minimum: int
    maximum: int
    concurrency: int  # jobs that a pod runs at once


@dataclass(frozen=True, slots=True)
class RuleDecision:
    """`replicas` to have, or a `metric` that the HPA divides by its target; if both, the HPA takes the metric."""

    replicas: int | None = None
    metric: float | None = None
    reason: str = ""
    forecast: float | None = None  # jobs/s that are expected


@dataclass(frozen=True, slots=True)
class Brief:
    """What a rule may be told before a run, beside the limits; most rules have no use for it."""

    objective_s: float | None = None  # that a job may wait; None is a mean service time
    late_cost: float | None = None  # the price of a later one, in mean service times of a pod; None is the default
    rate: Callable[[float], float] | None = None  # what the load was drawn from, in jobs/s at a time; None for a trace


class Rule(Protocol):
    """A scaler. One object is used for one run; it may keep state."""

    def decide(self, view: View) -> RuleDecision:
        """Is asked with views of growing times."""
