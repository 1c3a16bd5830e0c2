"""The jobs of a run, and what came of them.

A run ends when all jobs are done and its duration is over. A pod is paid for from its creation until it is gone, or
until the run ends: what is left of a cool-down then costs nothing, for all rules and for the clairvoyant plan alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from bench.common.figures import percentile
from bench.common.runs import JobColumns, Run, Samples

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from bench.common.arrivals import Arrival
    from bench.simulation.times import Times

# After its duration a run that can't end is given this long.
DRAIN_S = 3600.0
_ROUNDING_S = 1e-6


@dataclass(frozen=True, slots=True)
class Work:
    """The jobs of a run, in the order of their arrivals: the same for every rule that is compared on them."""

    arrivals_s: tuple[float, ...]
    services_s: tuple[float, ...]
    duration_s: float
    mean_service_s: float


def work(arrivals: Sequence[Arrival], service: Times, duration_s: float | None, seed: int) -> Work:
    """Service times are drawn if the arrivals bring none. Without a duration it ends with the last arrival."""
    drawn = service.draw(np.random.default_rng([seed, 1]), len(arrivals)).tolist()
    services_s = [one.service_s or draw for one, draw in zip(arrivals, drawn, strict=True)]
    traced = any(one.service_s for one in arrivals)
    return Work(
        tuple(one.at_s for one in arrivals),
        tuple(services_s),
        duration_s if duration_s is not None else (arrivals[-1].at_s if arrivals else 0.0),
        sum(services_s) / len(services_s) if traced else service.mean_s,
    )


@dataclass(slots=True)
class Result:
    """One entry a job in each list, NaN where it never happened."""

    work: Work
    claimed_s: list[float]
    finished_s: list[float]
    attempts: list[int]
    pod_s: float = 0.0  # of all pods together, from their creation to their end or the run's
    starts: int = 0
    peak: int = 0  # pods that were there at the same time, at most
    end_s: float = 0.0
    samples: Samples = field(default_factory=Samples)
    reasons: list[tuple[float, str]] = field(default_factory=list)  # with their times

    @property
    def latencies_s(self) -> list[float]:
        """Arrival to end; infinite for a job that was not done when the run was given up."""
        ends = zip(self.work.arrivals_s, self.finished_s, strict=True)
        return [math.inf if math.isnan(finished) else finished - arrived for arrived, finished in ends]

    @property
    def unfinished(self) -> int:
        """Jobs that were not done when the run was given up."""
        return sum(map(math.isnan, self.finished_s))

    def percentile_s(self, percent: float) -> float:
        """Of the latencies; NaN of no jobs."""
        return percentile(self.latencies_s, percent)

    def within(self, objective_s: float) -> float:
        """The share of jobs whose waiting (latency less their own service time) was at most that; 1 of no jobs."""
        jobs = zip(self.latencies_s, self.work.services_s, strict=True)
        good = sum(latency - service <= objective_s + _ROUNDING_S for latency, service in jobs)
        return good / len(self.finished_s) if self.finished_s else 1.0

    def run(self, name: str, parameters: dict[str, Any]) -> Run:
        """As a run's file has it."""
        arrived, lost = list(self.work.arrivals_s), self.unfinished
        claimed, finished = ([None if math.isnan(s) else s for s in each] for each in (self.claimed_s, self.finished_s))
        jobs = JobColumns(
            arrived, [*arrived], [*arrived], [*claimed], [*finished], [*finished],
            outcome=["given up" if end is None else "finished" for end in finished],
            status_code=[202] * len(arrived),
            attempts=[*self.attempts],
            id=[None] * len(arrived),
        )  # fmt: skip
        notes = [f"{lost} jobs were not done {DRAIN_S:g} s after the end of the load"] if lost else []
        return Run("simulation", name, self.work.duration_s, parameters, jobs=jobs, samples=self.samples, notes=notes)
