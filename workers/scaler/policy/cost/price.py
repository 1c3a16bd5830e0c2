"""How many jobs will be late with fewer pods than a model wants: what one pod more or less is worth.

It is the curve by which `staffing.py` finds the cheapest number of pods, and the jobs that wait, whose start each pod
brings nearer. Only asked if models want more together than there is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.scaler.policy.cost.lateness import lateness_by_atom
from workers.scaler.policy.situation import Situation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.scaler.policy.interface import Options, Snapshot
    from workers.scaler.policy.state import State


def late_jobs(snapshot: Snapshot, state: State, options: Options, replicas: Sequence[int]) -> list[float]:
    """Returns the jobs per second that will be late with each number of `replicas`, which must rise.

    `state` is the one that `decide` has returned for `snapshot`. The numbers never rise.
    Example: 10 jobs of 5 s wait, none comes, the objective is 5 s and the lead 31 s. A pod begins 1 + 36 / 5 = 8.2 of
    them within both: 0 pods leave 10 late in 36 s, which is 0.28/s, one pod leaves 0.05/s, and two leave none.
    """
    now = Situation.of(snapshot, state, options)
    forecast = state.arrivals.forecast(now.lead_s, now.lead_s)
    late = [] if now.can_wait else lateness_by_atom(now.service, forecast, now.lead_s, now.outstanding)
    until_s = now.lead_s + now.service.wait_s
    begins = now.service.slots * (1 + until_s / now.service.mean_s)
    found: list[float] = []
    for n in replicas:
        expected = sum([one.jobs(n) for one in late])
        behind = max(0.0, now.outstanding - n * begins) / until_s
        found.append(min([expected + behind, *found[-1:]]))
    return found
