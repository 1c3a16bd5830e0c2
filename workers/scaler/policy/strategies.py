"""The two ways to find how many pods are needed: by the jobs that wait, or by the jobs that are expected.

`Reactive` is for jobs that can wait for a start: a pod that is ordered when a job comes is ready in time. `Predictive`
is for jobs that can't: their pod must have been ordered before they came.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

from workers.scaler.policy.patience import Patience
from workers.scaler.policy.staffing import BACKLOG_SHARE, Staffing

if TYPE_CHECKING:
    from workers.scaler.forecast.arrivals import Forecast
    from workers.scaler.policy.interface import Options
    from workers.scaler.policy.situation import Situation
    from workers.scaler.policy.state import State

# Reactive: keep-alive time of an idle pod, in start-up times. A pod that was let go too early costs a start, but makes
# no job late, so it is short. Judged by simulation: `--load burst:0.1,2,300,60 --objective 60`.
# Example: start-up 30 s: a pod is kept until it has been idle for 15 s.
REACTIVE_KEEP_ALIVE = 0.5
# Predictive: how far ahead a pod must not be needed again, in start-up times, for it to be let go: its own start, and
# half of one so that it has saved something. Judged by simulation: `--load sine:1,0.8,1200`.
# Example: start-up 30 s, actuation 1 s: the forecast is asked for 46 s and for 23 s ahead, and the larger rate counts.
KEEP_STARTUPS = 1.5
# Predictive: standard errors that are added to that rate, so that no pod is let go for a dip. Judged by simulation:
# `--load constant:0.8`.
# Example: 2 jobs/s with a standard error of 0.3 are reckoned with as 2.3 jobs/s.
KEEP_ERRORS = 1.0
# Predictive: keep-alive time in start-up times. It is the index of dispersion, but at least SHORTEST and at most 1. In
# bursts BURST times `Dispersion.bursts` is added, but at most LONGEST_BURST: the next one leaves no time to start.
# Judged by simulation: `--load constant:0.1 --service 25 --process deterministic`, `--load burst:0.1,10,300,60`.
# Example: start-up 30 s: 9 s for a clock, 30 s for a Poisson process, 30 * (1 + 0.25 * 8) = 90 s in bursts of 8, and
# never more than 30 * (1 + 4) = 150 s.
# Regular arrivals need a shorter keep-alive time, though not none. Example: one job each 10 s that takes 25 s needs 2.5
# pods; without it, the third pod would be ordered and let go with every job.
SHORTEST_KEEP_ALIVE = 0.3
BURST_KEEP_ALIVE = 0.25
LONGEST_BURST_KEEP_ALIVE = 4.0


class Strategy(Protocol):
    """A way to find how many pods are needed in one situation."""

    def order(self) -> int:
        """Returns how many pods there must be when one that is ordered now is ready."""

    def keep(self) -> int:
        """Returns how many of the pods that there are may not go, as they would be missed before others were ready."""

    def keep_alive_s(self) -> float:
        """Returns how long pods are kept after they were last needed, whether that has paid or not."""

    def demand(self) -> str:
        """Returns what needs the pods, in words."""


class Reactive:
    """Orders for the jobs that wait, and keeps pods that work or start."""

    def __init__(self, situation: Situation, options: Options) -> None:
        self._now = situation
        self._patience = Patience(situation.service_s, situation.wait_s, options.concurrency, options.late_cost)

    def order(self) -> int:
        """As many as run something; if jobs wait, all that there are, and those that are missing."""
        now = self._now
        return self._patience.needed(now.waiting, now.running, now.ready, now.coming_s, now.lead_s)

    def keep(self) -> int:
        """All, while any of them starts."""
        return _not_called_off(self._now)

    def keep_alive_s(self) -> float:
        """Half a start-up."""
        return REACTIVE_KEEP_ALIVE * self._now.startup_s

    def demand(self) -> str:
        """The jobs, and within how many seconds they should begin."""
        now = self._now
        return f"{now.waiting} waiting + {now.running} running, to begin within {self._patience.begin_s:.0f} s,"


class Predictive:
    """Orders for the jobs that will be there when a pod that is ordered now is ready."""

    def __init__(self, situation: Situation, state: State, forecast: Forecast, options: Options) -> None:
        self._now = situation
        self._history = state.history
        self._bursts = state.arrivals.dispersion.bursts
        self._forecast = forecast
        self._rate = forecast.at(situation.lead_s)
        self._slots = options.concurrency
        self._keep_ahead_s = KEEP_STARTUPS * situation.startup_s + options.actuation_s
        self._staffing = Staffing(
            forecast,
            situation.service_s,
            situation.service_variation,
            situation.wait_s,
            options.concurrency,
            options.late_cost * situation.service_s,
            options.max_replicas,
        )

    def order(self) -> int:
        """The cheapest number for the rate that is expected, and those that are worth their start for the backlog."""
        now, staffing = self._now, self._staffing
        ready_s = now.now_s + now.lead_s
        due = self._history.due(now.waiting, ready_s, now.wait_s)
        steady = staffing.steady(now.running + due, self._rate, now.lead_s, 0.0)
        if not now.outstanding and not steady:
            return 0
        soon = self._history.due(now.waiting, ready_s, staffing.patience_s)
        backlog = staffing.waiting_at(now.running + soon, now.ready, now.coming_s, now.lead_s)
        base = max(now.pods, steady)
        extra = staffing.drainers(backlog, base, self._rate, now.startup_s)
        order = base + extra if extra else steady
        return max(order, 1) if now.outstanding else order

    def keep(self) -> int:
        """The cheapest number for the larger of the rates until another start would have paid."""
        now, ahead_s = self._now, self._keep_ahead_s
        rate = max(self._forecast.at(ahead_s), self._forecast.at(ahead_s / 2))
        expected = self._staffing.steady(now.outstanding, rate, ahead_s, KEEP_ERRORS, now.startup_s)
        # The jobs that are there now have to be begun in time, too.
        present = now.outstanding / (self._slots * (1 + BACKLOG_SHARE * now.wait_s / now.service_s))
        return max(_not_called_off(now), expected, math.ceil(present - 1e-9))

    def keep_alive_s(self) -> float:
        """About a start-up; less for a clock, more in bursts."""
        even = min(1.0, max(SHORTEST_KEEP_ALIVE, self._forecast.dispersion))
        return self._now.startup_s * (even + min(LONGEST_BURST_KEEP_ALIVE, BURST_KEEP_ALIVE * self._bursts))

    def demand(self) -> str:
        """The jobs, and those that are expected within the lead."""
        now = self._now
        return f"{now.waiting} waiting + {now.running} running + {self._rate:.2g}/s x {now.lead_s:.0f} s"


def strategy_for(situation: Situation, state: State, forecast: Forecast, options: Options) -> Strategy:
    """Returns the strategy that suits the situation."""
    if situation.can_wait:
        return Reactive(situation, options)
    return Predictive(situation, state, forecast, options)


def _not_called_off(situation: Situation) -> int:
    """All pods while one starts that is not stuck: a start that has begun is not called off for a dip."""
    return situation.pods if situation.hopeful else 0
