"""For how long pods that are idle are worth holding, learnt from how soon they were needed again.

Some times are tried in thought, from one start-up on: which pods would be there if each had been held for so long, how
many jobs would have lacked them, and what their idling would have cost. The one that would have been the cheapest so
far is followed, if it is clearly cheaper than the shortest one. Of what is held only as many are counted as were busy
at once, not what was ordered beyond to work off those that had to wait for a start.

Nobody has to say so that there are bursts, nor when: what pays is what has paid. It is the question that keep-alive
times are answers to (Shahrad et al., "Serverless in the wild", 2020: from a histogram of the times between two calls),
asked for numbers of pods, and answered with the policy's own price of a late job.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

Steps: TypeAlias = tuple[tuple[float, int], ...]

# In start-ups. For longer than a late job's price, in service times, it is cheaper to be late.
TIMES = (1.0, 2.0, 4.0, 8.0, 14.0)
# Another than the shortest has to be cheaper by this share, and by so many start-ups of a pod.
MARGIN = 0.2
PRIOR_STARTUPS = 8.0
# Costs fade in so many start-ups.
MEMORY_STARTUPS = 100.0
# What is remembered of the last lead: looks are joined until there are about so few.
_LOOKS = 32


def held(steps: Steps, now_s: float, n: int, hold_s: float) -> Steps:
    """When how many were needed, for `hold_s`: rising times and falling numbers, so that the first is the largest."""
    return (*[step for step in steps if step[0] > now_s - hold_s and step[1] > n], (now_s, n))


class Gap(NamedTuple):
    """So many pods that were idle for `idle_s`, until they were needed again; inf if that was too long to wait.

    It is judged at `at_s`, when those who did not hold them have been without them for as long as a start takes.
    """

    at_s: float
    pods: int
    idle_s: float


@dataclass(frozen=True, slots=True)
class Holds:
    """What has been seen; times in seconds, costs in pod-seconds, one for each of `TIMES`."""

    at_s: float | None = None
    costs_s: tuple[float, ...] = (0.0,) * len(TIMES)
    pools: tuple[Steps, ...] = ((),) * len(TIMES)  # of each: what is held
    ordered: Steps = ()  # in the last lead, oldest first: what a rule that only looks at now had ordered
    needed: Steps = ()
    gaps: tuple[Gap, ...] = ()  # those that have yet to be judged

    def seen(
        self, now_s: float, demand: float, lead_s: float, startup_s: float, late_cost: float, slots: int, least: int
    ) -> Holds:
        """With one more look.

        `demand` is the number of jobs that ought to run now, whether they do or not; `late_cost` is the price of a late
        job in service times of a pod, each of which runs `slots` jobs, and `least` of which are always there.
        """
        passed_s = 0.0 if self.at_s is None else now_s - self.at_s
        need = max(least, math.ceil(demand / slots - 1e-9))
        ordered = _ordered(self.ordered, now_s, need, lead_s)
        come = ordered[0][1] if ordered[0][0] <= now_s - lead_s else 0
        new = [
            Gap(now_s + (lead_s if idle_s < math.inf else 0.0), pods, idle_s)
            for pods, idle_s in _gaps(self.needed, now_s, need, startup_s)
        ]
        gaps = (*self.gaps, *new)
        over = [gap for gap in gaps if gap.at_s <= now_s]
        fade = math.exp(-passed_s / (MEMORY_STARTUPS * startup_s))
        costs_s, pools = [], []
        for time, cost_s, pool in zip(TIMES, self.costs_s, self.pools, strict=True):
            there = max(pool[0][1] if pool else 0, least)
            late_s = late_cost * max(0.0, demand - there * slots) * passed_s
            costs_s.append(fade * cost_s + late_s + _idle_s(over, time * startup_s, startup_s))
            pools.append(held(pool, now_s, max(come, min(need, there)), time * startup_s))
        return Holds(
            now_s,
            tuple(costs_s),
            tuple(pools),
            ordered,
            held(self.needed, now_s, need, TIMES[-1] * startup_s),
            tuple([gap for gap in gaps if gap.at_s > now_s]),
        )

    def worth(self, startup_s: float) -> tuple[int, float]:
        """How many pods are worth holding by what has been seen, and for how long; none, for 0 s, where none are."""
        best = min(range(len(TIMES)), key=lambda n: self.costs_s[n])
        if self.costs_s[best] * (1 + MARGIN) + PRIOR_STARTUPS * startup_s >= self.costs_s[0]:
            return 0, 0.0
        return self.pools[best][0][1], TIMES[best] * startup_s


def _ordered(ordered: Steps, now_s: float, need: int, lead_s: float) -> Steps:
    """What was needed in the last lead, and just before it."""
    if ordered and now_s - ordered[-1][0] < lead_s / _LOOKS:
        *ordered_before, (last_s, last) = ordered
        found = (*ordered_before, (last_s, max(last, need)))
    else:
        found = (*ordered, (now_s, need))
    old = sum(at_s <= now_s - lead_s for at_s, _ in found)
    return found[max(0, old - 1) :]


def _gaps(needed: Steps, now_s: float, need: int, startup_s: float) -> list[tuple[int, float]]:
    """How many pods have been idle for how long that are needed now, or that nobody waited for any longer.

    Gaps of less than the shortest time cost all of them the same: they are left out.
    """
    found, below = [], 0
    for at_s, n in reversed(needed):
        again, idle_s = min(n, need) - below, now_s - at_s
        if again > 0 and idle_s > TIMES[0] * startup_s:
            found.append((again, idle_s))
        if idle_s >= TIMES[-1] * startup_s and n > max(below, need):
            found.append((n - max(below, need), math.inf))
        below = n
    return found


def _idle_s(gaps: Iterable[Gap], hold_s: float, startup_s: float) -> float:
    """The pod-seconds that they cost who holds a pod for `hold_s`, with its start if it is needed after that."""
    return sum(
        gap.pods * (min(gap.idle_s, hold_s) + (startup_s if hold_s < gap.idle_s < math.inf else 0.0)) for gap in gaps
    )
