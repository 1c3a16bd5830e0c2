"""Pods that are kept idle and loaded for jobs that nobody foresees, beyond those that will be busy.

For models whose start is minutes: what a forecast misses waits for all of that time. A standby is an ordinary pod, and
those that the policy orders or holds for its own reasons count: 2 on standby beyond 1 that is busy are 3 pods, whatever
each of them is for.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.scaler.policy.situation import Situation


def busy_then(situation: Situation, rate: float, concurrency: int) -> float:
    """Returns how many pods will be busy when one that is ordered now is ready, if `rate` jobs/s come until then.

    Of the jobs that run, and of those that come, some will have ended by then: a service is taken to have no memory
    (the mean of M/M/infinity after a time). So a short job orders no pod that would be ready long after its end.
    Example: lead 121 s, 0.05 jobs/s of 5 s: 0.25, though one runs just now. With jobs of 600 s, of which two run:
    2 * 0.82 + 0.05 * 600 * 0.18 = 7.1.
    """
    left = math.exp(-situation.lead_s / situation.service_s)
    return (situation.running * left + rate * situation.service_s * (1 - left)) / concurrency


def standing_by(standby: int, busy: float) -> int:
    """Returns how many pods there must be with `standby` idle ones beyond those `busy`, rounded."""
    return standby + math.floor(busy + 0.5)
