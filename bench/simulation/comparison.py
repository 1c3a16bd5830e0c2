"""Rules against loads, in replications: each rule gets the same jobs and start-ups, and phases of its own rounds."""

from __future__ import annotations

import math
import signal
import statistics
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import cache, partial
from itertools import product
from multiprocessing import active_children, get_context
from typing import TYPE_CHECKING

import numpy as np

from bench.common import arrivals
from bench.reports.table import number, percent, seconds
from bench.simulation import clairvoyant, times
from bench.simulation.cluster import PodSpec, simulate
from bench.simulation.named_rules import CLAIRVOYANT, find
from bench.simulation.rules import Brief, Fixed
from bench.simulation.work import work

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
    idle_s: float = 0.0  # nothing comes for so long, before the load
    standby: int = 0  # idle pods that the policy keeps beyond those that will be busy
    standby_price: float = 0.0  # of one, as a part of a pod; 0 keeps them whatever they save

    @property
    def pods(self) -> PodSpec:
        """Raises LoadError."""
        return PodSpec(times.parse(self.startup), concurrency=self.concurrency, grace_s=self.grace_s)

    def work(self, seed: int) -> Work:
        """Raises LoadError."""
        found = arrivals.arrivals(_parsed(self.load), self.duration_s, self.process, seed)
        if self.idle_s:
            found = [replace(one, at_s=one.at_s + self.idle_s) for one in found]
        duration_s = None if self.duration_s is None else self.idle_s + self.duration_s
        return work(found, times.parse(self.service), duration_s, seed)

    @property
    def brief(self) -> Brief:
        """What rules may be told."""
        load, rate = _parsed(self.load), None
        if not load.is_trace and self.duration_s is not None:
            rate = partial(_rate_after, self.idle_s, partial(load.rate, duration_s=self.duration_s))
        limits = (self.minimum, self.maximum)
        return Brief(self.objective_s, self.late_cost, rate, limits, self.concurrency, self.standby, self.standby_price)


def _rate_after(idle_s: float, rate: Callable[[float], float], t_s: float) -> float:
    return rate(t_s - idle_s) if t_s >= idle_s else 0.0


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one run, or the medians of some."""

    jobs: float
    duration_s: float
    p50_s: float
    p95_s: float
    p99_s: float
    within: float  # share of the jobs that waited no longer than the objective
    pod_s: float
    starts: float
    peak: float  # pods at the same time
    cost: float = math.nan  # pod-seconds over the clairvoyant plan's; NaN without one

    @property
    def pods(self) -> float:
        """Pod-hours for each hour of load."""
        return self.pod_s / self.duration_s

    def cells(self, within: str) -> dict[str, str]:
        """For a table, whose column of the jobs in time has that name."""
        times = {"p50": seconds(self.p50_s), "p95": seconds(self.p95_s), "p99": seconds(self.p99_s)}
        counts = {"pod-seconds": number(self.pod_s), "starts": number(self.starts), "most pods": number(self.peak)}
        return {**times, within: percent(self.within), **counts, "cost": number(self.cost, 2)}


def figures(result: Result, objective_s: float) -> Figures:
    """Of one run."""
    p50_s, p95_s, p99_s = map(result.percentile_s, (50, 95, 99))
    counts = (result.within(objective_s), result.pod_s, result.starts, result.peak)
    return Figures(len(result.finished_s), result.work.duration_s, p50_s, p95_s, p99_s, *counts)


def medians(runs: Sequence[Figures]) -> Figures:
    """Of each figure by itself."""
    return Figures(*(statistics.median(getattr(run, field.name) for run in runs) for field in fields(Figures)))


def one(case: Case, rule: str, seed: int, sample_s: float | None = None) -> Result:
    """One run of a rule, or of the clairvoyant plan. Raises LoadError, ValueError."""
    jobs, pods = case.work(seed), case.pods
    if rule != CLAIRVOYANT:
        return simulated(rule, seed, jobs, pods, case.brief, sample_s)
    plan = clairvoyant.plan(jobs, pods, case.objective_s or jobs.mean_service_s, seed)
    # In the plan a pod that is told to go ends its job first, however long that takes.
    patient = replace(pods, grace_s=math.inf)
    return simulate(jobs, patient, Fixed(0), plan, limits=(0, len(plan.orders)), seed=seed, sample_s=sample_s)


def simulated(name: str, seed: int, jobs: Work, pods: PodSpec, brief: Brief, sample_s: float | None = None) -> Result:
    """One run of a rule that is no plan, with phases of its rounds drawn by the seed."""
    rule = find(name)
    actuation = rule.actuation(np.random.default_rng([seed, 4]))
    return simulate(jobs, pods, rule.rule(brief), actuation, limits=brief.limits, seed=seed, sample_s=sample_s)


def compare(
    cases: Sequence[Case], rules: Sequence[str], seeds: Sequence[int], processes: int = 1
) -> dict[tuple[Case, str], list[Figures]]:
    """All replications of each rule with each case. The costs are known if CLAIRVOYANT is among the rules.

    Raises LoadError; ValueError for a rule that there is not.
    """
    for case, rule in product(cases, rules):
        _ = case.pods, case.work(seeds[0]), rule == CLAIRVOYANT or find(rule)  # errors come before any process starts
    tasks = list(product(cases, rules, seeds))
    if processes > 1 and len(tasks) > 1:
        found = dict(zip(tasks, _side_by_side(tasks, processes), strict=True))
    else:
        found = {task: _task(task) for task in tasks}
    for (case, rule, seed), run in found.items():
        if best := found.get((case, CLAIRVOYANT, seed)):
            found[case, rule, seed] = replace(run, cost=run.pod_s / (best.pod_s or math.nan))
    return {(case, rule): [found[case, rule, seed] for seed in seeds] for case, rule in product(cases, rules)}


def _side_by_side(tasks: Sequence[tuple[Case, str, int]], processes: int) -> list[Figures]:
    """The tasks' figures. What ends it, such as Ctrl-C, ends its processes at once, which leave that to this one."""
    deaf = partial(signal.signal, signal.SIGINT, signal.SIG_IGN)
    # Not a fork: numpy's threads would not survive it.
    with ProcessPoolExecutor(processes, get_context("spawn"), deaf) as pool:
        futures = [pool.submit(_task, task) for task in tasks]
        try:
            return [future.result() for future in futures]
        except BaseException:
            for process in active_children():
                process.terminate()
            raise


def _task(task: tuple[Case, str, int]) -> Figures:
    result = one(*task)
    return figures(result, task[0].objective_s or result.work.mean_service_s)
