"""How many replicas are worth their cost: to keep jobs from waiting too long, and to work off those that wait already.

An order is useful only from `lead_s` on. So the question is never how many jobs wait now, but how many will be late at
that time if nothing is ordered: jobs that will have come by then, less the objective, and not been begun. Those that
come after that can still be helped by a later order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workers.scaler.policy.queueing import Delays, exceeds, normal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.scaler.forecast.arrivals import Forecast

# Of the objective, or of a service where that is shorter: what is kept for what nobody foresaw.
BACKLOG_SHARE = 0.5
# A late job costs more the later it is: so much of its cost again for each objective that it is over.
LATER = 0.1
_DRAIN_STARTUPS = 20.0
_MOST_STEPS = 400


@dataclass(frozen=True, slots=True)
class Staffing:
    """What is known of jobs and pods at one time."""

    forecast: Forecast
    service_s: float
    variation: float  # squared coefficient of variation of the service time
    wait_s: float  # the objective
    slots: int  # jobs that one replica runs at once
    late_cost_s: float  # pod-seconds that a late job is worth
    most: int

    @property
    def patience_s(self) -> float:
        """For how long a job can wait before more have to be there for it."""
        return self.wait_s - BACKLOG_SHARE * min(self.wait_s, self.service_s)

    def steady(self, outstanding: float, rate: float, ahead_s: float, errors: float, start_s: float = 0.0) -> int:
        """The cheapest number to have from now on, by what pods and late jobs cost each second.

        Looked at in `ahead_s` seconds, with `rate` jobs/s coming until then; `errors` is the number of standard errors
        of the forecast that are added to the rate.
        """
        uncertain = self.forecast.error
        restarts_s = rate * start_s
        rate += errors * uncertain
        if rate <= 0:
            return 0
        load = rate * self.service_s
        worth = self.late_cost_s * rate
        dispersion, until_s = self.forecast.dispersion, max(0.0, ahead_s - self.wait_s)
        spread = math.sqrt(rate * (dispersion + self.variation) * until_s) + uncertain * until_s
        # Fewer than these are not enough by any chance.
        servers = max(0.0, rate * until_s - 4 * spread) / (until_s + self.wait_s) * self.service_s if until_s else 0.0
        # In the long run all of the load needs a server; but where jobs last longer, it is not here by then.
        lasting = load * min(1.0, ahead_s / self.service_s)
        best, least, n = 0, worth + restarts_s, max(1, math.floor(max(servers, lasting - 1e-9) / self.slots))
        # Bursts: z times fewer servers with z times less load are as often all busy, z being the peakedness
        # (Hayward's approximation; Fredericks, "Congestion in blocking systems", 1980).
        peakedness = max(1.0, (1 + dispersion) / 2)
        delays = Delays(load / peakedness)
        # And a job of a burst finds others of it before itself.
        burst = max(0.0, dispersion - 1) / 2
        while n < least and n <= self.most:
            servers = n * self.slots
            drift = rate - servers / self.service_s
            late = delays.of(math.floor(servers / peakedness)) * exceeds(
                max(0.0, servers * self.wait_s / self.service_s - burst),
                drift,
                rate * (dispersion + self.variation),
                uncertain * (1 - errors),
                until_s,
            )
            late = max(late, self._late_of_those_here(servers, outstanding, rate, ahead_s))
            if n + worth * late < least:
                best, least = n, n + worth * late
            n += 1
        # None of those that there may be helps by itself: all of them do what they can.
        return self.most if n > self.most and not best else best

    def _late_of_those_here(self, servers: int, outstanding: float, rate: float, ahead_s: float) -> float:
        """The chance that all are still busy with jobs of now: it decides where jobs take longer than pods to start.

        As if every job had a server at once (M/G/infinity), but for what is more than they can have done by then.
        """
        service_s, until_s = self.service_s, max(0.0, ahead_s - self.wait_s)
        ended = 1 - math.exp(-ahead_s / service_s)
        left = outstanding * (1 - ended)
        if outstanding > servers * (1 + ahead_s / service_s):
            left = outstanding - servers * ahead_s / service_s
        fresh = rate * service_s * (1 - math.exp(-until_s / service_s)) * math.exp(-self.wait_s / service_s)
        variance = min(outstanding, servers) * ended * (1 - ended) + fresh * self.forecast.dispersion
        if variance < 1e-9:
            return float(left + fresh > servers)
        return 1 - normal((servers + 0.5 - left - fresh) / math.sqrt(variance))

    def waiting_at(self, outstanding: float, ready: int, coming_s: Sequence[float], lead_s: float) -> float:
        """Jobs in the system in `lead_s` seconds, as a fluid, of those that will have waited for their share by then.

        `coming_s` are the times in which starting pods will be ready, in order.
        """
        until_s = max(0.0, lead_s - self.patience_s)
        jobs, now_s, pods = float(outstanding), 0.0, ready
        for next_s in (*[at_s for at_s in coming_s if at_s < lead_s], lead_s):
            longest_s = max(min(self.service_s / 2, lead_s / 4), lead_s / _MOST_STEPS) if pods else lead_s
            while now_s < next_s - 1e-9:
                step_s = min(longest_s, next_s - now_s)
                fresh = self.forecast.jobs(now_s, min(now_s + step_s, until_s)) if now_s < until_s else 0.0
                able = step_s * pods * self.slots / self.service_s
                # Where jobs are much shorter than a step, most of those that come in it end in it.
                ended = min(1.0, step_s / self.service_s) * jobs + max(0.0, 1 - self.service_s / step_s) * fresh
                jobs = max(0.0, jobs + fresh - min(able, ended))
                now_s += step_s
            pods += 1
        return jobs

    def drainers(self, backlog: float, base: int, rate: float, startup_s: float) -> int:
        """How many more than `base` are worth their start, to work off the jobs that are there when they are ready."""
        best, least, k = 0, math.inf, 0
        while k <= self.most - base and k * startup_s <= least:
            servers = (base + k) * self.slots
            excess = backlog - servers
            cost_s = k * startup_s
            if excess > 0:
                speed = servers / self.service_s - rate
                drain_s = min(excess / speed if speed > 0 else math.inf, _DRAIN_STARTUPS * startup_s)
                # Jobs that come meanwhile are late, and those that wait are late for longer.
                late = rate * drain_s + LATER * excess * drain_s / 2 / self.wait_s
                cost_s += self.late_cost_s * late + k * drain_s
            if cost_s < least:
                best, least = k, cost_s
            k += 1
        return best
