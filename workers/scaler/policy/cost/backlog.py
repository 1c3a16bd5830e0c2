"""What is ordered beyond what the arrivals need: the pods that are worth their start to work off jobs that wait."""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.scaler.policy.situation import ServiceTerms

# Share of the objective (of a service, if that is shorter) that is kept back for what was not foreseen. Judged by
# simulation: `--load spike --service lognormal:5,1`.
# Example: jobs of 5 s that may wait for 20 s are counted as a backlog once they have waited for 20 - 0.5 * 5 = 17.5 s.
BACKLOG_SHARE = 0.5
# How much more a late job costs for each objective that it waits beyond the first, as a share of its price. Judged by
# simulation: `--load spike`.
# Example: price 60 pod-seconds, objective 5 s: a job that is late by 20 s costs 60 * (1 + 0.1 * 4) = 84.
LATER = 0.1
# Least and greatest number of steps in which the lead is simulated as a fluid. Design: a step is half a service long if
# that is between the two.
# Example: a lead of 31 s takes 13 steps with jobs of 5 s, 4 with jobs of 60 s, and 400 with jobs of 10 ms.
_FEWEST_STEPS = 4
_MOST_STEPS = 400


class Backlog(NamedTuple):
    """Jobs that will come, `rate` of them a second."""

    service: ServiceTerms
    rate: float

    @property
    def patience_s(self) -> float:
        """Seconds after which a job that waits counts as a backlog."""
        return self.service.wait_s - BACKLOG_SHARE * min(self.service.wait_s, self.service.mean_s)

    def waiting_at(self, outstanding: float, ready: int, coming_s: Sequence[float], lead_s: float) -> float:
        """Returns the jobs in the system in `lead_s` seconds, as a fluid, of those that will count as a backlog then.

        `coming_s` are the seconds until each starting pod is ready, in order.
        """
        service_s, slots = self.service.mean_s, self.service.slots
        until_s = max(0.0, lead_s - self.patience_s)
        jobs, now_s, pods = float(outstanding), 0.0, ready
        for next_s in (*[at_s for at_s in coming_s if at_s < lead_s], lead_s):
            longest_s = max(min(service_s / 2, lead_s / _FEWEST_STEPS), lead_s / _MOST_STEPS) if pods else lead_s
            while now_s < next_s - 1e-9:
                step_s = min(longest_s, next_s - now_s)
                fresh = self.rate * (min(now_s + step_s, until_s) - now_s) if now_s < until_s else 0.0
                able = step_s * pods * slots / service_s
                # Of jobs that are much shorter than a step, most of those that come in it also end in it.
                ended = min(1.0, step_s / service_s) * jobs + max(0.0, 1 - service_s / step_s) * fresh
                jobs = max(0.0, jobs + fresh - min(able, ended))
                now_s += step_s
            pods += 1
        return jobs

    def late_cost_s(self, backlog: float, replicas: int) -> float:
        """Returns the price in pod-seconds of the jobs that are late until a backlog of jobs is gone; inf if never."""
        servers = replicas * self.service.slots
        excess, speed = max(0.0, backlog - servers), servers / self.service.mean_s - self.rate
        if speed <= 0:
            return math.inf if excess else 0.0
        drain_s = excess / speed
        # Jobs that come meanwhile are late, and those that wait are late for longer.
        return self.service.late_price_s * drain_s * (self.rate + LATER * excess / 2 / self.service.wait_s)

    def drainers(self, backlog: float, base: int, most: int, startup_s: float) -> int:
        """Returns how many replicas beyond `base` are worth their start, to work off a backlog of jobs.

        A start is all that one more costs: the work costs the same, however many do it. One more would not pay, and one
        fewer would, as the cost is convex. There may be `most` replicas in all; all are used if the backlog grows.
        Example: 100 jobs of 5 s, 6 replicas, 0.5 jobs/s, start-up 30 s. The 6 work off 6 / 5 - 0.5 = 0.7 jobs/s, and 94
        jobs have to wait: 134 s. With 33 more replicas it is 61 jobs, 7.3 jobs/s and 8 s. At a price of 60 pod-seconds
        a job the next one would save 29 pod-seconds.
        """
        if backlog <= base * self.service.slots:
            return 0

        def enough(replicas: int) -> bool:
            now_s, then_s = (self.late_cost_s(backlog, n) for n in (replicas, replicas + 1))
            return now_s - then_s <= startup_s

        ends, begins = self.rate * self.service.mean_s / self.service.slots, backlog / self.service.slots
        fewest = max(base, min(math.floor(ends) + 1, math.ceil(begins)))
        if fewest >= most:
            return max(0, most - base)
        return fewest - base + bisect_left(range(fewest, most), True, key=enough)
