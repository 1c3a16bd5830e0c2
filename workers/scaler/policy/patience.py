"""How many replicas there must be where a job can wait for one that is ordered when it comes.

There, nothing has to be foreseen. Jobs are begun in the order in which they come, so that those who come later delay
nobody who waits; and whoever finds too much before himself is in time for an order. What is kept back of the time that
he has is for what nobody can know: how long those take that run now.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

# Of the time that a job may wait, and of a service where that is shorter: what is kept back, if a late job costs as
# much as by default. Where it costs more, or less, it grows with the logarithm of that.
WAIT_SHARE, SERVICE_SHARE = 0.1, 0.5
_USUAL_COST = 12.0
# An idle pod is held for so much of a start. To be without it costs a start, but no job its time.
HOLD = 0.5


class Patience(NamedTuple):
    """What is known of jobs and pods at one time; `late_cost` is the price of a late job, in service times of a pod."""

    service_s: float
    wait_s: float  # the objective
    slots: int  # jobs that one replica runs at once
    late_cost: float

    @property
    def begin_s(self) -> float:
        """Within how many seconds those that wait should begin."""
        caution = math.log1p(self.late_cost) / math.log1p(_USUAL_COST)
        kept_s = WAIT_SHARE * self.wait_s + SERVICE_SHARE * min(self.wait_s, self.service_s)
        return max(0.0, self.wait_s - caution * kept_s)

    def needed(self, waiting: int, running: int, ready: int, coming_s: Sequence[float], lead_s: float) -> int:
        """As many as run something; and where jobs wait, all that are there, and those that are missing.

        `coming_s` are the times in which starting pods will be ready, and `lead_s` is that of one which is ordered now.
        """
        there = ready + len(coming_s)
        if not waiting:
            return min(there, math.ceil(running / self.slots))
        # A pod that never starts is not waited for: one that is ordered now is expected before it.
        soon = [self._begun(at_s) for at_s in coming_s if at_s <= lead_s]
        begun = self.slots * ready * self.begin_s / self.service_s + sum(soon)
        missing = math.ceil((waiting - begun) / self._begun(lead_s) - 1e-9)
        return max(1, there + max(0, missing))

    def _begun(self, after_s: float) -> float:
        """How many jobs a pod begins that is ready then: those that it has room for, however late that is."""
        return self.slots * (1 + max(0.0, self.begin_s - after_s) / self.service_s)
