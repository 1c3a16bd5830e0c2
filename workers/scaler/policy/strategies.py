"""The two ways to find how many pods are needed: by the jobs that wait, or by the jobs that are expected.

`Reactive` is for jobs that can wait for a start: a pod that is ordered when a job comes is ready in time. `Predictive`
is for jobs that can't: their pod must have been ordered before they came.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

from workers.scaler.policy.cost.backlog import BACKLOG_SHARE, Backlog
from workers.scaler.policy.cost.staffing import KEEP_STARTUPS, Staffing, hold_s, keep_ahead_s
from workers.scaler.policy.patience import Patience

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from workers.scaler.forecast.arrivals import Forecast
    from workers.scaler.policy.interface import Options
    from workers.scaler.policy.situation import Situation

# Reactive: keep-alive time of an idle pod, in start-up times. A pod that was let go too early costs a start, but makes
# no job late, so it is short. Judged by simulation: `--load burst:0.1,2,300,60 --objective 60`.
# Example: start-up 30 s: a pod is kept until it has been idle for 15 s.
REACTIVE_KEEP_ALIVE = 0.5
# Probability from which on a decision's words tell of a change that is foreseen. Design.
# Example: "(a change by then: 26%)".
_TOLD_CHANGE = 0.1


class Reactive:
    """Orders for the jobs that wait, and keeps pods that work or start."""

    def __init__(self, now: Situation, options: Options) -> None:
        self._now, self._patience = now, Patience(now.service, options.late_cost)

    def order(self) -> int:
        """Returns how many pods there must be when one that is ordered now is ready.

        As many as run something; if jobs wait, all that there are, and those that are missing.
        """
        now = self._now
        return self._patience.needed(now.waiting, now.running, now.ready, now.coming_s, now.lead_s)

    def keep(self, _order: int) -> int:
        """Returns all pods while one starts that is not stuck: a start that has begun is not called off for a dip."""
        return self._now.pods if self._now.hopeful else 0

    def keep_alive_s(self) -> float:
        """Returns half a start-up: for so long pods are kept after they were last needed."""
        return REACTIVE_KEEP_ALIVE * self._now.startup_s

    def demand(self) -> str:
        """Returns the jobs, and within how many seconds they should begin, in words."""
        now = self._now
        return f"{now.waiting} waiting + {now.running} running, to begin within {self._patience.begin_s:.0f} s,"


class Predictive:
    """Orders for the jobs that will be there when a pod that is ordered now is ready."""

    def __init__(self, now: Situation, at: Callable[[float], Forecast], ready: Forecast, options: Options) -> None:
        """`at` tells what is expected in so many seconds; `ready` is expected when an order of now is ready."""
        self._now, self._at, self._ready = now, at, ready
        # When another start would have paid.
        self._paid_in_s = KEEP_STARTUPS * now.startup_s + options.actuation_s
        self._staffing = Staffing(now.service, options.max_replicas)

    def order(self) -> int:
        """Returns the cheapest number when an order is ready, and those that are worth their start for the backlog."""
        now = self._now
        steady = self._staffing.cheapest(self._ready, now.lead_s, now.outstanding)
        if not now.outstanding:
            return steady
        return max(1, self._with_backlog(steady, now.coming_s))

    def keep(self, order: int) -> int:
        """Returns how many pods may not go, if there are so many; `order` is the number that was ordered.

        The cheapest number when another start would have paid, and at least those that run something.
        """
        now, service, paid = self._now, self._now.service, self._at(self._paid_in_s)
        ahead_s = keep_ahead_s(now.lead_s, self._paid_in_s, paid.dispersion)
        worth = self._staffing.cheapest(paid, ahead_s, now.outstanding, now.startup_s, order)
        # The work of now costs the same, however many do it: all pods that will be ready before it is done may stay.
        work_s = now.outstanding * service.mean_s / service.slots
        useful = now.ready + sum([at_s * pods < work_s for pods, at_s in enumerate(now.coming_s, now.ready)])
        present = now.outstanding / (service.slots * (1 + BACKLOG_SHARE * service.wait_s / service.mean_s))
        # A start is not called off if it would be ordered again, as the backlog is only gone because it is counted.
        again = self._with_backlog(order, ()) if now.outstanding and now.coming_s else 0
        return max(worth, min(useful, math.ceil(present - 1e-9)), again)

    def _with_backlog(self, steady: int, coming_s: Sequence[float]) -> int:
        """Returns `steady`, or more if more are worth their start for the backlog that is left with those to come."""
        now, backlog = self._now, Backlog(self._now.service, self._ready.rate)
        waiting = backlog.waiting_at(now.outstanding, now.ready, coming_s, now.lead_s)
        base = max(now.ready + len(coming_s), steady)
        extra = backlog.drainers(waiting, base, self._staffing.most, now.startup_s)
        return base + extra if extra else steady

    def keep_alive_s(self) -> float:
        """Returns less than 0.4 of a start-up; next to nothing for a clock."""
        now = self._now
        return hold_s(now.startup_s, now.lead_s - now.startup_s, self._ready.dispersion)

    def demand(self) -> str:
        """Returns the jobs, and those that are expected within the lead, in words."""
        now, ready = self._now, self._ready
        text = f"{now.waiting} waiting + {now.running} running + {ready.rate:.2g}/s x {now.lead_s:.0f} s"
        return f"{text} (a change by then: {ready.change:.0%})" if ready.change >= _TOLD_CHANGE else text


Strategy: TypeAlias = Reactive | Predictive
