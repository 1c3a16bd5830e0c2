"""The model of a stream of jobs and of the pods that serve it, as exact discrete events.

Jobs wait in one queue, first in, first out. A pod claims a job when it has nothing better to do, and never one in
advance: as the project's own workers do, and as Celery's with acks late and a prefetch of 1. A pod is there from its
creation on, starts up, serves, and goes when it is told to: at once if it has no job, else when its jobs have ended;
those that outlast its grace are handed back, to be run again before others.

Which pods go is the ReplicaSet controller's choice (kubernetes/kubernetes: pkg/controller/controller_utils.go,
ActivePodsWithRanks): those that are not ready before those that are, a low deletion cost first (the project's workers
keep it at the number of jobs they run), then the younger ones, by the power of two of their age and by chance within
it. Scheduling is part of the start-up here, and the rank by node is the same for all.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

from bench.common.runs import Samples
from bench.simulation.rule import View

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

    from bench.simulation.rule import Decision
    from bench.simulation.times import Times

STARTING, READY, STOPPING, GONE = range(4)
_DRAWN_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Pods:
    """What the pods are like."""

    startup: Times  # from creation to ready
    concurrency: int = 1
    grace_s: float = 30.0  # how long a pod that was told to go may go on with its jobs
    exit_s: float = 0.0  # how long it is still there after its last job
    deletion_cost: bool = True  # busy pods go last; else the controller knows nothing of jobs


class Pod:
    """One of them."""

    __slots__ = ("created_s", "ended_s", "ready_s", "running", "startup_s", "state", "uid")

    def __init__(self, created_s: float, startup_s: float, uid: float) -> None:
        self.created_s = created_s
        self.startup_s = startup_s
        self.uid = uid
        self.state = STARTING
        self.ready_s = math.nan
        self.ended_s = math.nan
        self.running: set[int] = set()


class Cluster:
    """All state of one run. What carries out decisions uses `now_s`, `at`, `view`, `scale` and `tell`."""

    def __init__(
        self,
        arrivals_s: Sequence[float],
        services_s: Sequence[float],
        pods: Pods,
        limits: tuple[int, int],
        generator: np.random.Generator,
        sample_s: float | None = None,
    ) -> None:
        """`sample_s` is how often it is looked at, beside all changes of pods; None is never."""
        self.now_s = 0.0
        self.replicas = 0
        self.minimum, self.maximum = limits
        self.arrivals_s = list(arrivals_s)
        self.service_s = list(services_s)
        count = len(self.arrivals_s)
        self.claimed_s = [math.nan] * count
        self.finished_s = [math.nan] * count
        self.attempts = [0] * count
        self.done = 0
        self.starts = 0
        self.peak = 0
        self.pod_s = 0.0
        self.samples = Samples()
        self.reasons: list[tuple[float, str]] = []
        self._pods = pods
        self._generator = generator
        self._draws: list[float] = []
        self._heap: list[tuple[float, int, Callable[[Any, int], None], Pod | None, int]] = []
        self._number = 0
        self._queue: deque[int] = deque()
        self._free: OrderedDict[Pod, None] = OrderedDict()  # ready, with room for a job; the longest waiting first
        self._active: list[Pod] = []  # starting or ready, oldest first
        self._leaving: list[Pod] = []
        self._running = 0
        self._seen_arrivals_s: list[float] = []
        self._seen_services_s: list[float] = []
        self._seen_startups_s: list[float] = []
        self._coming = 0  # the next job to arrive
        self._end_s = self._over_s = self._tail_s = 0.0
        self._sample_s = sample_s
        self._sample_next_s = math.inf if sample_s is None else 0.0
        self._changed = False
        self._forecast: float | None = None

    # What a scaler can do.

    def at(self, time_s: float, call: Callable[[], None]) -> None:
        """Calls it at that time, after what happens then anyway and was known before."""
        self._push(time_s, lambda *_: call())

    def view(self) -> View:
        """What can be seen now."""
        now_s, free = self.now_s, self._free
        ages = tuple([now_s - pod.created_s for pod in self._active if pod.state == STARTING])
        return View(
            now_s=now_s,
            waiting=len(self._queue),
            running=self._running,
            arrivals_s=self._seen_arrivals_s,
            services_s=self._seen_services_s,
            startups_s=self._seen_startups_s,
            ready=len(self._active) - len(ages),
            idle=len(free) if self._pods.concurrency == 1 else sum(not pod.running for pod in free),
            starting_ages_s=ages,
            stopping=len(self._leaving),
            replicas=self.replicas,
            minimum=self.minimum,
            maximum=self.maximum,
            concurrency=self._pods.concurrency,
        )

    @property
    def waiting(self) -> int:
        """Jobs that no pod has claimed."""
        return len(self._queue)

    def scale(self, replicas: int) -> None:
        """The wanted number of pods, from now on; the missing are created, the superfluous told to go."""
        self.replicas = replicas
        missing = replicas - len(self._active)
        for _ in range(missing):
            self.create()
        if missing < 0:
            for pod in sorted(self._active, key=self._rank)[:-missing]:
                self.stop(pod)

    def tell(self, decision: Decision) -> None:
        """Keeps what is worth knowing of a decision."""
        self._forecast = decision.forecast
        if self._sample_s is not None and decision.reason:
            self.reasons.append((self.now_s, decision.reason))

    def create(self, startup_s: float | None = None) -> Pod:
        """One more pod, that takes so long until it is ready; None draws it."""
        pod = Pod(self.now_s, self._draw() if startup_s is None else startup_s, self._generator.random())
        self._active.append(pod)
        self._push(self.now_s + pod.startup_s, self._begin, pod)
        self.starts += 1
        self.peak = max(self.peak, len(self._active) + len(self._leaving))
        self._changed = True
        return pod

    def stop(self, pod: Pod) -> None:
        """Tells a pod to go."""
        self._active.remove(pod)
        self._changed = True
        if pod.state == READY:
            self._free.pop(pod, None)
        pod.state = STOPPING
        self._leaving.append(pod)
        if not pod.running:
            self._exit(pod)
        elif math.isfinite(self._pods.grace_s):
            self._push(self.now_s + self._pods.grace_s, self._hand_back, pod)

    def stop_first_idle(self) -> None:
        """Tells that ready pod to go that has the least left to do, which only somebody who knows all jobs can say."""
        ready = [pod for pod in self._active if pod.state == READY]
        if ready:
            self.stop(min(ready, key=self._ends_s))

    # What happens.

    def run(self, duration_s: float, give_up_s: float, tail_s: float = 0.0) -> float:
        """Until all jobs are done and the duration is over, and `tail_s` more; at most until `give_up_s`.

        Returns the time of the end.
        """
        heap, arrivals_s, count = self._heap, self.arrivals_s, len(self.arrivals_s)
        self._end_s = give_up_s
        self._over_s, self._tail_s = duration_s, tail_s
        if not count:
            self._end_s = min(give_up_s, duration_s + tail_s)
        while True:
            arrival_s = arrivals_s[self._coming] if self._coming < count else math.inf
            is_arrival = not heap or heap[0][0] > arrival_s
            time_s = arrival_s if is_arrival else heap[0][0]
            if time_s >= self._sample_next_s:
                self._sample_until(min(time_s, self._end_s))
            if time_s > self._end_s:
                break
            self.now_s = time_s
            if is_arrival:
                self._arrive(time_s)
            else:
                _, _, happens, who, job = heappop(heap)
                happens(who, job)
                if self._changed:
                    self._changed = False
                    if self._sample_s is not None:
                        self._sample(time_s)
        self.now_s = self._end_s
        self.pod_s += sum(self._end_s - pod.created_s for pod in (*self._active, *self._leaving))
        if self._sample_s is not None:
            self._sample(self._end_s)
        return self._end_s

    def _arrive(self, time_s: float) -> None:
        self._seen_arrivals_s.append(time_s)
        self._queue.append(self._coming)
        self._coming += 1
        if self._free:
            self._claim()

    def _claim(self) -> None:
        queue, free, concurrency = self._queue, self._free, self._pods.concurrency
        while queue and free:
            pod, _ = free.popitem(last=False)
            job = queue.popleft()
            pod.running.add(job)
            self._running += 1
            if len(pod.running) < concurrency:
                free[pod] = None
            self.claimed_s[job] = self.now_s
            self.attempts[job] += 1
            self._push(self.now_s + self.service_s[job], self._finish, pod, job)

    def _finish(self, pod: Pod, job: int) -> None:
        if job not in pod.running:
            return  # it was handed back
        pod.running.discard(job)
        self._running -= 1
        self.finished_s[job] = self.now_s
        self._seen_services_s.append(self.now_s - self.claimed_s[job])
        self.done += 1
        if self.done == len(self.arrivals_s):
            self._end_s = min(self._end_s, max(self._over_s, self.now_s) + self._tail_s)
        if pod.state == READY:
            self._free.setdefault(pod)
            if self._queue:
                self._claim()
        elif not pod.running:
            self._exit(pod)

    def _begin(self, pod: Pod, _job: int = 0) -> None:
        if pod.state != STARTING:
            return
        pod.state = READY
        pod.ready_s = self.now_s
        self._seen_startups_s.append(self.now_s - pod.created_s)
        self._free[pod] = None
        self._changed = True
        self._claim()

    def _hand_back(self, pod: Pod, _job: int = 0) -> None:
        if pod.state != STOPPING or not pod.running:
            return
        for job in sorted(pod.running, reverse=True):
            self._queue.appendleft(job)
            self.claimed_s[job] = math.nan
        self._running -= len(pod.running)
        pod.running.clear()
        self._exit(pod)
        self._claim()

    def _exit(self, pod: Pod) -> None:
        if self._pods.exit_s:
            self._push(self.now_s + self._pods.exit_s, self._gone, pod)
        else:
            self._gone(pod)

    def _gone(self, pod: Pod, _job: int = 0) -> None:
        pod.state = GONE
        pod.ended_s = self.now_s
        self._leaving.remove(pod)
        self.pod_s += self.now_s - pod.created_s
        self._changed = True

    def _rank(self, pod: Pod) -> tuple[bool, int, int, float]:
        """In the order in which pods are told to go."""
        ready = pod.state == READY
        age_s = self.now_s - (pod.ready_s if ready else pod.created_s)
        # In nanoseconds as there; of no age at all comes first.
        power = math.floor(math.log2(age_s * 1e9)) if age_s > 0 else -99
        return ready, len(pod.running) if self._pods.deletion_cost else 0, power, pod.uid

    def _ends_s(self, pod: Pod) -> float:
        return max((self.claimed_s[job] + self.service_s[job] for job in pod.running), default=0.0)

    def _draw(self) -> float:
        if not self._draws:
            self._draws = self._pods.startup.draw(self._generator, _DRAWN_AT_ONCE)[::-1].tolist()
        return self._draws.pop()

    def _push(self, time_s: float, happens: Callable[[Any, int], None], pod: Pod | None = None, job: int = 0) -> None:
        self._number += 1
        heappush(self._heap, (time_s, self._number, happens, pod, job))

    def _sample_until(self, time_s: float) -> None:
        while self._sample_s is not None and self._sample_next_s <= time_s:
            self._sample(self._sample_next_s)
            self._sample_next_s += self._sample_s

    def _sample(self, time_s: float) -> None:
        samples = self.samples
        ready = sum(pod.state == READY for pod in self._active)
        samples.t_s.append(time_s)
        samples.waiting.append(len(self._queue))
        samples.running.append(self._running)
        samples.wanted.append(self.replicas)
        samples.starting.append(len(self._active) - ready)
        samples.ready.append(ready)
        samples.stopping.append(len(self._leaving))
        samples.forecast.append(self._forecast)
