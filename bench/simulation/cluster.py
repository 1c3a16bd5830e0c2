"""The model of a stream of jobs and of the pods that serve it, as exact discrete events.

Jobs wait in one queue, first in, first out. A pod claims a job when it is free, and never one in advance. A pod starts
up, serves, and goes when it is told to: at once if it has no job, otherwise when its jobs have ended. Jobs that outlast
its grace are handed back, and run again before others. A model that takes several jobs in one call takes those that
wait when a call can begin, and the call is over when the longest of them is.

Which pods go is the ReplicaSet controller's choice (kubernetes/kubernetes: pkg/controller/controller_utils.go,
ActivePodsWithRanks): those that are not ready before those that are; then a low deletion cost first (Leadtime's workers
keep it at the number of jobs they run); then the younger ones, by the power of two of their age, and by chance within
it. Scheduling is part of the start-up here, and the rank by node is the same for all.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from bench.simulation.rules import RuleDecision, View
from bench.simulation.work import DRAIN_S, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.simulation.rules import Rule
    from bench.simulation.times import Times
    from bench.simulation.work import Work

STARTING, READY, STOPPING = range(3)
_DRAWN_AT_ONCE = 256
# Of all that happens at the same time, samples come first, and arrivals last.
_FIRST, _LAST = -1, 1 << 60


@dataclass(frozen=True, slots=True)
class PodSpec:
    """What all pods of a run have in common."""

    startup: Times  # from creation to ready
    concurrency: int = 1
    grace_s: float = 30.0  # how long a pod that was told to go may go on with its jobs
    deletion_cost: bool = True  # busy pods go last; else the controller knows nothing of jobs
    batch: int = 1  # jobs in one call; `concurrency` counts those of all calls that run at once


class PodCounts(NamedTuple):
    """Pods by their state."""

    ready: int
    starting: int
    leaving: int
    busy: int  # of those that are ready


@dataclass(slots=True, eq=False)
class SimulatedPod:
    """One pod."""

    created_s: float
    uid: float
    state: int = STARTING
    ready_s: float = math.nan
    running: set[int] = field(default_factory=set)
    calls: int = 0


class SimulatedCluster:
    """All state of one run. What carries out decisions uses `now_s`, `at`, `every`, `ask` and `scale`."""

    def __init__(
        self, work: Work, pods: PodSpec, limits: tuple[int, int], seed: int = 0, sample_s: float | None = None
    ) -> None:
        """State is sampled every `sample_s` and at each change of pods; never if it is None."""
        count = len(work.arrivals_s)
        self.result = Result(work, [math.nan] * count, [math.nan] * count, [0] * count)
        self.result.end_s = work.duration_s + DRAIN_S if count else work.duration_s
        self.now_s, self.replicas = 0.0, 0
        self.minimum, self.maximum = limits
        self._work, self._spec, self._sample_s = work, pods, sample_s
        self._generator = np.random.default_rng([seed, 2])
        self._startups = _drawn(pods.startup, self._generator)
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._events = 0
        self._queue: deque[int] = deque()
        self._free: OrderedDict[SimulatedPod, None] = OrderedDict()  # with room for a job; the longest waiting first
        self._active: list[SimulatedPod] = []  # starting or ready, oldest first
        self._leaving: list[SimulatedPod] = []
        self._seen = View()
        self._begun = self._changed = False
        self._decision = RuleDecision()

    def at(self, time_s: float, call: Callable[[], None], order: int | None = None) -> None:
        """Calls it at that time. Calls of the same time are made in the order they were asked for, or by `order`."""
        self._events += 1
        heappush(self._heap, (time_s, self._events if order is None else order, call))

    def every(self, interval_s: float, phase_s: float, call: Callable[[], None], order: int | None = None) -> None:
        """Calls it for the first time at `phase_s` of the run."""

        def again() -> None:
            call()
            self.at(self.now_s + interval_s, again, order)

        self.at(phase_s, again, order)

    def ask(self, rule: Rule) -> RuleDecision:
        """Shows the rule what can be seen now, and returns its decision."""
        view, ages_s = self._seen, [self.now_s - pod.created_s for pod in self._active if pod.state == STARTING]
        view.now_s, view.waiting, view.replicas = self.now_s, len(self._queue), self.replicas
        view.ready, view.starting_ages_s = len(self._active) - len(ages_s), tuple(ages_s)
        decision = rule.decide(view)
        self._decision = decision
        if self._sample_s is not None and decision.reason:
            self.result.reasons.append((self.now_s, decision.reason))
        return decision

    def scale(self, replicas: int) -> None:
        """Sets the wanted number of pods: creates those that are missing, stops those that are too many."""
        self.replicas = replicas
        missing = replicas - len(self._active)
        for _ in range(missing):
            self.create(next(self._startups))
        if missing < 0:
            for pod in sorted(self._active, key=self._rank)[:-missing]:
                self.stop(pod)

    def create(self, startup_s: float) -> None:
        """One more pod, that takes so long until it is ready."""
        pod = SimulatedPod(self.now_s, self._generator.random())
        self._active.append(pod)
        self.at(self.now_s + startup_s, partial(self._begin, pod))
        self.result.starts += 1
        self.result.peak = max(self.result.peak, len(self._active) + len(self._leaving))
        self._changed = True

    def stop(self, pod: SimulatedPod) -> None:
        """Tells a pod to go; it claims no more jobs."""
        self._active.remove(pod)
        self._changed = True
        self._free.pop(pod, None)
        pod.state = STOPPING
        self._leaving.append(pod)
        if not pod.running:
            self._exit(pod)
        elif math.isfinite(self._spec.grace_s):
            self.at(self.now_s + self._spec.grace_s, partial(self._hand_back, pod))

    def stop_first_idle(self) -> None:
        """Stops the ready pod that will be free first, which only the clairvoyant plan can know."""
        claimed_s, services_s = self.result.claimed_s, self._work.services_s

        def free_s(pod: SimulatedPod) -> float:
            return max((claimed_s[job] + services_s[job] for job in pod.running), default=0.0)

        self.stop(min((pod for pod in self._active if pod.state == READY), key=free_s))

    @property
    def pods(self) -> PodCounts:
        """How many pods there are now."""
        ready = sum(pod.state == READY for pod in self._active)
        busy = sum(bool(pod.running) for pod in self._active)
        return PodCounts(ready, len(self._active) - ready, len(self._leaving), busy)

    @property
    def done(self) -> bool:
        """Whether all jobs have ended."""
        return len(self._seen.services_s) == len(self._work.arrivals_s)

    def run(self) -> Result:
        """Until all jobs are done and the load's duration is over; at most for DRAIN_S more."""
        self.advance(math.inf)
        return self.finish(self.result.end_s)

    def advance(self, until_s: float) -> None:
        """Lets happen what happens until then, as far as the run goes; what carries out decisions may have begun."""
        result = self.result
        if not self._begun:
            self._begun = True
            if self._sample_s is not None:
                self.every(self._sample_s, 0.0, self._sample, _FIRST)
            self._expect(0)
        while self._heap and self._heap[0][0] <= min(until_s, result.end_s):
            self.now_s, _, call = heappop(self._heap)
            call()
            if self._changed and self._sample_s is not None:
                self._sample()
            self._changed = False
        if math.isfinite(until_s):
            self.now_s = until_s

    def finish(self, end_s: float) -> Result:
        """Ends the run: pods are paid for until then."""
        result, self.now_s = self.result, end_s
        result.pod_s += sum(self.now_s - pod.created_s for pod in (*self._active, *self._leaving))
        if self._sample_s is not None:
            self._sample()
        return result

    def _expect(self, job: int) -> None:
        if job < len(self._work.arrivals_s):
            self.at(self._work.arrivals_s[job], partial(self._arrive, job), _LAST)

    def _arrive(self, job: int) -> None:
        self._seen.arrivals_s.append(self.now_s)
        self._queue.append(job)
        self._expect(job + 1)
        self._claim()

    def _claim(self) -> None:
        queue, free = self._queue, self._free
        while queue and free:
            pod, _ = free.popitem(last=False)
            jobs = [queue.popleft() for _ in range(min(self._spec.batch, len(queue)))]
            pod.running.update(jobs)
            pod.calls += 1
            self._seen.running += len(jobs)
            if pod.calls * self._spec.batch < self._spec.concurrency:
                free[pod] = None
            for job in jobs:
                self.result.claimed_s[job] = self.now_s
                self.result.attempts[job] += 1
            self.at(self.now_s + max(self._work.services_s[job] for job in jobs), partial(self._finish, pod, jobs))

    def _finish(self, pod: SimulatedPod, jobs: list[int]) -> None:
        if jobs[0] not in pod.running:
            return  # they were handed back
        pod.running.difference_update(jobs)
        pod.calls -= 1
        self._seen.running -= len(jobs)
        for job in jobs:
            self.result.finished_s[job] = self.now_s
            self._seen.services_s.append(self.now_s - self.result.claimed_s[job])
        if len(self._seen.services_s) == len(self._work.arrivals_s):
            self.result.end_s = min(self.result.end_s, max(self._work.duration_s, self.now_s))
        if pod.state == READY:
            self._free.setdefault(pod)
            self._claim()
        elif not pod.running:
            self._exit(pod)

    def _begin(self, pod: SimulatedPod) -> None:
        if pod.state == STARTING:
            pod.state = READY
            pod.ready_s = self.now_s
            self._seen.startups_s.append(self.now_s - pod.created_s)
            self._free[pod] = None
            self._changed = True
            self._claim()

    def _hand_back(self, pod: SimulatedPod) -> None:
        if not pod.running:
            return  # it has gone
        for job in sorted(pod.running, reverse=True):
            self._queue.appendleft(job)
            self.result.claimed_s[job] = math.nan
        self._seen.running -= len(pod.running)
        pod.running.clear()
        self._exit(pod)
        self._claim()

    def _exit(self, pod: SimulatedPod) -> None:
        self._leaving.remove(pod)
        self.result.pod_s += self.now_s - pod.created_s
        self._changed = True

    def _rank(self, pod: SimulatedPod) -> tuple[bool, int, int, float]:
        """Sorts pods in the order in which they are told to go."""
        ready = pod.state == READY
        age_s = self.now_s - (pod.ready_s if ready else pod.created_s)
        # The controller takes the logarithm of nanoseconds; a pod of no age goes first.
        power = math.floor(math.log2(age_s * 1e9)) if age_s > 0 else -99
        return ready, len(pod.running) if self._spec.deletion_cost else 0, power, pod.uid

    def _sample(self) -> None:
        samples, ready = self.result.samples, sum(pod.state == READY for pod in self._active)
        samples.t_s.append(self.now_s)
        samples.waiting.append(len(self._queue))
        samples.running.append(self._seen.running)
        samples.wanted.append(self.replicas)
        samples.starting.append(len(self._active) - ready)
        samples.ready.append(ready)
        samples.stopping.append(len(self._leaving))
        samples.forecast.append(self._decision.forecast)
        samples.spread.append(self._decision.spread)


def _drawn(times: Times, generator: np.random.Generator) -> Iterator[float]:
    while True:
        yield from times.draw(generator, _DRAWN_AT_ONCE).tolist()


class Actuation(Protocol):
    """How decisions become pods."""

    def begin(self, cluster: SimulatedCluster, rule: Rule) -> None:
        """Plans what it does first in a run; all that it remembers of another run is forgotten."""


def simulate(
    work: Work,
    pods: PodSpec,
    rule: Rule,
    actuation: Actuation,
    *,
    limits: tuple[int, int] = (0, 10),
    seed: int = 0,
    sample_s: float | None = None,
) -> Result:
    """One run, which begins with no pod. The same arguments give the same result.

    `limits` are the least and the most replicas; `seed` draws start-ups. With `sample_s` it keeps samples and reasons,
    which takes longer.
    """
    cluster = SimulatedCluster(work, pods, limits, seed, sample_s)
    actuation.begin(cluster, rule)
    return cluster.run()
