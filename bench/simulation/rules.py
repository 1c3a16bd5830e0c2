"""The rules that ours is compared with: what KEDA's triggers count, and what the literature and other scalers do.

None of them is told anything that it could not know: service times and start-ups are the mean of what was seen so
far, or a guess before.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from bench.simulation.rule import Decision

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    from numpy.typing import NDArray

    from bench.simulation.rule import View

    Numbers: TypeAlias = NDArray[np.float64]

SERVICE_GUESS_S = 5.0
STARTUP_GUESS_S = 30.0


class Mean:
    """Of a sequence that grows, read once."""

    def __init__(self, guess: float) -> None:
        self._guess = guess
        self._read = 0
        self._sum = 0.0

    def of(self, seen: Sequence[float]) -> float:
        """The guess, as long as it is empty."""
        if len(seen) > self._read:
            self._sum += sum(seen[self._read :])
            self._read = len(seen)
        return self._sum / self._read if self._read else self._guess


class Count:
    """A KEDA trigger's metric: jobs that wait (`lag`, a list's length), jobs that run (`pending`), or both."""

    def __init__(self, *, waiting: bool, running: bool) -> None:
        self._waiting, self._running = waiting, running

    def decide(self, view: View) -> Decision:
        """A metric, which the HPA divides by its target."""
        metric = view.waiting * self._waiting + view.running * self._running
        return Decision(metric=metric, reason=f"{view.waiting} waiting, {view.running} running")


class Fixed:
    """Always the same number."""

    def __init__(self, replicas: int) -> None:
        self._replicas = replicas

    def decide(self, view: View) -> Decision:
        """Replicas."""
        return Decision(self._replicas, reason=f"{self._replicas}, whatever happens; {view.waiting} waiting")


class Formula:
    """`ceil(1.1 rate x service + 1.1 queue x service / 10)`: the old project's, which it left unfinished.

    The rate is the number of arrivals within the last `window_s`, by its length.
    """

    def __init__(self, window_s: float = 60.0) -> None:
        self._window_s = window_s
        self._service = Mean(SERVICE_GUESS_S)

    def decide(self, view: View) -> Decision:
        """Replicas."""
        arrivals_s = view.arrivals_s
        recent = len(arrivals_s) - bisect_right(arrivals_s, view.now_s - self._window_s)
        rate = recent / max(min(self._window_s, view.now_s), 1.0)
        service_s = self._service.of(view.services_s)
        flow, backlog = 1.1 * rate * service_s, 1.1 * view.waiting * service_s / 10
        reason = f"{rate:.2f}/s and {view.waiting} waiting of {service_s:.1f} s need {flow:.1f} + {backlog:.1f}"
        return Decision(math.ceil(flow + backlog), reason=reason, forecast=rate)


class DelayedOff:
    """DELAYEDOFF: a pod for each job, and an idle one is kept until it has cost as much as a start.

    A. Gandhi, V. Gupta, M. Harchol-Balter, M. Kozuch: Optimality analysis of energy-performance trade-off for server
    farm management, 2010. Jobs go to the pod that was busy last, so that the k-th pod is idle as long as less than k
    jobs are there: what is kept is the largest number of jobs within that time.
    """

    def __init__(self) -> None:
        self._startup = Mean(STARTUP_GUESS_S)
        self._most: deque[tuple[float, int]] = deque()  # falling numbers, each the largest since the one before

    def decide(self, view: View) -> Decision:
        """Replicas."""
        jobs = view.waiting + view.running
        hold_s = self._startup.of(view.startups_s)
        while self._most and self._most[-1][1] <= jobs:
            self._most.pop()
        self._most.append((view.now_s, jobs))
        while self._most[0][0] < view.now_s - hold_s:
            self._most.popleft()
        wanted = math.ceil(self._most[0][1] / view.concurrency)
        return Decision(wanted, reason=f"{jobs} jobs, at most {self._most[0][1]} within {hold_s:.0f} s")


class LazyCapacity:
    """Lazy Capacity Provisioning: moves no further than the optimum of all that happened so far asks for.

    M. Lin, A. Wierman, L. Andrew, E. Thereska: Dynamic right-sizing for power-proportional data centers, 2011. In
    slots of `slot_s`. A slot costs its pods and, for each job that waits in it on the average, `delay_weight` pods; a
    start costs what a pod costs in a start-up time. The lower bound is the last number of the optimum so far that pays
    for starts, the upper one that of the optimum that pays for stops. Where the paper has a queue for each server there
    is one for all here (M/M/k, by Sakasegawa's approximation), and as it knows no backlog, jobs that wait at the begin
    of a slot are counted as if they arrived in it.
    """

    def __init__(self, slot_s: float = 10.0, delay_weight: float = 1.0) -> None:
        self._slot_s, self._weight = slot_s, delay_weight
        self._service, self._startup = Mean(SERVICE_GUESS_S), Mean(STARTUP_GUESS_S)
        self._next_s = 0.0
        self._arrived = self._waiting = 0
        self._wanted = 0
        self._low = self._high = np.zeros(0)  # costs of the optimum so far by its last number of pods
        self._reason = ""

    def decide(self, view: View) -> Decision:
        """Replicas; a new number at most once a slot."""
        if view.now_s >= self._next_s:
            self._next_s = view.now_s + self._slot_s
            self._settle(view)
        return Decision(self._wanted, reason=self._reason)

    def _settle(self, view: View) -> None:
        come = len(view.arrivals_s) - self._arrived + self._waiting
        self._arrived, self._waiting = len(view.arrivals_s), view.waiting
        load = come * self._service.of(view.services_s) / self._slot_s / view.concurrency
        start = self._startup.of(view.startups_s) / self._slot_s
        pods = np.arange(view.maximum + 1, dtype=float)
        if not len(self._low):
            # It begins with none.
            self._low, self._high = pods * start, pods * 0.0
        cost = pods + self._weight * _waiting(load, pods)
        self._low = cost + np.minimum(_from_below(self._low - start * pods) + start * pods, _from_above(self._low))
        self._high = cost + np.minimum(_from_below(self._high), _from_above(self._high + start * pods) - start * pods)
        low, high = int(np.argmin(self._low)), int(len(pods) - 1 - np.argmin(self._high[::-1]))
        self._low -= self._low.min()
        self._high -= self._high.min()
        self._wanted = min(max(self._wanted, low), max(low, high))
        self._reason = f"a load of {load:.1f}: between {low} and {high}"


def _waiting(load: float, pods: Numbers) -> Numbers:
    """Jobs on the average; a great many, and the more the fewer pods, where these can't keep up."""
    busy = np.minimum(load / np.maximum(pods, 1), 0.999)
    calm = busy ** np.sqrt(2 * (pods + 1)) / (1 - busy)
    return np.where(pods > load, calm, 1e3 * (1 + load - pods))


def _from_below(values: Numbers) -> Numbers:
    return np.minimum.accumulate(values)


def _from_above(values: Numbers) -> Numbers:
    return np.minimum.accumulate(values[::-1])[::-1]


class Knative:
    """As Knative's autoscaler: mean concurrency over a stable and a panic window, for a target per pod.

    After knative/serving, pkg/autoscaler/scaling/autoscaler.go, with its defaults: windows of 60 s and 6 s, 70 % of
    the concurrency, panic from twice of what the ready pods are for, in which nothing is taken away until a stable
    window after the last sign of it; at most half of the ready pods are taken away at once; zero after a window
    without a job and a grace of 30 s.
    """

    def __init__(self, stable_s: float = 60.0, panic_s: float = 6.0, utilization: float = 0.7) -> None:
        self._stable_s, self._panic_s, self._utilization = stable_s, panic_s, utilization
        self._seen: deque[tuple[float, int]] = deque()
        self._panicked_s = -math.inf
        self._panic_pods = 0
        self._busy_s = -math.inf

    def decide(self, view: View) -> Decision:
        """Replicas."""
        now_s, jobs = view.now_s, view.waiting + view.running
        self._seen.append((now_s, jobs))
        while self._seen[0][0] <= now_s - self._stable_s:
            self._seen.popleft()
        stable = self._mean(now_s - self._stable_s)
        panic = self._mean(now_s - self._panic_s)
        if stable > 0:
            self._busy_s = now_s
        target = self._utilization * view.concurrency
        ready = max(view.ready, 1)
        wanted = max(math.ceil(stable / target), view.ready // 2 if stable > 0 else 0)
        urgent = math.ceil(panic / target)
        if urgent / ready >= 2:
            self._panicked_s = now_s
        if now_s - self._panicked_s < self._stable_s:
            self._panic_pods = max(self._panic_pods, urgent, wanted)
            wanted = self._panic_pods
        else:
            self._panic_pods = 0
        if not wanted and now_s - self._busy_s < 30.0:
            wanted = min(1, view.replicas)
        return Decision(
            wanted, reason=f"{stable:.1f} jobs in {self._stable_s:.0f} s, {panic:.1f} in {self._panic_s:.0f} s"
        )

    def _mean(self, since_s: float) -> float:
        total = count = 0
        for time_s, jobs in reversed(self._seen):
            if time_s <= since_s:
                break
            total += jobs
            count += 1
        return total / count if count else 0.0
