"""How many replicas are worth their cost: one rule to order, one to keep, both by what is expected.

The cost of n replicas is n, and the price of the jobs that will be late with them. Both rules take the cheapest n: the
order at the time when what is ordered now is ready, keeping at the time when another start would have paid.

Example: 1 job/s with a probability of 0.8, 2 jobs/s with one of 0.2; jobs of 5 s; a late one costs 12 services, which
are 60 pod-seconds. With 8 replicas 0.3 % of the jobs are late at 1 job/s, and 70 % at 2 jobs/s: they cost
8 + 60 * (0.8 * 1 * 0.003 + 0.2 * 2 * 0.7) = 25. With 13 it is 0 and 3 %: 13 + 60 * 0.2 * 2 * 0.03 = 13.7.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from workers.scaler.policy.cost.lateness import lateness_by_atom

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workers.scaler.forecast.arrivals import Forecast
    from workers.scaler.policy.situation import ServiceTerms

# How far ahead a pod must not be needed for it to be let go, in start-up times: its own start, and as long
# again. Judged by simulation: `--load sine:1,0.8,1200`.
# Example: start-up 30 s, actuation 1 s: an idle pod stays if it is worth its cost in 61 s.
KEEP_STARTUPS = 2.0
# Dispersion from which on keeping reckons with jobs that become late in all of that time; with less of it, in less: for
# a perfect clock within a lead, as what is let go can be ordered again as soon as it is missed. Judged by simulation:
# `--load spike --process deterministic`.
# Example: start-up 30 s, lead 31 s, dispersion 0.1: jobs that become late within 31 + 0.4 * 30 = 43 s count.
EVEN = 0.25
# How long what was needed is held, in start-up times: HOLD times the dispersion, up to that of a Poisson process.
# Judged by simulation: `--load constant:0.8`, `--load spike`.
# Example: start-up 30 s: 12 s for a Poisson process, 1.2 s for a clock whose dispersion is 0.1.
HOLD = 0.4
# Share of the time from a decision to its being carried out by which that is less, as pods stay for so long anyway.
# Judged by simulation: `--load spike --rule leadtime-keda`.
# Example: KEDA, 7.5 s: what was needed is held for 12 - 0.5 * 7.5 = 8.3 s until its going is decided.
ACTUATED = 0.5
# Numbers of replicas are tried one by one up to this, then in steps of 1/STEPS of themselves. Design: to save time.
# Example: 50, 51, 52, ... 100, 102, 104, ... 10,000, 10,200.
STEPS = 50


class Staffing(NamedTuple):
    """How jobs are served, and how many replicas there may be."""

    service: ServiceTerms
    most: int  # replicas

    def cheapest(
        self, forecast: Forecast, ahead_s: float, outstanding: float, start_s: float = 0.0, least: int = 0
    ) -> int:
        """Returns the number of replicas that costs least in `ahead_s` seconds; `outstanding` jobs are there now.

        `start_s` is what each job costs, beside being late, if there is no replica; 0 leaves it out. Less than `least`
        is not thought of.
        """
        if forecast.rate <= 0:
            return least
        price_s, late = self.service.late_price_s, lateness_by_atom(self.service, forecast, ahead_s, outstanding)
        fewest, best = min([one.fewest for one in late]), least
        all_late = least + (price_s + (0.0 if least else start_s)) * forecast.rate
        cost = math.inf if least >= fewest else all_late
        for n in numbers(max(least, fewest), self.most):
            if n >= cost:
                return best
            if (found := n + price_s * sum([one.jobs(n) for one in late])) < cost:
                best, cost = n, found
        # If the limit ends the search before any number has paid, all that are allowed do what they can.
        return best if best > least or least >= fewest else self.most


def numbers(first: int, last: int) -> Iterator[int]:
    """Yields the numbers of replicas that are tried, rising; the last one is among them."""
    while first < last:
        yield first
        first += max(1, first // STEPS)
    yield last


def keep_ahead_s(lead_s: float, paid_in_s: float, dispersion: float) -> float:
    """Returns the time in which jobs may become late for want of a pod that is not kept."""
    return lead_s + min(1.0, dispersion / EVEN) * (paid_in_s - lead_s)


def hold_s(startup_s: float, actuation_s: float, dispersion: float) -> float:
    """Returns how long pods are held after they were last needed; until they are let go they are held anyway."""
    return max(0.0, HOLD * startup_s - ACTUATED * actuation_s) * min(dispersion, 1.0)
