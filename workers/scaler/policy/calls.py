"""Jobs that wait for the end of a call: a model that takes several jobs in one call takes none until it is over.

So jobs wait although pods have room for them, and pods whose calls could have been one call look busy. If jobs wait
only as all pods are full, nothing here applies.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from workers.scaler.policy.patience import Patience

if TYPE_CHECKING:
    from workers.scaler.policy.interface import Options
    from workers.scaler.policy.situation import Situation


def enough_for_calls(order: int, situation: Situation, options: Options) -> int:
    """Returns how many of the `order` pods are enough, if jobs that can wait do so beside pods that have room for them.

    Those must hold what runs, and begin what waits in time.
    Example: calls of 5 s with up to 8 jobs, which should begin within 6.5 s; 2 pods run 6 jobs and 1, and 3 wait for
    the end of a call: one pod holds 8, and begins 8 * 6.5 / 5 = 10.4 in time, so 1 is enough.
    """
    now, slots = situation, options.concurrency
    if slots == 1 or not now.can_wait or not 0 < now.waiting <= slots * now.ready - now.running:
        return order
    begin_s = Patience(now.service_s, now.wait_s, slots, options.late_cost).begin_s
    begun = slots * begin_s / now.service_s
    if begun <= 0:
        return order
    return min(order, max(math.ceil(now.running / slots), math.ceil(now.waiting / begun - 1e-9)))
