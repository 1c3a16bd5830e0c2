"""Rules against loads, in replications: each rule gets the same jobs and start-ups, and phases of its own rounds."""

from __future__ import annotations

import math
import statistics
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property, partial
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.common import arrivals
from bench.simulation import clairvoyant, times
from bench.simulation.cluster import Pods
from bench.simulation.contenders import CLAIRVOYANT, PLAIN, PLANS, find
from bench.simulation.rule import BRIEF, Brief
from bench.simulation.rules import Count
from bench.simulation.simulate import simulate, work

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.common.arrivals import Process
    from bench.simulation.simulate import Result, Work


@dataclass(frozen=True)
class Case:
    """A load and the pods that serve it, as the command line gives them."""

    load: str
    process: Process = "deterministic"
    duration_s: float | None = 1800.0  # None, of a trace: all of it
    startup: str = "30"
    service: str = "5"
    objective_s: float | None = None  # of waiting; None is a mean service time
    late_cost: float | None = None  # as the policy's; None is its default
    minimum: int = 0
    maximum: int = 100
    concurrency: int = 1
    grace_s: float = 30.0
    catch_up_s: float = 0.0  # of the clairvoyant plan

    @cached_property
    def pods(self) -> Pods:
        """Raises TimesError."""
        return Pods(times.parse(self.startup), concurrency=self.concurrency, grace_s=self.grace_s)

    @cached_property
    def _load(self) -> arrivals.Load:
        return arrivals.parse(self.load)

    @cached_property
    def _service(self) -> times.Times:
        return times.parse(self.service)

    @property
    def is_random(self) -> bool:
        """Whether jobs or start-ups differ from one replication to the next."""
        drawn = self.process == "poisson" and not self._load.is_trace
        return drawn or not all(isinstance(each, times.Constant) for each in (self._service, self.pods.startup))

    def work(self, seed: int) -> Work:
        """Raises LoadError or TimesError."""
        found = arrivals.arrivals(self._load, self.duration_s, self.process, seed)
        return work(found, self._service, self.duration_s, seed)

    @property
    def brief(self) -> Brief:
        """What rules may be told."""
        known = None
        if not self._load.is_trace and self.duration_s is not None:
            known = partial(self._load.rate, duration_s=self.duration_s)
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
    cost: float  # pod-seconds over the clairvoyant plan's; NaN without one


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

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **asdict(self.case),
            "rule": self.rule,
            "jobs": self.jobs,
            "objective_s": self.objective_s,
            "duration_s": self.duration_s,
            "median": asdict(self.median),
            "runs": [asdict(run) for run in self.runs],
        }


def one(case: Case, rule: str, seed: int, *, sample_s: float | None = None, rounds: int | None = None) -> Result:
    """One run of a rule, or of the clairvoyant plan."""
    jobs = case.work(seed)
    return _one(case, rule, seed, jobs, case.objective_s or jobs.mean_service_s, sample_s, rounds)


def _one(
    case: Case, rule: str, seed: int, jobs: Work, objective_s: float, sample_s: float | None, rounds: int | None
) -> Result:
    if rule in PLANS:
        if rule == PLAIN:
            plan = clairvoyant.plain(jobs, case.pods, objective_s, seed, case.catch_up_s)
        else:
            plan = clairvoyant.plan(jobs, case.pods, objective_s, seed, rounds, case.catch_up_s)
        nobody = Count(waiting=False, running=False)
        # The plan reckons that a pod which is told to go ends its job first, however long that is.
        patient = replace(case.pods, grace_s=math.inf)
        return simulate(jobs, patient, nobody, plan, limits=(0, len(plan.orders)), seed=seed, sample_s=sample_s)
    return contended(rule, seed, jobs, case.pods, (case.minimum, case.maximum), case.brief, sample_s)


def contended(
    rule: str,
    seed: int,
    jobs: Work,
    pods: Pods,
    limits: tuple[int, int],
    brief: Brief = BRIEF,
    sample_s: float | None = None,
) -> Result:
    """One run of a rule that is no plan, with phases of its rounds drawn by the seed."""
    contender = find(rule)
    actuation = contender.actuation(np.random.default_rng([seed, 4]))
    return simulate(jobs, pods, contender.rule(brief), actuation, limits=limits, seed=seed, sample_s=sample_s)


def compare(
    cases: Sequence[Case], rules: Sequence[str], seeds: Sequence[int], rounds: int | None = None, processes: int = 1
) -> list[Row]:
    """In the order of cases and rules; the costs are known if CLAIRVOYANT is among the rules."""
    tasks = [task for case in cases for task in _tasks(case, rules, seeds, rounds)]
    if processes > 1 and len(tasks) > 1:
        # Not a fork: numpy's threads would not survive it.
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            found = list(pool.map(_task, tasks))
    else:
        found = [_task(task) for task in tasks]
    rows: dict[tuple[Case, str], Row] = {}
    for row in (row for part in found for row in part):
        seen = rows.get((row.case, row.rule))
        runs = row.runs if seen is None else seen.runs + row.runs
        first = seen or row
        rows[row.case, row.rule] = Row(row.case, row.rule, first.jobs, first.objective_s, first.duration_s, runs)
    return list(rows.values())


@dataclass(frozen=True, slots=True)
class _Task:
    case: Case
    rules: tuple[str, ...]
    seeds: tuple[int, ...]
    rounds: int | None


def _tasks(case: Case, rules: Sequence[str], seeds: Sequence[int], rounds: int | None) -> Iterator[_Task]:
    """Where nothing but phases is random, one task has all replications, and makes one plan for all of them."""
    for part in [[seed] for seed in seeds] if case.is_random else [seeds]:
        yield _Task(case, tuple(rules), tuple(part), rounds)


def _task(task: _Task) -> list[Row]:
    case, best_pod_s = task.case, math.nan
    found: dict[str, list[Figures]] = {rule: [] for rule in task.rules}
    jobs = case.work(task.seeds[0])
    objective_s = case.objective_s or jobs.mean_service_s
    # The plan first: all costs are held to it.
    for rule in sorted(task.rules, key=lambda rule: rule != CLAIRVOYANT):
        for seed in task.seeds[:1] if rule in PLANS else task.seeds:
            result = _one(case, rule, seed, jobs, objective_s, None, task.rounds)
            if rule == CLAIRVOYANT:
                best_pod_s = result.pod_s
            found[rule].append(_figures(result, objective_s, best_pod_s))
    return [
        Row(case, rule, len(jobs.arrivals_s), objective_s, jobs.duration_s, tuple(found[rule])) for rule in task.rules
    ]


def _figures(result: Result, objective_s: float, best_pod_s: float) -> Figures:
    return Figures(
        p50_s=result.percentile_s(50),
        p95_s=result.percentile_s(95),
        p99_s=result.percentile_s(99),
        within=result.within(objective_s),
        pod_s=result.pod_s,
        starts=result.starts,
        peak=result.peak,
        unfinished=result.unfinished,
        cost=result.pod_s / best_pod_s if best_pod_s else math.nan,
    )
