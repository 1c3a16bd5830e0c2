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


class Backlog(NamedTuple):
    """Jobs that will come, `rate` of them a second."""

    service: ServiceTerms
    rate: float

    def waiting_at(self, outstanding: float, ready: int, coming_s: Sequence[float], lead_s: float) -> float:
        """Returns the jobs that will be left in `lead_s` seconds, of those that will have waited for long by then.

        All pods are taken to be busy until then. `coming_s` are the seconds until each starting pod is ready.
        Example: 40 jobs of 5 s that may wait for as long, 0.5 jobs/s, 5 pods, lead 31 s: those that come within 28.5 s
        count, and 31 can end, so that 23 are left.
        """
        service = self.service
        until_s = max(0.0, lead_s - service.wait_s + BACKLOG_SHARE * min(service.wait_s, service.mean_s))
        pods_s = ready * lead_s + sum([lead_s - at_s for at_s in coming_s if at_s < lead_s])
        return max(0.0, outstanding + self.rate * until_s - pods_s * service.slots / service.mean_s)

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
        wanted = fewest + bisect_left(range(fewest, most), True, key=enough)
        return max(0, min(wanted, most) - base)
