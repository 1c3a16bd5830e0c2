"""Which share of the jobs will be late with so many replicas, if jobs come at one rate.

An order is useful from the lead on, not before. So it does not matter how many jobs wait now, but how many will be late
when the order is ready if nothing is ordered: those that come until then, less the objective, and have not begun. Jobs
that come later can still be helped by a later order.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from workers.scaler.forecast.atoms import upper_tail
from workers.scaler.policy.cost.queueing import Delays, exceeds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from workers.scaler.forecast.arrivals import Forecast
    from workers.scaler.forecast.atoms import Atom, Burst
    from workers.scaler.policy.situation import ServiceTerms

# Standard deviations below the expected rate that are not thought of. Design: it saves time, as fewer replicas than
# that load needs are not tried.
# Example: 20 +- 2 jobs/s of 5 s: the first number that is tried is 60.
_UNLIKELY_DEVIATIONS = 4.0
# Share of late jobs below which there are none. Design: it saves time, as more replicas can't make more jobs late.
# Example: 8 replicas leave 0.00001 % late: with 9 nothing is reckoned any more.
_NONE_LATE = 1e-7
# Least variance of the jobs that are still there, squared jobs. Design: to avoid dividing by zero.
# Example: if 5 jobs will be there for certain, 5 servers are enough and 4 are not.
_LEAST_VARIANCE = 1e-9


def lateness_by_atom(
    service: ServiceTerms, forecast: Forecast, ahead_s: float, outstanding: float
) -> list[Lateness | BurstLateness]:
    """Returns the lateness at each rate that is possible, and that of bursts; for the arguments see `Lateness`.

    At one rate jobs come by chance, or more evenly: what is more uneven is in the rates and in the bursts already.
    """
    dispersion = min(forecast.dispersion, 1.0)
    rates = [Lateness(service, atom, dispersion, ahead_s, outstanding) for atom in forecast.atoms if atom.rate > 0]
    return [*rates, BurstLateness(service, forecast.bursts)] if forecast.bursts else [*rates]


class BurstLateness:
    """For any number of replicas, if jobs come at once: each slot begins one, and others for as long as they may wait.

    Example: jobs of 5 s that may wait for as long: if 30 come at once, 10 replicas begin 20 of them in time.
    """

    fewest = 1

    def __init__(self, service: ServiceTerms, bursts: Iterable[Burst]) -> None:
        self._bursts, self._able = bursts, service.slots * (1 + service.wait_s / service.mean_s)

    def jobs(self, replicas: int) -> float:
        """Returns the expected late jobs/s."""
        able = replicas * self._able
        return math.fsum([burst.per_s * (burst.jobs - able) for burst in self._bursts if burst.jobs > able])


class Lateness:
    """For growing numbers of replicas, in `ahead_s` seconds, at the rate of `atom`; `outstanding` jobs are here now."""

    def __init__(
        self, service: ServiceTerms, atom: Atom, dispersion: float, ahead_s: float, outstanding: float
    ) -> None:
        self._service, self._rate, self._expected = service, atom.rate, atom.weight * atom.rate
        self._ahead_s, self._until_s = ahead_s, max(0.0, ahead_s - service.wait_s)
        self._delays = Delays(atom.rate * service.mean_s)
        # Standard deviation of the number by which the jobs in the system grow.
        variance = atom.rate * (dispersion + service.variation) * self._until_s
        self._grows_by = math.sqrt(variance + (atom.spread * self._until_s) ** 2)
        # Of the jobs of now and of those to come: how many are still there when the order is ready.
        self._outstanding, self._ended = outstanding, 1 - math.exp(-ahead_s / service.mean_s)
        begun = 1 - math.exp(-self._until_s / service.mean_s)
        self._fresh = atom.rate * service.mean_s * begun * math.exp(-service.wait_s / service.mean_s)
        self._over = False
        self._variance_here = self._fresh * dispersion
        # In the long run all of the load needs a server. Of jobs that last longer than `ahead_s` only a part is here.
        load = max(0.0, atom.rate - _UNLIKELY_DEVIATIONS * atom.spread) * min(service.mean_s, ahead_s)
        self.fewest = max(1, math.floor((load - 1e-9) / service.slots))

    def jobs(self, replicas: int) -> float:
        """Returns the expected late jobs/s, by the rate's probability too; `replicas` never falls from call to call."""
        if self._over:
            return 0.0
        if replicas < self.fewest:
            return self._expected
        service, servers = self._service, replicas * self._service.slots
        able = servers * service.wait_s / service.mean_s
        grown = (self._rate - servers / service.mean_s) * self._until_s
        delayed = self._delays.of(servers) * exceeds(able, grown, self._grows_by)
        late = max(delayed, self._of_those_here(servers))
        self._over = late < _NONE_LATE
        return self._expected * late

    def _of_those_here(self, servers: int) -> float:
        """Returns the probability that all servers are still busy with jobs of now, if jobs take longer than starts.

        As if every job had a server at once (M/G/infinity), but for the jobs that exceed what the servers can have done
        by then.
        """
        outstanding, able = self._outstanding, servers * self._ahead_s / self._service.mean_s
        left = outstanding * (1 - self._ended)
        if outstanding > servers + able:
            left = outstanding - able
        variance = min(outstanding, servers) * self._ended * (1 - self._ended) + self._variance_here
        room = servers + 0.5 - left - self._fresh
        return upper_tail(room / math.sqrt(max(variance, _LEAST_VARIANCE)))
