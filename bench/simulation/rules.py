"""The rules that are compared: Leadtime's own, what KEDA's triggers count, and what other scalers do.

A rule sees no more than the scaler of a real cluster could see. What it needs to know of service times and start-ups
it takes from those that it has seen, or guesses.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from workers.scaler.cluster.hpa import metric_for
from workers.scaler.policy import Options, Snapshot, State, decide, start

if TYPE_CHECKING:
    from collections.abc import Callable

_STARTUP_GUESS_S = 30.0


@dataclass(slots=True)
class View:
    """What a rule sees of a cluster, kept true by the cluster. A rule changes nothing in it.

    The lists only grow: a rule remembers how far it has read.
    """

    now_s: float = 0.0  # since the run's begin
    waiting: int = 0  # jobs that no pod has claimed
    running: int = 0  # jobs that pods have claimed, those of stopping pods too
    arrivals_s: list[float] = field(default_factory=list)  # of all jobs so far, in order
    services_s: list[float] = field(default_factory=list)  # claim to end, in the order of the ends
    startups_s: list[float] = field(default_factory=list)  # creation to ready, in the order in which pods became ready
    ready: int = 0  # pods that claim jobs
    starting_ages_s: tuple[float, ...] = ()  # of the pods that are not ready yet, oldest first
    replicas: int = 0  # wanted at present: ready and starting pods together


@dataclass(frozen=True, slots=True)
class RuleDecision:
    """`replicas` to have, or a `metric` that the HPA divides by its target; if both, the HPA takes the metric."""

    replicas: int | None = None
    metric: float | None = None
    reason: str = ""
    forecast: float | None = None  # jobs/s that are expected
    spread: float | None = None  # standard deviation of the forecast


@dataclass(frozen=True, slots=True)
class Brief:
    """What a rule is told before a run; most rules use little of it."""

    objective_s: float | None = None  # that a job may wait; None is a mean service time
    late_cost: float | None = None  # the price of a late job, in mean service times of a pod; None is the default
    rate: Callable[[float], float] | None = None  # what the load was drawn from, in jobs/s at a time; None for a trace
    limits: tuple[int, int] = (0, 100)  # the least and the most replicas
    concurrency: int = 1  # jobs that a pod runs at once
    standby: int = 0  # idle pods beyond those that will be busy
    standby_price: float = 0.0  # of one, as a part of a pod


_NO_BRIEF = Brief()


class Rule(Protocol):
    """A scaler. One object is used for one run; it may keep state."""

    def decide(self, view: View) -> RuleDecision:
        """Is called with views of growing times."""


class StartupAware:
    """Leadtime's policy: the very function that the live scaler calls (`workers.scaler.policy`), with its defaults.

    `actuation_s` is how long it is told that an order takes. If `told`, the load's true rate takes the place of the
    forecast, and of nothing else; ValueError for a trace, which has no rate.
    """

    def __init__(
        self,
        brief: Brief = _NO_BRIEF,
        actuation_s: float = 1.0,
        *,
        told: bool = False,
        options: Options | None = None,
    ) -> None:
        """With `options`, those of `brief` don't count."""
        if told and brief.rate is None:
            raise ValueError("nobody can be told a trace's rate: it has none")
        self._rate = brief.rate if told else None
        self.options = options or Options(
            min_replicas=brief.limits[0],
            max_replicas=brief.limits[1],
            objective_s=brief.objective_s,
            late_cost=brief.late_cost or Options().late_cost,
            concurrency=brief.concurrency,
            standby=brief.standby,
            standby_price=brief.standby_price,
            actuation_s=actuation_s,
        )
        self.state: State | None = None
        self.seen: Snapshot | None = None
        self._services = self._startups = 0  # how many of them it has read

    def decide(self, view: View) -> RuleDecision:
        """Is called once a second."""
        services_s, startups_s = tuple(view.services_s[self._services :]), tuple(view.startups_s[self._startups :])
        self._services, self._startups = len(view.services_s), len(view.startups_s)
        arrived, ages_s = len(view.arrivals_s), view.starting_ages_s
        snapshot = Snapshot(view.now_s, arrived, view.waiting, view.running, view.ready, ages_s, services_s, startups_s)
        rate, now_s = self._rate, view.now_s
        rate_in = None if rate is None else lambda after_s: rate(now_s + after_s)
        state, self.seen = start(snapshot, self.options) if self.state is None else self.state, snapshot
        decision, self.state = decide(snapshot, state, self.options, rate_in)
        metric = metric_for(decision.replicas, view.replicas)
        return RuleDecision(decision.replicas, metric, decision.reason, decision.rate, decision.spread)

    def grant(self, replicas: int) -> None:
        """Tells it how many it gets of a budget."""
        if self.state is not None:
            self.state = replace(self.state, replicas=replicas)


