"""How many replicas are worth their cost: so that jobs need not wait too long, and to work off those that wait already.

An order is useful from `lead_s` on, not before. So it does not matter how many jobs wait now, but how many will be late
when the order is ready if nothing is ordered: those that come until then, less the objective, and have not begun. Jobs
that come later can still be helped by a later order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workers.scaler.policy.queueing import Delays, exceeds, normal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.scaler.forecast.arrivals import Forecast

# Share of the objective (of a service, if that is shorter) that is kept back for what was not foreseen. Judged by
# simulation: `--load spike --service lognormal:5,1`.
# Example: jobs of 5 s that may wait for 20 s are counted as a backlog once they have waited for 20 - 0.5 * 5 = 17.5 s.
BACKLOG_SHARE = 0.5
# How much more a late job costs for each objective that it waits beyond the first, as a share of its price. Judged by
# simulation: `--load spike`.
# Example: price 60 pod-seconds, objective 5 s: a job that is late by 20 s costs 60 * (1 + 0.1 * 4) = 84.
LATER = 0.1
# Longest time in start-up times that a backlog is taken to last. Design: a backlog that grows would have no cost to
# compare otherwise.
# Example: start-up 30 s: whatever takes longer than 600 s to work off counts as 600 s.
_DRAIN_STARTUPS = 20.0
# Standard deviations below the expected number of jobs that are not thought of. Design: fewer replicas than these need
# are not tried, which saves time.
# Example: 100 jobs are expected, with a deviation of 10: the first number that is tried can serve 60.
_UNLIKELY_DEVIATIONS = 4.0
# Least and greatest number of steps in which the lead is simulated as a fluid. Design: a step is half a service long if
# that is between the two.
# Example: a lead of 31 s takes 13 steps with jobs of 5 s, 4 with jobs of 60 s, and 400 with jobs of 10 ms.
_FEWEST_STEPS = 4
_MOST_STEPS = 400


@dataclass(frozen=True, slots=True)
class Staffing:
    """Jobs and pods at one time, and what is expected of them."""

    forecast: Forecast
    service_s: float  # mean
    variation: float  # squared coefficient of variation of the service time
    wait_s: float  # the objective
    slots: int  # jobs that one replica runs at once
    late_cost_s: float  # price of a late job, in pod-seconds
    most: int  # replicas

    @property
    def patience_s(self) -> float:
        """Seconds after which a job that waits counts as a backlog."""
        return self.wait_s - BACKLOG_SHARE * min(self.wait_s, self.service_s)

    def steady(self, outstanding: float, rate: float, ahead_s: float, errors: float, start_s: float = 0.0) -> int:
        """Returns the cheapest number of replicas to have from now on, by what they and late jobs cost per second.

        It is the number that costs least in `ahead_s` seconds, with `rate` jobs/s coming until then; `errors` standard
        errors of the forecast are added to the rate first. `start_s` is the start-up that each job costs without any
        replica; 0 leaves it out.
        Example: a load of 4 servers, a late job at 12 services. If all jobs are late, that costs as much as 4 * 12 = 48
        replicas. 5 replicas that leave 10 % late cost 5 + 4.8 = 9.8, and 7 that leave 1 % cost 7.5: 7 are wanted.
        """
        uncertain = self.forecast.error
        restarts_s = rate * start_s
        rate += errors * uncertain
        if rate <= 0:
            return 0
        load = rate * self.service_s
        worth = self.late_cost_s * rate
        best, least, n = 0, worth + restarts_s, self._fewest(rate, ahead_s)
        # Bursts: z times fewer servers with z times less load are all busy as often, z being the peakedness
        # (Hayward's approximation; Fredericks, "Congestion in blocking systems", 1980).
        dispersion, until_s = self.forecast.dispersion, max(0.0, ahead_s - self.wait_s)
        peakedness = max(1.0, (1 + dispersion) / 2)
        delays = Delays(load / peakedness)
        # A job of a burst finds this many others of it before itself.
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
        # If the limit ends the search before any number has paid, all that are allowed do what they can.
        return self.most if n > self.most and not best else best

    def _fewest(self, rate: float, ahead_s: float) -> int:
        """Returns the number of replicas below which none can be enough."""
        until_s = max(0.0, ahead_s - self.wait_s)
        uncertain = self.forecast.error
        spread = math.sqrt(rate * (self.forecast.dispersion + self.variation) * until_s) + uncertain * until_s
        expected = max(0.0, rate * until_s - _UNLIKELY_DEVIATIONS * spread)
        servers = expected / (until_s + self.wait_s) * self.service_s if until_s else 0.0
        # In the long run all of the load needs a server. Of jobs that last longer than `ahead_s` only a part is here.
        lasting = rate * self.service_s * min(1.0, ahead_s / self.service_s)
        return max(1, math.floor(max(servers, lasting - 1e-9) / self.slots))

    def _late_of_those_here(self, servers: int, outstanding: float, rate: float, ahead_s: float) -> float:
        """Returns the probability that all servers are still busy with jobs of now, if jobs take longer than starts.

        As if every job had a server at once (M/G/infinity), but for the jobs that exceed what the servers can have done
        by then.
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
        """Returns the jobs in the system in `lead_s` seconds, as a fluid, of those that will count as a backlog then.

        `coming_s` are the seconds until each starting pod is ready, in order.
        """
        until_s = max(0.0, lead_s - self.patience_s)
        jobs, now_s, pods = float(outstanding), 0.0, ready
        for next_s in (*[at_s for at_s in coming_s if at_s < lead_s], lead_s):
            longest_s = max(min(self.service_s / 2, lead_s / _FEWEST_STEPS), lead_s / _MOST_STEPS) if pods else lead_s
            while now_s < next_s - 1e-9:
                step_s = min(longest_s, next_s - now_s)
                fresh = self.forecast.jobs(now_s, min(now_s + step_s, until_s)) if now_s < until_s else 0.0
                able = step_s * pods * self.slots / self.service_s
                # Of jobs that are much shorter than a step, most of those that come in it also end in it.
                ended = min(1.0, step_s / self.service_s) * jobs + max(0.0, 1 - self.service_s / step_s) * fresh
                jobs = max(0.0, jobs + fresh - min(able, ended))
                now_s += step_s
            pods += 1
        return jobs

    def drainers(self, backlog: float, base: int, rate: float, startup_s: float) -> int:
        """Returns how many replicas beyond `base` are worth their start, to work off a backlog of jobs.

        Example: 100 jobs of 5 s, 6 replicas, 0.5 jobs/s, start-up 30 s. The 6 work off 6 / 5 - 0.5 = 0.7 jobs/s, and 94
        jobs have to wait: 134 s. With 35 more replicas it is 59 jobs, 7.7 jobs/s and 8 s, for 35 starts and 35 * 8
        pod-seconds. At a price of 60 pod-seconds a job that is the cheapest.
        """
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
