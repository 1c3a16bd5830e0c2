"""For how long pods that are idle are worth holding, learnt from how soon they were needed again.

Some times are tried in thought, from one start-up on: which pods would be there if each had been held for so long, how
many jobs would have been late, and what the pods' idling would have cost. The time that would have been the cheapest is
followed, if it is clearly cheaper than the shortest one. Of what is held only as many are counted as were busy at once,
not what was ordered beyond to work off those that had to wait for a start.

Nobody has to say so that there are bursts, nor when: what pays is what has paid. It is the question that keep-alive
times are answers to (Shahrad et al., "Serverless in the wild", 2020: from a histogram of the times between two calls),
asked for numbers of pods, and answered with the policy's own price of a late job.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

Steps: TypeAlias = tuple[tuple[float, int], ...]

# In start-ups. For longer than a late job's price, in service times, it is cheaper to be late.
TIMES = (1.0, 2.0, 4.0, 8.0, 14.0)
# Another than the shortest has to be cheaper by this share, and by so many start-ups of each pod that it would hold.
MARGIN = 0.3
PRIOR_STARTUPS = 4.0
# Costs fade in so many start-ups.
MEMORY_STARTUPS = 100.0
# What is remembered of the last lead: looks are joined until there are about so few.
_LOOKS = 32


def held(steps: Steps, now_s: float, n: int, hold_s: float) -> Steps:
    """When how many were needed, for `hold_s`: rising times and falling numbers, so that the first is the largest."""
    return (*[step for step in steps if step[0] > now_s - hold_s and step[1] > n], (now_s, n))


class Terms(NamedTuple):
    """What is thought of pods and jobs at present; `late_cost` is the price of a late job, in its service times."""

    lead_s: float
    startup_s: float
    wait_s: float  # the objective
    late_cost: float
    slots: int  # jobs that a pod runs at once
    least: int  # pods that are always there


class Look(NamedTuple):
    """How many pods the jobs needed that ought to have run, and how many the policy ordered, whatever it held."""

    at_s: float
    needed: int
    ordered: int


class Gap(NamedTuple):
    """So many pods that were idle for `idle_s`, until they were needed again; inf if that was too long to wait.

    It is judged at `at_s`, when those who did not hold them have been without them for as long as a start takes.
    """

    at_s: float
    pods: int
    idle_s: float

    def cost_s(self, hold_s: float, startup_s: float) -> float:
        """Pod-seconds, for who holds a pod for `hold_s`: its idling, and its start if it is needed after that."""
        restart_s = startup_s if hold_s < self.idle_s < math.inf else 0.0
        return self.pods * (min(self.idle_s, hold_s) + restart_s)


class Trial(NamedTuple):
    """One of `TIMES`: which pods would be held, the work (pod-seconds) that would wait, and the cost (pod-seconds)."""

    pool: Steps = ()
    backlog_s: float = 0.0
    cost_s: float = 0.0

    def later(
        self,
        hold_s: float,
        passed_s: float,
        demand: float,
        look: Look,
        come: Look,
        due: Look,
        over: Sequence[Gap],
        terms: Terms,
    ) -> Trial:
        """At `look`, some time after. What was ordered at `come` is there; what was ordered at `due` will be in time.

        `over` are the gaps that are to be judged.
        """
        there = max(self.pool[0][1] if self.pool else 0, terms.least)
        # What was foreseen is there, too, whoever held what.
        able = terms.slots * max(there, come.ordered)
        backlog_s = max(0.0, self.backlog_s + (demand - able) * passed_s)
        late = demand if backlog_s > terms.wait_s * terms.slots * max(there, due.ordered) else 0.0
        fade = math.exp(-passed_s / (MEMORY_STARTUPS * terms.startup_s))
        idle_s = sum(gap.cost_s(hold_s, terms.startup_s) for gap in over)
        pool = held(self.pool, look.at_s, max(come.needed, min(look.needed, there)), hold_s)
        return Trial(pool, backlog_s, fade * self.cost_s + terms.late_cost * late * passed_s + idle_s)


@dataclass(frozen=True, slots=True)
class Holds:
    """What has been seen; times in seconds."""

    trials: tuple[Trial, ...] = (Trial(),) * len(TIMES)
    looks: tuple[Look, ...] = ()  # of the last lead, oldest first
    needed: Steps = ()
    gaps: tuple[Gap, ...] = ()  # those that have yet to be judged

    def seen(self, now_s: float, demand: float, order: int, terms: Terms) -> Holds:
        """With one more look: `demand` is the number of jobs that ought to run now, whether they do or not.

        `order` is how many pods the policy wants, whatever it holds.
        """
        passed_s = now_s - self.needed[-1][0] if self.needed else 0.0
        look = Look(now_s, max(terms.least, math.ceil(demand / terms.slots - 1e-9)), order)
        looks = _joined(self.looks, look, terms.lead_s)
        come, due = _at(looks, now_s - terms.lead_s), _at(looks, now_s - max(0.0, terms.lead_s - terms.wait_s))
        gaps = (*self.gaps, *_gaps(self.needed, look, terms))
        over = [gap for gap in gaps if gap.at_s <= now_s]
        trials = [
            trial.later(time * terms.startup_s, passed_s, demand, look, come, due, over, terms)
            for time, trial in zip(TIMES, self.trials, strict=True)
        ]
        needed = held(self.needed, now_s, look.needed, TIMES[-1] * terms.startup_s)
        return Holds(tuple(trials), looks, needed, tuple([gap for gap in gaps if gap.at_s > now_s]))

    def worth(self, startup_s: float) -> tuple[int, float]:
        """How many pods are worth holding by what has been seen, and for how long; none, for 0 s, where none are."""
        best = min(range(len(TIMES)), key=lambda n: self.trials[n].cost_s)
        pods = self.trials[best].pool[0][1] if self.trials[best].pool else 0
        if self.trials[best].cost_s * (1 + MARGIN) + PRIOR_STARTUPS * startup_s * pods >= self.trials[0].cost_s:
            return 0, 0.0
        return pods, TIMES[best] * startup_s


def _joined(looks: tuple[Look, ...], new: Look, lead_s: float) -> tuple[Look, ...]:
    """The looks of the last lead, and the last one before it."""
    if looks and new.at_s - looks[-1].at_s < lead_s / _LOOKS:
        *before, last = looks
        looks = (*before, Look(last.at_s, max(last.needed, new.needed), max(last.ordered, new.ordered)))
    else:
        looks = (*looks, new)
    old = sum(look.at_s <= new.at_s - lead_s for look in looks)
    return looks[max(0, old - 1) :]


def _at(looks: Sequence[Look], time_s: float) -> Look:
    """The last one until then."""
    return next((look for look in reversed(looks) if look.at_s <= time_s), Look(time_s, 0, 0))


def _gaps(needed: Steps, look: Look, terms: Terms) -> list[Gap]:
    """Of the pods that are needed again now, and of those that have been idle for longer than anybody holds them.

    What is shorter than the shortest time costs all the same: it is left out.
    """
    found, below = [], 0
    for at_s, n in reversed(needed):
        again, idle_s = min(n, look.needed) - below, look.at_s - at_s
        if again > 0 and idle_s > TIMES[0] * terms.startup_s:
            found.append(Gap(look.at_s + terms.lead_s, again, idle_s))
        if idle_s >= TIMES[-1] * terms.startup_s and n > max(below, look.needed):
            found.append(Gap(look.at_s, n - max(below, look.needed), math.inf))
        below = n
    return found