class JobCount:
    """A KEDA trigger's metric: jobs that wait (`lag`, a list's length), and if `running` those that run, too."""

    def __init__(self, *, running: bool) -> None:
        self._running = running

    def decide(self, view: View) -> RuleDecision:
        """A metric, which the HPA divides by its target."""
        metric = view.waiting + view.running * self._running
        return RuleDecision(metric=metric, reason=f"{view.waiting} waiting, {view.running} running")


class Fixed:
    """Always the same number."""

    def __init__(self, replicas: int) -> None:
        self._replicas = replicas

    def decide(self, view: View) -> RuleDecision:
        """Replicas."""
        return RuleDecision(self._replicas, reason=f"{self._replicas}, whatever happens; {view.waiting} waiting")


class DelayedOff:
    """DELAYEDOFF: a pod for each job, and an idle one is kept until it has cost as much as a start.

    A. Gandhi, V. Gupta, M. Harchol-Balter, M. Kozuch: Optimality analysis of energy-performance trade-off for server
    farm management, 2010. Jobs go to the pod that was busy last, so the k-th pod is idle while there are fewer than k
    jobs. So as many pods are kept as there were jobs at most within that time.
    """

    def __init__(self, brief: Brief = _NO_BRIEF) -> None:
        self._concurrency = brief.concurrency
        self._startups, self._startup_sum_s = 0, 0.0
        self._most: deque[tuple[float, int]] = deque()  # falling numbers, each the largest since the one before

    def decide(self, view: View) -> RuleDecision:
        """Replicas."""
        jobs = view.waiting + view.running
        self._startup_sum_s += sum(view.startups_s[self._startups :])
        self._startups = len(view.startups_s)
        hold_s = self._startup_sum_s / self._startups if self._startups else _STARTUP_GUESS_S
        while self._most and self._most[-1][1] <= jobs:
            self._most.pop()
        self._most.append((view.now_s, jobs))
        while self._most[0][0] < view.now_s - hold_s:
            self._most.popleft()
        wanted = math.ceil(self._most[0][1] / self._concurrency)
        return RuleDecision(wanted, reason=f"{jobs} jobs, at most {self._most[0][1]} within {hold_s:.0f} s")


class Knative:
    """As Knative's autoscaler: mean concurrency over a stable and a panic window, for a target per pod.

    After knative/serving, pkg/autoscaler/scaling/autoscaler.go, with its defaults: windows of 60 s and 6 s, 70 % of
    the concurrency. Panic begins when the panic window needs twice the ready pods, and ends a stable window after the
    last time it did; no pod is taken away meanwhile. At other times at most half of the ready pods are taken away at
    once. Zero comes after a stable window without a job and a grace of 30 s.
    """

    STABLE_S, PANIC_S, UTILIZATION, GRACE_S = 60.0, 6.0, 0.7, 30.0

    def __init__(self, brief: Brief = _NO_BRIEF) -> None:
        self._target = self.UTILIZATION * brief.concurrency
        self._seen: deque[tuple[float, int]] = deque()
        self._panicked_s = self._busy_s = -math.inf
        self._panic_pods = 0

    def decide(self, view: View) -> RuleDecision:
        """Replicas."""
        now_s, jobs = view.now_s, view.waiting + view.running
        self._seen.append((now_s, jobs))
        while self._seen[0][0] <= now_s - self.STABLE_S:
            self._seen.popleft()
        stable, panic = self._mean(now_s - self.STABLE_S), self._mean(now_s - self.PANIC_S)
        if stable > 0:
            self._busy_s = now_s
        wanted = max(math.ceil(stable / self._target), view.ready // 2 if stable > 0 else 0)
        urgent = math.ceil(panic / self._target)
        if urgent / max(view.ready, 1) >= 2:
            self._panicked_s = now_s
        if now_s - self._panicked_s < self.STABLE_S:
            wanted = self._panic_pods = max(self._panic_pods, urgent, wanted)
        else:
            self._panic_pods = 0
        if not wanted and now_s - self._busy_s < self.GRACE_S:
            wanted = min(1, view.replicas)
        reason = f"{stable:.1f} jobs in {self.STABLE_S:.0f} s, {panic:.1f} in {self.PANIC_S:.0f} s"
        return RuleDecision(wanted, reason=reason)

    def _mean(self, since_s: float) -> float:
        jobs = [jobs for time_s, jobs in self._seen if time_s > since_s]
        return sum(jobs) / len(jobs) if jobs else 0.0
