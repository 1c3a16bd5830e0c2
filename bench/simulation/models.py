"""Several models within one budget: each is a cluster of its own, and once a second the budget is shared among them.

Policy, price of a pod and budget are the functions that the live scaler calls, on MODELS_FILE as it is. Jobs take what
the file says as `service_guess_s`, starts what it says as `startup_guess_s`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from bench.common import arrivals
from bench.common.arrivals import LoadError
from bench.reports.table import number, table
from bench.simulation import times
from bench.simulation.cluster import PodSpec, SimulatedCluster
from bench.simulation.comparison import figures
from bench.simulation.rules import StartupAware
from bench.simulation.work import DRAIN_S, work
from workers.scaler.budget import Claim, share
from workers.scaler.policy import late_jobs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.common.arrivals import Process
    from bench.reports.table import Table
    from bench.simulation.times import Times
    from bench.simulation.work import Result, Work
    from workers.scaler.models.models_file import ModelEntry, ModelsFile


@dataclass(frozen=True, slots=True)
class ModelsRun:
    """What came of a run: the results by queue, and the most that was taken of each resource at one time."""

    results: Mapping[str, Result]
    most: Mapping[str, float]


class _SimulatedModel:
    def __init__(self, entry: ModelEntry, jobs: Work, startup: Times, grace_s: float, seed: int) -> None:
        self.entry, self.granted, self.replicas = entry, 0, 0
        spec = PodSpec(startup, entry.concurrency, grace_s, batch=entry.batch)
        # Samples only keep the reasons here: one sample is taken, at the beginning.
        self.cluster = SimulatedCluster(jobs, spec, (entry.min_replicas, entry.max_replicas), seed, math.inf)
        self.rule = StartupAware(options=entry.options(1.0))

    def claim(self) -> Claim:
        """What it asks for now."""
        decision, pods, rule = self.cluster.ask(self.rule), self.cluster.pods, self.rule
        assert rule.seen is not None
        assert rule.state is not None
        self.granted, self.replicas = self.replicas, decision.replicas or 0
        late = partial(late_jobs, rule.seen, rule.state, rule.options)
        return Claim(
            self.entry.queue, self.replicas, self.granted, pods.ready + pods.starting, pods.leaving, pods.busy,
            self.entry.share, self.entry.takes, late, rule.options.late_price_s(rule.state.services.mean_s),
        )  # fmt: skip

    def take(self, replicas: int, why: str) -> None:
        """Has its pods ordered."""
        self.replicas = replicas
        self.rule.grant(replicas)
        if why:
            self.cluster.result.reasons.append((self.cluster.now_s, why))
        self.cluster.scale(replicas)

    def taken(self, resource: str) -> float:
        """What all of its pods take."""
        pods = self.cluster.pods
        return (pods.ready + pods.starting + pods.leaving) * self.entry.takes.get(resource, 0.0)


def simulate_models(
    file: ModelsFile,
    loads: Mapping[str, str],
    *,
    process: Process = "poisson",
    duration_s: float = 1800.0,
    grace_s: float = 30.0,
    seed: int = 0,
    budget: Mapping[str, float] | None = None,
    startups: Mapping[str, Times] | None = None,
    replication: int = 0,
) -> ModelsRun:
    """One run of all models, each with its load. Raises LoadError.

    Budget and start-ups are the file's unless others are given. Another replication has the same jobs, other start-ups.
    """
    amounts = file.budget if budget is None else budget
    models = []
    for i, entry in enumerate(file.models):
        startup = (startups or {}).get(entry.queue, times.constant(entry.startup_guess_s))
        jobs = _work(entry, loads, process, duration_s, seed + i)
        models.append(_SimulatedModel(entry, jobs, startup, grace_s, seed + i + replication * len(file.models)))
    most, now_s = dict.fromkeys(amounts, 0.0), 0.0
    while now_s <= duration_s + DRAIN_S and not (now_s > duration_s and all(m.cluster.done for m in models)):
        for model in models:
            model.cluster.advance(now_s)
        grants = share([model.claim() for model in models], amounts)
        for model, grant in zip(models, grants, strict=True):
            model.take(grant.replicas, grant.reason)
        for resource, before in most.items():
            most[resource] = max(before, math.fsum(model.taken(resource) for model in models))
        now_s += 1.0
    return ModelsRun({model.entry.queue: model.cluster.finish(now_s) for model in models}, most)


def _work(entry: ModelEntry, loads: Mapping[str, str], process: Process, duration_s: float, seed: int) -> Work:
    load = arrivals.parse(loads.get(entry.queue, "constant:0"))
    return work(
        arrivals.arrivals(load, duration_s, process, seed), times.constant(entry.service_guess_s), duration_s, seed
    )


def loads_of(texts: Sequence[str], file: ModelsFile) -> dict[str, str]:
    """Returns the loads by queue of texts like `whisper=constant:0.5`. Raises LoadError."""
    loads, known = {}, {entry.queue for entry in file.models}
    for text in texts:
        queue, equals, load = text.partition("=")
        if not equals or queue not in known:
            raise LoadError(f"{text!r} is no load of a model, such as {min(known)}=constant:0.5")
        loads[queue] = load
    if missing := known - loads.keys():
        raise LoadError(f"{min(missing)} has no load: add {min(missing)}=LOAD")
    return loads


def models_table(file: ModelsFile, within: ModelsRun, alone: ModelsRun) -> Table:
    """A row for each model, and one for it with as many pods as it wants."""
    rows = []
    for entry in file.models:
        for how, run in (("", within), (", without a budget", alone)):
            result = run.results[entry.queue]
            cells = figures(result, entry.objective_s or entry.service_guess_s).cells("in time")
            cells.pop("cost")
            rows.append({"model": entry.queue + how, "jobs": number(len(result.finished_s)), **cells})
    taken = [f"{within.most[name]:g} of {amount:g} {name}" for name, amount in file.budget.items()]
    return table(f"{len(file.models)} models; most at one time: {', '.join(taken) or 'no budget'}", rows)
