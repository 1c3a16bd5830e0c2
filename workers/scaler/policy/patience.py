"""How many replicas there must be if a job can wait for one that is ordered when it comes.

Nothing has to be foreseen then. Jobs begin in the order in which they come, so a later job delays nobody who waits, and
a job that finds too many others before itself is in time with an order of its own. Part of the time that a job may wait
is kept back, because nobody knows how long the jobs take that run now.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.scaler.policy.interface import Options
    from workers.scaler.policy.situation import ServiceTerms, Situation

# What is kept back: a share of the time that a job may wait, and a share of a service (of the wait, if that is
# shorter). Judged by simulation: `--load ramping --service 60 --objective 600`.
# Example: jobs of 60 s that may wait for 600 s should begin within 600 - 0.1 * 600 - 0.5 * 60 = 510 s.
WAIT_SHARE = 0.1
SERVICE_SHARE = 0.5
# Price of a late job, in mean service times, for which just that is kept back: the default of `late_cost`. At other
# prices it grows with their logarithm. Judged by simulation: `--load ramping --objective 60 --late-cost 50`.
# Example: at a price of 50 it is ln(51) / ln(13) = 1.5 times as much.
_USUAL_COST = 12.0


class Patience(NamedTuple):
    """How long jobs can wait, and the pods that they then need."""

    service: ServiceTerms
    late_cost: float  # price of a late job, in mean service times of a pod

    @property
    def begin_s(self) -> float:
        """Seconds within which all jobs that wait should begin."""
        wait_s = self.service.wait_s
        caution = math.log1p(self.late_cost) / math.log1p(_USUAL_COST)
        kept_s = WAIT_SHARE * wait_s + SERVICE_SHARE * min(wait_s, self.service.mean_s)
        return max(0.0, wait_s - caution * kept_s)

    def needed(self, waiting: int, running: int, ready: int, coming_s: Sequence[float], lead_s: float) -> int:
        """Returns the pods that run something; if jobs wait, all that there are, and those that are missing.

        `coming_s` are the seconds until each starting pod is ready, and `lead_s` is that of a pod that is ordered now.
        Example: `begin_s` 510 s, jobs of 60 s, 2 pods: they begin 2 * 510 / 60 = 17 jobs in time. With 18 waiting, a
        third pod is ordered.
        """
        pods = ready + len(coming_s)
        if not waiting:
            # A job that runs although there is no pod has lost its worker: it waits again once its lease has run out.
            return min(max(pods, 1), math.ceil(running / self.service.slots))
        # A pod that starts for longer than one would that is ordered now may never be ready: it is not waited for.
        soon = [self._begun(at_s) for at_s in coming_s if at_s <= lead_s]
        begun = self.service.slots * ready * self.begin_s / self.service.mean_s + sum(soon)
        missing = math.ceil((waiting - begun) / self._begun(lead_s) - 1e-9)
        return max(1, pods + max(0, missing))

    def _begun(self, ready_in_s: float) -> float:
        """Returns how many jobs a pod begins in time that is ready then; one for each slot, however late that is."""
        return self.service.slots * (1 + max(0.0, self.begin_s - ready_in_s) / self.service.mean_s)


def enough_for_calls(order: int, situation: Situation, options: Options) -> int:
    """Returns how many of the `order` pods are enough, if jobs that can wait do so beside pods that have room for them.

    A model that takes several jobs in one call takes none until the call is over. So jobs wait although pods have room
    for them, and pods whose calls could have been one call look busy. The pods that are left must hold what runs, and
    begin what waits in time. If jobs wait only as all pods are full, nothing of this applies.
    Example: calls of 5 s with up to 8 jobs, which should begin within 6.5 s; 2 pods run 6 jobs and 1, and 3 wait for
    the end of a call: one pod holds 8, and begins 8 * 6.5 / 5 = 10.4 in time, so 1 is enough.
    """
    now, slots = situation, situation.service.slots
    if slots == 1 or not now.can_wait or not 0 < now.waiting <= slots * now.ready - now.running:
        return order
    begun = slots * Patience(now.service, options.late_cost).begin_s / now.service.mean_s
    if begun <= 0:
        return order
    return min(order, max(math.ceil(now.running / slots), math.ceil(now.waiting / begun - 1e-9)))
