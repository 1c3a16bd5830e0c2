"""One run of the simulator: a load, pods, a rule and what carries it out, to a result and to a run's file.

Every run starts with no pod. It goes on until all jobs are done and its duration is over, whichever is later: pods are
paid for from their creation to their end or to that moment. What is left of a cool-down then is nobody's cost, for all
rules alike, and so for the clairvoyant plan that they are compared with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from bench.common.figures import percentile
from bench.common.runs import Jobs, Run, Samples
from bench.simulation.cluster import Cluster, Pods

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from bench.common.arrivals import Arrival
    from bench.simulation.actuation import Actuation
    from bench.simulation.rule import Rule
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

    @property
    def busy_s(self) -> float:
        """Pod-seconds of work, with one job at a time."""
        return sum(self.services_s)


def work(arrivals: Sequence[Arrival], service: Times, duration_s: float | None, seed: int) -> Work:
    """Service times are drawn where the arrivals bring none. Without a duration it ends with the last arrival."""
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
    """What came of it: one entry a job in each list, NaN where it never happened."""

    work: Work
    claimed_s: list[float]
    finished_s: list[float]
    attempts: list[int]
    pod_s: float  # of all pods together, from their creation to their end or the run's
    starts: int
    peak: int  # pods that were there at the same time, at most
    end_s: float
    samples: Samples = field(default_factory=Samples)
    reasons: list[tuple[float, str]] = field(default_factory=list)

    @property
    def latencies_s(self) -> list[float]:
        """Arrival to end, of the jobs that ended."""
        ends = zip(self.work.arrivals_s, self.finished_s, strict=True)
        return [finished - arrived for arrived, finished in ends if not math.isnan(finished)]

    @property
    def unfinished(self) -> int:
        """Jobs that were not done when the run was given up."""
        return sum(math.isnan(finished) for finished in self.finished_s)

    def percentile_s(self, percent: float) -> float:
        """Of the latencies; infinite where that many jobs never ended, NaN of no jobs."""
        if not self.finished_s:
            return math.nan
        return percentile([*self.latencies_s, *[math.inf] * self.unfinished], percent)

    def within(self, objective_s: float) -> float:
        """The share of jobs whose waiting (latency less their own service time) was at most that; 1 of no jobs."""
        jobs = zip(self.work.arrivals_s, self.work.services_s, self.finished_s, strict=True)
        good = sum(finished - arrived - service <= objective_s + _ROUNDING_S for arrived, service, finished in jobs)
        return good / len(self.finished_s) if self.finished_s else 1.0

    def run(self, name: str, parameters: dict[str, Any]) -> Run:
        """As a run's file has it."""
        arrived = list(self.work.arrivals_s)
        lost = self.unfinished
        return Run(
            kind="simulation",
            name=name,
            duration_s=self.work.duration_s,
            parameters=parameters,
            jobs=Jobs(
                scheduled_s=arrived,
                sent_s=[*arrived],
                accepted_s=[*arrived],
                started_s=[_known(time_s) for time_s in self.claimed_s],
                finished_s=[_known(time_s) for time_s in self.finished_s],
                ended_s=[_known(time_s) for time_s in self.finished_s],
                outcome=["given up" if math.isnan(time_s) else "finished" for time_s in self.finished_s],
                status_code=[202] * len(arrived),
                attempts=[*self.attempts],
                id=[None] * len(arrived),
            ),
            samples=self.samples,
            notes=[f"{lost} jobs were not done {DRAIN_S:g} s after the end of the load"] if lost else [],
        )


def simulate(
    work: Work,
    pods: Pods,
    rule: Rule,
    actuation: Actuation,
    *,
    limits: tuple[int, int] = (0, 10),
    seed: int = 0,
    sample_s: float | None = None,
    tail_s: float = 0.0,
) -> Result:
    """The same arguments give the same result. With `sample_s` it keeps samples and reasons, which takes longer.

    `limits` are the least and the most replicas; `seed` draws start-ups; `tail_s` is paid for behind the end.
    """
    cluster = Cluster(
        work.arrivals_s, work.services_s, pods, limits, np.random.default_rng([seed, 2]), sample_s=sample_s
    )
    actuation.begin(cluster, rule)
    end_s = cluster.run(work.duration_s, work.duration_s + DRAIN_S, tail_s)
    return Result(
        work,
        cluster.claimed_s,
        cluster.finished_s,
        cluster.attempts,
        cluster.pod_s,
        cluster.starts,
        cluster.peak,
        end_s,
        cluster.samples,
        cluster.reasons,
    )


def _known(time_s: float) -> float | None:
    return None if math.isnan(time_s) else time_s
