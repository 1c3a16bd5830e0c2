"""A plan by somebody who knows every arrival, service and start-up in advance: the costs of the rules are held to it.

It looks at one job after the other. A job goes to a pod that is idle, or to one that will be free before the objective
is over. If there is none, one more pod is ordered so early that it is ready when the objective is over. A pod is kept
for its next job if that comes within a start-up time, and goes at once if not. Example: objective 5 s, start-up 30 s, a
job comes at 100 s and all pods are busy until 110 s: a pod is ordered at 75 s, and ready at 105 s.

So no job waits for longer than the objective, except for those that come before the first pod can be ready. The plan is
easy to follow, and not the cheapest that there could be: a rule that lets jobs wait for longer can cost less.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from bench.simulation.cluster import PodSpec, SimulatedCluster
    from bench.simulation.rules import Rule
    from bench.simulation.work import Work

_ROUNDING_S = 1e-6


@dataclass(frozen=True, slots=True)
class PodPlan:
    """When pods are ordered and how long they start up, and when pods are told to go: as many as there are orders."""

    orders: tuple[tuple[float, float], ...]
    stops_s: tuple[float, ...]

    def begin(self, cluster: SimulatedCluster, _rule: Rule) -> None:
        """Carries itself out, as an Actuation that asks nobody."""
        for order_s, startup_s in self.orders:
            cluster.at(order_s, lambda startup_s=startup_s: _order(cluster, startup_s))  # type: ignore[misc]
        for stop_s in self.stops_s:
            # Just before the pod in question would claim another job.
            cluster.at(max(0.0, stop_s - _ROUNDING_S), lambda: _let_go(cluster))


def _order(cluster: SimulatedCluster, startup_s: float) -> None:
    cluster.replicas += 1
    cluster.create(startup_s)


def _let_go(cluster: SimulatedCluster) -> None:
    cluster.replicas -= 1
    cluster.stop_first_idle()


def plan(work: Work, pods: PodSpec, objective_s: float, seed: int = 0) -> PodPlan:
    """For pods that run one job at a time; ValueError for others."""
    if pods.concurrency != 1:
        raise ValueError("the clairvoyant plan is for pods that run one job at a time")
    # For each job a start-up, as each may need a pod of its own.
    startups_s = pods.startup.draw(np.random.default_rng([seed, 3]), len(work.arrivals_s)).tolist()
    ready: list[tuple[float, float]] = []  # for each pod when it is ready, and its start-up
    stops_s: list[float] = []
    free: list[float] = []  # when the pods that are there will be free, sorted
    now_s = 0.0
    for arrived_s, service_s in zip(work.arrivals_s, work.services_s, strict=True):
        now_s = max(arrived_s, now_s)
        startup_s = startups_s[len(ready)]
        while free and free[0] < now_s - startup_s:
            stops_s.append(free.pop(0))
        idle = bisect_left(free, now_s + _ROUNDING_S)
        due_s = max(arrived_s + objective_s, startups_s[0] if arrived_s < startups_s[0] else 0.0)
        if idle:
            free.pop(idle - 1)
        elif free and free[0] <= due_s:
            now_s = free.pop(0)
        else:
            now_s = max(due_s, startup_s, now_s)
            ready.append((now_s, startup_s))
        insort(free, now_s + service_s)
    orders = sorted((ready_s - startup_s, startup_s) for ready_s, startup_s in sorted(ready))
    return PodPlan(tuple(orders), tuple(sorted(stops_s + free)))
