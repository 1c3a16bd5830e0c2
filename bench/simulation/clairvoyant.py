"""A plan by somebody who knows every arrival, service and start-up in advance: what the rules' costs are held to.

The plan says when pods are ordered and when pods that are free are told to go. It begins with an empty cluster like
everybody else, and the simulator carries it out like everything else. Its law: no job waits for longer than the
objective, unless nobody could have helped it, because it came before a pod that was ordered at the very beginning was
ready; such a job is served when the first pods are (or, with a time to catch up, somewhat later). Under that law it
wants few pod-seconds:

1. Several greedy plans: jobs in their order; each goes to a pod that becomes free in time, or to one that is idle if
   that did not idle for too long; else there is one more pod, ready just in time. They differ in how much of the
   objective they use up before they order, and in how long they hold an idle pod.
2. The best of them are improved (improvement.py): pods are left out, ordered later and let go earlier as long as the
   law is kept, with a check of every job that this concerns.
3. The best one is disturbed here and there (a pod is held where it went, or one is added) and improved again around
   the place; what costs less is kept.

It is feasible, and not a proven optimum. Beside a linear program that may use fractions of pods and of jobs, a bound
that no real plan reaches, it costs 1.02 to 1.09 times as much on the old ramps and 1.27 times on the old spike (their
Poisson versions: 1.12 to 1.25), at a start-up of 30 s; on an hour of short bursts, where pods are nowhere near
fractions, 1.35 times.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from bench.simulation.improvement import Draft, Law, Search, latest_s

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.simulation.cluster import Cluster, Pods
    from bench.simulation.rule import Rule
    from bench.simulation.simulate import Work

_ROUNDING_S = 1e-6
_SPARE = 10_000  # start-ups of pods that are tried and not kept
# How many drafts are improved, and how often the best is disturbed, falls with the number of jobs: to seconds.
_DRAFTS_X_JOBS = 20_000
_ROUNDS_X_JOBS = 200_000
_MOST_ROUNDS = 100


@dataclass(frozen=True, slots=True)
class Plan:
    """When pods are ordered and how long they start up, and when pods are told to go: as many as there are orders."""

    orders: tuple[tuple[float, float], ...]
    stops_s: tuple[float, ...]

    def begin(self, cluster: Cluster, _rule: Rule) -> None:
        """Carries itself out, as an Actuation that asks nobody."""
        for order_s, startup_s in self.orders:
            cluster.at(order_s, lambda startup_s=startup_s: _order(cluster, startup_s))  # type: ignore[misc]
        for stop_s in self.stops_s:
            # Just before the pod in question would claim another job.
            cluster.at(max(0.0, stop_s - _ROUNDING_S), lambda: _let_go(cluster))


def _order(cluster: Cluster, startup_s: float) -> None:
    cluster.replicas += 1
    cluster.create(startup_s)


def _let_go(cluster: Cluster) -> None:
    cluster.replicas -= 1
    cluster.stop_first_idle()


def plain(work: Work, pods: Pods, objective_s: float, seed: int = 0, catch_up_s: float = 0.0) -> Plan:
    """The first of the greedy plans, as it is: what a clairvoyant does who looks at one job at a time.

    A job goes to a pod that is idle, or to one that will be free in time; else another pod is ready when it has to
    start. An idle one goes after as long as a start takes. ValueError as `plan`.
    """
    startups_s, _ = _startups_s(work, pods, seed)
    if not startups_s:
        return Plan((), ())
    return _planned(_greedy(work, startups_s, objective_s, catch_up_s, used=1.0, eager=0.0, hold=1.0))


def plan(
    work: Work,
    pods: Pods,
    objective_s: float,
    seed: int = 0,
    rounds: int | None = None,
    catch_up_s: float = 0.0,
) -> Plan:
    """For pods that run one job at a time; ValueError for others.

    `catch_up_s` is how much later than the first pod the objective is kept by all: with none a crowd of pods is needed
    as soon as there can be one, for all the jobs that came before, which costs the more the longer a start-up takes.
    `rounds` is how often the plan is disturbed to find a better one; None is as often as takes a few seconds.
    """
    startups_s, spare_s = _startups_s(work, pods, seed)
    jobs = len(startups_s)
    if not jobs:
        return Plan((), ())
    generator = np.random.default_rng([seed, 5])
    drafts = [
        _greedy(work, startups_s, objective_s, catch_up_s, used, eager, hold)
        for hold, eager, used in product((1.0, 1.5, 0.7), (1.0, 0.0, 0.5), (0.5, 1.0))
    ]
    law = Law(work.arrivals_s, work.services_s, objective_s, drafts, catch_up_s)
    searches = [search for draft in drafts if (search := Search.of(law, draft)) is not None]
    searches = searches[: max(3, _DRAFTS_X_JOBS // jobs)]
    for search in searches:
        search.improve()
    best = min(searches, key=lambda search: search.cost_s)
    for _ in range(min(_MOST_ROUNDS, _ROUNDS_X_JOBS // jobs) if rounds is None else rounds):
        best = best.disturbed(generator, spare_s)
    return _planned(Draft(best.pods, best.stops_s))


def _startups_s(work: Work, pods: Pods, seed: int) -> tuple[list[float], list[float]]:
    """Of the pods in their order, as many as there are jobs; and spare ones."""
    if pods.concurrency != 1:
        raise ValueError("the clairvoyant plan is for pods that run one job at a time")
    jobs = len(work.arrivals_s)
    drawn = pods.startup.draw(np.random.default_rng([seed, 3]), jobs + _SPARE).tolist()
    return drawn[:jobs], drawn[jobs:]


def _planned(draft: Draft) -> Plan:
    orders = sorted((ready_s - startup_s, startup_s) for ready_s, startup_s in draft.pods)
    return Plan(tuple(orders), tuple(draft.stops_s))


def _greedy(
    work: Work,
    startups_s: Sequence[float],
    objective_s: float,
    catch_up_s: float,
    used: float,
    eager: float,
    hold: float,
) -> Draft:
    """One more pod is ready when `used` of the objective is over; idle ones go after `hold` start-ups.

    A job rather waits for a busy pod than to take an idle one, for a share `eager` of the objective.
    """
    pods: list[tuple[float, float]] = []
    stops_s: list[float] = []
    free: list[float] = []  # when the pods that are there will be free, sorted
    now_s = 0.0
    for arrived_s, service_s in zip(work.arrivals_s, work.services_s, strict=True):
        now_s = max(arrived_s, now_s)
        startup_s = startups_s[len(pods)]
        while free and free[0] < now_s - startup_s * hold:
            stops_s.append(free.pop(0))
        idle = bisect_left(free, now_s + _ROUNDING_S)
        next_s = free[idle] if idle < len(free) else math.inf
        due_s = latest_s(arrived_s, objective_s, startups_s[0], catch_up_s)
        in_time = next_s <= due_s
        if (next_s <= now_s + objective_s * eager and in_time) or (not idle and in_time):
            now_s = free.pop(idle)
        elif idle:
            free.pop(idle - 1)
        else:
            now_s = max(arrived_s + (due_s - arrived_s) * used, startup_s, now_s)
            pods.append((now_s, startup_s))
        insort(free, now_s + service_s)
    return Draft(sorted(pods), sorted(stops_s + free))
