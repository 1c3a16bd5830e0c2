"""How a plan of pods is made cheaper without any job becoming late: the clairvoyant's search.

A plan is two sorted lists: when pods become ready, each with its start-up time, and when pods are told to go. Pods are
alike, so it does not matter which goes: it is the one that is free first. Jobs are served in their order, each as
early as a pod is free. Its cost are the pod-seconds from each order to the end of the pod's last job.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass
from heapq import heappop, heappush, heapreplace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np

_BLOCK = 32  # jobs between two states that are kept
_ROUNDING_S = 1e-6
_PASSES = 4
_STEPS = 7
_WORTH = 0.001  # a pass that saves less than this share is the last
_PARTNERS = 6  # stops that are tried for a pod that is left out


@dataclass(slots=True)
class Draft:
    """Both lists sorted; a pod is (ready, start-up)."""

    pods: list[tuple[float, float]]
    stops_s: list[float]


class _Walk:
    """Serves one job after the other."""

    __slots__ = ("coming", "ended_s", "free", "going")

    def __init__(self, free: list[float], coming: list[tuple[float, float]], going: list[float], ended_s: float):
        self.free = free  # a heap: when each pod will be free
        self.coming = coming  # the next is the last
        self.going = going
        self.ended_s = ended_s  # the sum of the ends of the pods that went

    def serve(self, arrived_s: float, service_s: float) -> float:
        """When it starts; infinite if there is no pod any more."""
        free, coming, going = self.free, self.coming, self.going
        while True:
            # As the jobs' times are compared millions of times: no calls of max and min.
            start_s = (free[0] if free[0] > arrived_s else arrived_s) if free else math.inf
            stop_s = going[-1] if going else math.inf
            if coming and (ready_s := coming[-1][0]) <= stop_s and ready_s <= start_s:
                heappush(free, ready_s)
                coming.pop()
            elif free and stop_s <= start_s:
                going.pop()
                self.ended_s += max(stop_s, heappop(free))
            else:
                break
        if free:
            heapreplace(free, start_s + service_s)
        return start_s

    def advance(self, until_s: float) -> None:
        """Lets pods come and go until then, as the next job that starts at that time or later would find it."""
        free, coming, going = self.free, self.coming, self.going
        while True:
            stop_s = going[-1] if going else math.inf
            if coming and coming[-1][0] <= min(stop_s, until_s):
                heappush(free, coming.pop()[0])
            elif free and stop_s <= until_s:
                going.pop()
                self.ended_s += max(stop_s, heappop(free))
            else:
                return

    def end(self) -> float:
        """The sum of all ends; infinite if a pod is to go where there is none."""
        while self.going:
            stop_s = self.going.pop()
            while self.coming and self.coming[-1][0] <= stop_s:
                heappush(self.free, self.coming.pop()[0])
            if not self.free:
                return math.inf
            self.ended_s += max(stop_s, heappop(self.free))
        return self.ended_s


@dataclass(frozen=True, slots=True)
class _State:
    """Before a block of jobs."""

    free: tuple[float, ...]  # sorted
    coming: int
    going: int
    ended_s: float


def latest_s(arrived_s: float, objective_s: float, first_s: float, catch_up_s: float) -> float:
    """When a job has to start at the latest, if no pod can be ready before `first_s`.

    Those that came until `catch_up_s` later may be late, the less the later they came.
    """
    until_s = first_s + catch_up_s
    early_s = first_s + catch_up_s * arrived_s / until_s if 0 <= arrived_s < until_s else 0.0
    return max(arrived_s + objective_s, early_s)


class Law:
    """The jobs, and when each has to start at the latest."""

    def __init__(
        self,
        arrivals_s: Sequence[float],
        services_s: Sequence[float],
        objective_s: float,
        drafts: Sequence[Draft],
        catch_up_s: float = 0.0,
    ) -> None:
        """What not even the most punctual of the drafts can do in time may be as late as there."""
        self.arrivals_s = arrivals_s
        self.services_s = services_s
        self.objective_s = objective_s
        first_s = min(draft.pods[0][0] for draft in drafts)
        wanted_s = [latest_s(arrived_s, objective_s, first_s, catch_up_s) for arrived_s in arrivals_s]
        found = [self._starts_s(draft) for draft in drafts]
        best = min(found, key=lambda starts_s: sum(max(0.0, s - w) for s, w in zip(starts_s, wanted_s, strict=True)))
        self.latest_s = [max(pair) + _ROUNDING_S for pair in zip(best, wanted_s, strict=True)]

    def _starts_s(self, draft: Draft) -> list[float]:
        walk = _Walk([], draft.pods[::-1], draft.stops_s[::-1], 0.0)
        return [walk.serve(*job) for job in zip(self.arrivals_s, self.services_s, strict=True)]


class Search:
    """A plan that keeps the law."""

    def __init__(self, law: Law, pods: list[tuple[float, float]], stops_s: list[float]) -> None:
        self.pods, self.stops_s = pods, stops_s
        self.cost_s = math.inf
        self._law = law
        self._states: list[_State] = []
        self._ended_s = 0.0

    @classmethod
    def of(cls, law: Law, draft: Draft) -> Search | None:
        """None if it breaks the law."""
        search = cls(law, draft.pods, draft.stops_s)
        return search if search._settle() else None

    def improve(self, since_s: float = 0.0, until_s: float = math.inf) -> None:
        """As far as it goes by small steps, each of which saves something, of what is between the two times."""
        for _ in range(_PASSES):
            before_s = self.cost_s
            for tried in (self._leave_out, self._order_later, self._let_go_earlier):
                tried(since_s, until_s)
            if self.cost_s > before_s * (1 - _WORTH):
                break

    def disturbed(self, generator: np.random.Generator, spare_s: list[float]) -> Search:
        """A better plan that differs around a random place; itself if there is none."""
        at_s = self.stops_s[int(generator.integers(len(self.stops_s)))]
        new = Search(self._law, [*self.pods], [*self.stops_s])
        startup_s = spare_s.pop() if spare_s else self.pods[0][1]
        if generator.random() < 0.5:
            next_ = bisect_right(new.pods, (at_s, math.inf))
            if next_ == len(new.pods):
                return self
            until_s, startup_s = new.pods.pop(next_)
            new.stops_s.remove(at_s)
        else:
            ready_s = max(at_s - startup_s * generator.random(), startup_s)
            until_s = ready_s + 2 * startup_s * generator.random()
            insort(new.pods, (ready_s, startup_s))
            insort(new.stops_s, until_s)
        if not new._settle():
            return self
        around_s = 2 * (startup_s + self._law.objective_s)
        new.improve(at_s - around_s, until_s + around_s)
        return new if new.cost_s < self.cost_s - _ROUNDING_S else self

    def _leave_out(self, since_s: float, until_s: float) -> None:
        for index in _places([ready_s for ready_s, _ in self.pods], since_s, until_s):
            ready_s, startup_s = self.pods[index]
            pods = self.pods[:index] + self.pods[index + 1 :]
            first = bisect_left(self.stops_s, ready_s)
            for stop in range(first, min(first + _PARTNERS, len(self.stops_s))):
                stops_s = self.stops_s[:stop] + self.stops_s[stop + 1 :]
                more_s = self._try(pods, stops_s, ready_s, self.stops_s[stop])
                if more_s + ready_s - startup_s < -_ROUNDING_S:
                    self._take(pods, stops_s, ready_s, self.stops_s[stop])
                    break

    def _order_later(self, since_s: float, until_s: float) -> None:
        for index in _places([ready_s for ready_s, _ in self.pods], since_s, until_s):
            ready_s, startup_s = self.pods[index]
            others = self.pods[:index] + self.pods[index + 1 :]
            best_s, best, until_at_s, step_s = -_ROUNDING_S, None, 0.0, self._law.objective_s
            for _ in range(_STEPS):
                pods = [*others]
                insort(pods, (ready_s + step_s, startup_s))
                more_s = self._try(pods, self.stops_s, ready_s, ready_s + step_s) - step_s
                if more_s < best_s:
                    best_s, best, until_at_s = more_s, pods, ready_s + step_s
                step_s *= 1.5 if pods is best else 0.5
            if best is not None:
                self._take(best, self.stops_s, ready_s, until_at_s)

    def _let_go_earlier(self, since_s: float, until_s: float) -> None:
        for index in _places(self.stops_s, since_s, until_s):
            stop_s = self.stops_s[index]
            others = self.stops_s[:index] + self.stops_s[index + 1 :]
            best_s, best, since_at_s, step_s = -_ROUNDING_S, None, 0.0, self._law.objective_s
            for _ in range(_STEPS):
                stops_s = [*others]
                insort(stops_s, stop_s - step_s)
                more_s = self._try(self.pods, stops_s, stop_s - step_s, stop_s)
                if more_s < best_s:
                    best_s, best, since_at_s = more_s, stops_s, stop_s - step_s
                step_s *= 1.5 if stops_s is best else 0.5
            if best is not None:
                self._take(self.pods, best, since_at_s, stop_s)

    def _take(self, pods: list[tuple[float, float]], stops_s: list[float], since_s: float, until_s: float) -> None:
        """What was tried: nothing changes before or, but for the ends, after it."""
        block = self._block(since_s)
        walk = self._walk(pods, stops_s, block)
        if pods_less := len(self.pods) - len(pods):  # as many stops, too
            self._states[:block] = [
                _State(state.free, state.coming - pods_less, state.going - pods_less, state.ended_s)
                for state in self._states[:block]
            ]
        self.pods, self.stops_s = pods, stops_s
        self._settle_from(block, walk, until_s)

    def _settle(self) -> bool:
        """Walks all of it; says whether it keeps the law."""
        self._states = []
        return self._settle_from(0, self._walk(self.pods, self.stops_s, 0), math.inf)

    def _settle_from(self, block: int, walk: _Walk, until_s: float) -> bool:
        law, before, self._states = self._law, self._states, self._states[:block]
        for job in range(block * _BLOCK, len(law.arrivals_s)):
            arrived_s = law.arrivals_s[job]
            if job % _BLOCK == 0:
                walk.advance(arrived_s)
                now = len(self._states)
                if arrived_s > until_s and _same(walk, before[now], arrived_s):
                    more_s = walk.ended_s - before[now].ended_s
                    self._states += [
                        _State(state.free, state.coming, state.going, state.ended_s + more_s) for state in before[now:]
                    ]
                    self._ended_s += more_s
                    break
                self._states.append(_State(tuple(sorted(walk.free)), len(walk.coming), len(walk.going), walk.ended_s))
            if walk.serve(arrived_s, law.services_s[job]) > law.latest_s[job]:
                return False
        else:
            self._ended_s = walk.end()
        self.cost_s = self._ended_s - sum([ready_s - startup_s for ready_s, startup_s in self.pods])
        return math.isfinite(self.cost_s)

    def _block(self, since_s: float) -> int:
        """The last one of whose jobs none is started after that time."""
        law = self._law
        # Of the last job, if all arrived before.
        job = min(bisect_left(law.arrivals_s, since_s - law.objective_s - _ROUNDING_S), len(law.arrivals_s) - 1)
        block = job // _BLOCK
        while block and law.latest_s[block * _BLOCK] >= since_s:
            block -= 1
        return block

    def _walk(self, pods: list[tuple[float, float]], stops_s: list[float], block: int) -> _Walk:
        """From a block's begin, of another plan that is the same until there; from nothing for the first."""
        if not block:
            return _Walk([], pods[::-1], stops_s[::-1], 0.0)
        state = self._states[block]
        coming = state.coming + len(pods) - len(self.pods)
        going = state.going + len(stops_s) - len(self.stops_s)
        return _Walk(
            [*state.free], pods[len(pods) - coming :][::-1], stops_s[len(stops_s) - going :][::-1], state.ended_s
        )

    def _try(self, pods: list[tuple[float, float]], stops_s: list[float], since_s: float, until_s: float) -> float:
        """How much more the ends are together than now, with a plan that differs between the two times only.

        Infinite if it breaks the law.
        """
        law, states, block = self._law, self._states, self._block(since_s)
        walk = self._walk(pods, stops_s, block)
        for job in range(block * _BLOCK, len(law.arrivals_s)):
            arrived_s = law.arrivals_s[job]
            if job % _BLOCK == 0 and arrived_s > until_s:
                walk.advance(arrived_s)
                if _same(walk, states[job // _BLOCK], arrived_s):
                    return walk.ended_s - states[job // _BLOCK].ended_s
            if walk.serve(arrived_s, law.services_s[job]) > law.latest_s[job]:
                return math.inf
        return walk.end() - self._ended_s


def _places(times_s: Sequence[float], since_s: float, until_s: float) -> Iterator[int]:
    """The last first: what is done at one must not move those that come after it."""
    return iter(range(bisect_right(times_s, until_s) - 1, bisect_left(times_s, since_s) - 1, -1))


def _same(walk: _Walk, state: _State, now_s: float) -> bool:
    """Whether nothing that is to come can tell the two apart."""
    if len(walk.coming) != state.coming or len(walk.going) != state.going or len(walk.free) != len(state.free):
        return False
    now = sorted([max(free_s, now_s) for free_s in walk.free])
    return now == [max(free_s, now_s) for free_s in state.free]
