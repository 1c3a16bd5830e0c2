"""Rules against loads, in replications: each rule gets the same jobs and start-ups, and phases of its own rounds."""

from __future__ import annotations

import math
import statistics
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from functools import cache, partial
from itertools import product
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.common import arrivals
from bench.simulation import clairvoyant, times
from bench.simulation.cluster import PodSpec, simulate
from bench.simulation.named_rules import CLAIRVOYANT, find
from bench.simulation.rule import Brief
from bench.simulation.rules import Fixed
from bench.simulation.work import work

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.common.arrivals import Process
    from bench.simulation.work import Result, Work

_parsed = cache(arrivals.parse)


@dataclass(frozen=True, slots=True)
class Case:
    """A load and the pods that serve it, as the command line gives them."""

    load: str
    process: Process = "deterministic"
    duration_s: float | None = 1800.0  # None, for a trace: all of it
    startup: str = "30"
    service: str = "5"
    objective_s: float | None = None  # of waiting; None is a mean service time
    late_cost: float | None = None  # as the policy's; None is its default
    minimum: int = 0
    maximum: int = 100
    concurrency: int = 1
    grace_s: float = 30.0

    @property
    def pods(self) -> PodSpec:
        """Raises TimesError."""
        return PodSpec(times.parse(self.startup), concurrency=self.concurrency, grace_s=self.grace_s)

    def work(self, seed: int) -> Work:
        """Raises LoadError or TimesError."""
        found = arrivals.arrivals(_parsed(self.load), self.duration_s, self.process, seed)
        return work(found, times.parse(self.service), self.duration_s, seed)

    @property
    def brief(self) -> Brief:
        """What rules may be told."""
        load, known = _parsed(self.load), None
        if not load.is_trace and self.duration_s is not None:
            known = partial(load.rate, duration_s=self.duration_s)
        return Brief(self.objective_s, self.late_cost, known)


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one run, or the medians of some."""

    p50_s: float
    p95_s: float
    p99_s: float
    within: float  # share of the jobs that waited no longer than the objective
    pod_s: float
    starts: float
    peak: float  # pods at the same time
    unfinished: float
    cost: float = math.nan  # pod-seconds over the clairvoyant plan's; NaN without one


@dataclass(frozen=True, slots=True)
class Row:
    """All replications of a rule with a load."""

    case: Case
    rule: str
    jobs: int  # of the first of them
    objective_s: float
    duration_s: float
    runs: tuple[Figures, ...]

    @property
    def median(self) -> Figures:
        """Of each figure by itself."""
        return Figures(*(statistics.median(getattr(run, field.name) for run in self.runs) for field in fields(Figures)))

    @property
    def pods(self) -> float:
        """How many there were on the average of the load's duration: pod-hours an hour."""
        return self.median.pod_s / self.duration_s

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        row = asdict(self)
        return {**row.pop("case"), **row, "median": asdict(self.median)}


def one(case: Case, rule: str, seed: int, sample_s: float | None = None) -> Result:
    """One run of a rule, or of the clairvoyant plan. Raises LoadError, TimesError, ValueError."""
    jobs, pods = case.work(seed), case.pods
    if rule != CLAIRVOYANT:
        return simulated(rule, seed, jobs, pods, (case.minimum, case.maximum), case.brief, sample_s)
    plan = clairvoyant.plan(jobs, pods, case.objective_s or jobs.mean_service_s, seed)
    # The plan reckons that a pod which is told to go ends its job first, however long that is.
    patient = replace(pods, grace_s=math.inf)
    return simulate(jobs, patient, Fixed(0), plan, limits=(0, len(plan.orders)), seed=seed, sample_s=sample_s)


def simulated(
    name: str,
    seed: int,
    jobs: Work,
    pods: PodSpec,
    limits: tuple[int, int],
    brief: Brief | None = None,
    sample_s: float | None = None,
) -> Result:
    """One run of a rule that is no plan, with phases of its rounds drawn by the seed."""
    named = find(name)
    actuation = named.actuation(np.random.default_rng([seed, 4]))
    return simulate(jobs, pods, named.rule(brief or Brief()), actuation, limits=limits, seed=seed, sample_s=sample_s)


def compare(cases: Sequence[Case], rules: Sequence[str], seeds: Sequence[int], processes: int = 1) -> list[Row]:
    """In the order of cases and rules; the costs are known if CLAIRVOYANT is among the rules."""
    tasks = list(product(cases, rules, seeds))
    if processes > 1 and len(tasks) > 1:
        # Not a fork: numpy's threads would not survive it.
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            found = dict(zip(tasks, pool.map(_figures, tasks), strict=True))
    else:
        found = {task: _figures(task) for task in tasks}
    rows = []
    for case, rule in product(cases, rules):
        jobs, runs = case.work(seeds[0]), []
        for seed in seeds:
            run, best = found[case, rule, seed], found.get((case, CLAIRVOYANT, seed))
            runs.append(replace(run, cost=run.pod_s / best.pod_s) if best and best.pod_s else run)
        objective_s = case.objective_s or jobs.mean_service_s
        rows.append(Row(case, rule, len(jobs.arrivals_s), objective_s, jobs.duration_s, tuple(runs)))
    return rows


def _figures(task: tuple[Case, str, int]) -> Figures:
    case, rule, seed = task
    result = one(case, rule, seed)
    return Figures(
        p50_s=result.percentile_s(50),
        p95_s=result.percentile_s(95),
        p99_s=result.percentile_s(99),
        within=result.within(case.objective_s or result.work.mean_service_s),
        pod_s=result.pod_s,
        starts=result.starts,
        peak=result.peak,
        unfinished=result.unfinished,
    )
