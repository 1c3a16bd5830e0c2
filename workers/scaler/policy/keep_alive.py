"""For how long idle pods are worth keeping, learnt from how soon they were needed again.

For each candidate keep-alive time (1, 2, 4, 8 and 14 start-ups) the past is replayed as it goes on: how many pods it
would have kept, how many jobs would have been late, and what both would have cost. The cheapest candidate is followed
if it is clearly cheaper than the shortest. Kept pods are counted up to the number that was busy at once; pods that were
ordered beyond that, to work off a backlog, are not.

So nobody has to say that there are bursts, or when. Keep-alive times of serverless functions are learnt in the same
way, from a histogram of the times between two calls (Shahrad et al., "Serverless in the wild", 2020); here it is done
for a number of pods, and by the policy's own price of a late job.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

# Candidate keep-alive times in start-up times. Judged by simulation: `--load burst:0.1,2,300,60`.
# Example: start-up 30 s: 30 s, 1, 2, 4 and 7 minutes. The pods of a burst every 5 minutes are there for the next one
# with 7 minutes.
CANDIDATES = (1.0, 2.0, 4.0, 8.0, 14.0)
# How much cheaper than the shortest candidate another must be to be followed: by this share of its own cost, and by so
# many start-up times of each pod that it keeps. Judged by simulation: `--load burst:0.1,2,300,60`.
# Example: start-up 30 s, 10 pods, the shortest costs 3000 pod-seconds: another is followed at 1300 (1300 * 1.3 +
# 4 * 30 * 10 = 2890), but not at 1400 (3020).
MARGIN = 0.3
PRIOR_STARTUPS = 4.0
# Start-up times in which a cost fades to 1/e of itself. Judged by simulation: `--load burst:0.1,2,300,60`.
# Example: start-up 30 s: costs of 50 minutes ago count 0.37.
MEMORY_STARTUPS = 100.0
# Number of observations that are kept of the last lead. Design: two are merged if they are closer together than this
# share of it.
# Example: with a lead of 32 s all are kept that are a second apart.
_KEPT = 32


@dataclass(frozen=True, slots=True)
class SlidingMaximum:
    """The largest number within a window of time.

    `steps` are pairs of a time in seconds and a number: rising times and falling numbers, so that the first number is
    the largest. A number is forgotten as soon as a later one is as large (the monotonic queue).
    """

    steps: tuple[tuple[float, int], ...] = ()

    @property
    def value(self) -> int:
        """The largest number; 0 before the first."""
        return self.steps[0][1] if self.steps else 0

    def observe(self, now_s: float, number: int, window_s: float) -> SlidingMaximum:
        """Returns it with one more number, and without those from `window_s` ago or longer."""
        left = [step for step in self.steps if step[0] > now_s - window_s and step[1] > number]
        return SlidingMaximum((*left, (now_s, number)))


class KeepAliveTerms(NamedTuple):
    """What is known of pods and jobs at present; times are in seconds."""

    lead_s: float
    startup_s: float
    wait_s: float  # the objective
    late_cost: float  # price of a late job, in mean service times of a pod
    slots: int  # jobs that a pod runs at once
    least: int  # pods that are always there


class PodNeed(NamedTuple):
    """How many pods the jobs needed that ought to have run, and how many the policy ordered, without those it kept."""

    at_s: float
    needed: int
    ordered: int


class IdleGap(NamedTuple):
    """So many pods were idle for `idle_s` until they were needed again; inf if that took longer than any candidate.

    It is charged at `at_s`: a lead after the gap, when those who did not keep the pods would have had new ones.
    """

    at_s: float
    pods: int
    idle_s: float

    def cost_s(self, keep_s: float, startup_s: float) -> float:
        """Returns the pod-seconds of a keep-alive time: of being idle, and of a new start if it was too short.

        Example: 3 pods, idle for 100 s, start-up 30 s: kept for 120 s they cost 3 * 100, for 60 s 3 * (60 + 30).
        """
        restart_s = startup_s if keep_s < self.idle_s < math.inf else 0.0
        return self.pods * (min(self.idle_s, keep_s) + restart_s)


class ReplayStep(NamedTuple):
    """What happened between two observations; it is the same for each candidate."""

    passed_s: float
    demand: float  # jobs that ought to run
    now: PodNeed
    ready: PodNeed  # as of a lead ago: pods that were ordered then are ready now
    in_time: PodNeed  # as of a lead less the objective ago: pods that were ordered then are in time for jobs of now
    gaps: Sequence[IdleGap]  # those to be charged now


class Replay(NamedTuple):
    """The past with one candidate: its pods, the work that would wait, and its cost (both in pod-seconds)."""

    pool: SlidingMaximum = SlidingMaximum()
    backlog_s: float = 0.0
    cost_s: float = 0.0

    def observe(self, keep_s: float, step: ReplayStep, terms: KeepAliveTerms) -> Replay:
        """Returns it one step later, if pods are kept for `keep_s`."""
        kept = max(self.pool.value, terms.least)
        # Pods that were ordered by forecast are there whatever is kept.
        able = terms.slots * max(kept, step.ready.ordered)
        backlog_s = max(0.0, self.backlog_s + (step.demand - able) * step.passed_s)
        in_time_s = terms.wait_s * terms.slots * max(kept, step.in_time.ordered)
        late = step.demand if backlog_s > in_time_s else 0.0
        fade = math.exp(-step.passed_s / (MEMORY_STARTUPS * terms.startup_s))
        idle_s = sum(gap.cost_s(keep_s, terms.startup_s) for gap in step.gaps)
        # Pods that were needed are kept from when they were ready: a lead later, or at once if they had been kept.
        pool = self.pool.observe(step.now.at_s, max(step.ready.needed, min(step.now.needed, kept)), keep_s)
        return Replay(pool, backlog_s, fade * self.cost_s + terms.late_cost * late * step.passed_s + idle_s)


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """What has been learnt of keep-alive times."""

    replays: tuple[Replay, ...] = (Replay(),) * len(CANDIDATES)
    needs: tuple[PodNeed, ...] = ()  # of the last lead, oldest first
    needed: SlidingMaximum = SlidingMaximum()  # pods, within the longest candidate
    gaps: tuple[IdleGap, ...] = ()  # those that have yet to be charged

    def observe(self, now_s: float, demand: float, order: int, terms: KeepAliveTerms) -> KeepAlive:
        """Returns it with one more observation.

        `demand` is the number of jobs that ought to run now, whether they do or not; `order` is how many pods the
        policy wants, not counting those that it only keeps.
        """
        passed_s = now_s - self.needed.steps[-1][0] if self.needed.steps else 0.0
        now = PodNeed(now_s, max(terms.least, math.ceil(demand / terms.slots - 1e-9)), order)
        needs = _merged(self.needs, now, terms.lead_s)
        gaps = (*self.gaps, *_gaps(self.needed, now, terms))
        step = ReplayStep(
            passed_s,
            demand,
            now,
            _as_of(needs, now_s - terms.lead_s),
            _as_of(needs, now_s - max(0.0, terms.lead_s - terms.wait_s)),
            [gap for gap in gaps if gap.at_s <= now_s],
        )
        replays = [
            replay.observe(candidate * terms.startup_s, step, terms)
            for candidate, replay in zip(CANDIDATES, self.replays, strict=True)
        ]
        needed = self.needed.observe(now_s, now.needed, CANDIDATES[-1] * terms.startup_s)
        return KeepAlive(tuple(replays), needs, needed, tuple([gap for gap in gaps if gap.at_s > now_s]))

    def worth(self, startup_s: float) -> tuple[int, float]:
        """Returns how many pods are worth keeping, and for how many seconds; (0, 0.0) if none are."""
        best = min(range(len(CANDIDATES)), key=lambda n: self.replays[n].cost_s)
        pods, cost_s = self.replays[best].pool.value, self.replays[best].cost_s
        if cost_s * (1 + MARGIN) + PRIOR_STARTUPS * startup_s * pods >= self.replays[0].cost_s:
            return 0, 0.0
        return pods, CANDIDATES[best] * startup_s


def _merged(needs: tuple[PodNeed, ...], new: PodNeed, lead_s: float) -> tuple[PodNeed, ...]:
    """Returns those of the last lead, the last one before it, and the new one; two that are close together are one."""
    if needs and new.at_s - needs[-1].at_s < lead_s / _KEPT:
        *before, last = needs
        needs = (*before, PodNeed(last.at_s, max(last.needed, new.needed), max(last.ordered, new.ordered)))
    else:
        needs = (*needs, new)
    old = sum(need.at_s <= new.at_s - lead_s for need in needs)
    return needs[max(0, old - 1) :]


def _as_of(needs: Sequence[PodNeed], time_s: float) -> PodNeed:
    """Returns the last one until then."""
    return next((need for need in reversed(needs) if need.at_s <= time_s), PodNeed(time_s, 0, 0))


def _gaps(needed: SlidingMaximum, now: PodNeed, terms: KeepAliveTerms) -> list[IdleGap]:
    """Returns the gaps that end now: of pods that are needed again, and of those that no candidate keeps any longer.

    Gaps shorter than the shortest candidate cost the same whichever is followed, and are left out.
    Example: 10 pods were needed 200 s ago, 2 since, and now 6: a gap of 200 s for 4 pods ends.
    """
    found, below = [], 0
    for at_s, number in reversed(needed.steps):
        again, idle_s = min(number, now.needed) - below, now.at_s - at_s
        if again > 0 and idle_s > CANDIDATES[0] * terms.startup_s:
            found.append(IdleGap(now.at_s + terms.lead_s, again, idle_s))
        if idle_s >= CANDIDATES[-1] * terms.startup_s and number > max(below, now.needed):
            found.append(IdleGap(now.at_s, number - max(below, now.needed), math.inf))
        below = number
    return found
