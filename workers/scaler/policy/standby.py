"""Pods that are kept idle and loaded for jobs that nobody foresees, beyond those that will be busy.

For models whose start is minutes: what a forecast misses waits for all of that time. A standby is an ordinary pod, and
those that the policy orders or holds for its own reasons count: 2 on standby beyond 1 that is busy are 3 pods, whatever
each of them is for.

With a price, an idle pod costs that part of a pod: as many stand by as save more than they cost, by the price of late
jobs. Without one, as many as are wanted stand by, whatever comes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from workers.scaler.policy.cost.staffing import numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from workers.scaler.policy.interface import Options
    from workers.scaler.policy.situation import Situation


def busy_then(situation: Situation, rate: float) -> float:
    """Returns how many pods will be busy when one that is ordered now is ready, if `rate` jobs/s come until then.

    Of the jobs that run, and of those that come, some will have ended by then: a service is taken to have no memory
    (the mean of M/M/infinity after a time). So a short job orders no pod that would be ready long after its end.
    Example: lead 121 s, 0.05 jobs/s of 5 s: 0.25, though one runs just now. With jobs of 600 s, of which two run:
    2 * 0.82 + 0.05 * 600 * 0.18 = 7.1.
    """
    service = situation.service
    left = math.exp(-situation.lead_s / service.mean_s)
    return (situation.running * left + rate * service.mean_s * (1 - left)) / service.slots


def standing_by(standby: int, busy: float) -> int:
    """Returns how many pods there must be with `standby` idle ones beyond those `busy`, rounded."""
    return standby + math.floor(busy + 0.5)


def with_standbys(
    order: int,
    busy: float,
    situation: Situation,
    options: Options,
    late: Callable[[Sequence[int]], Sequence[float]],
) -> tuple[int, str]:
    """Returns `order`, or more with those that stand by beyond the `busy` ones, up to the limit; and why, in words.

    The words go on from "needs 1". `late` tells the jobs/s that are late with rising numbers of pods. It is asked only
    if standbys have a price.
    """
    most = min(options.max_replicas, standing_by(options.standby, min(busy, options.max_replicas)))
    if situation.unplaced:
        most = min(most, situation.pods)
    if not options.standby or most <= order:
        return order, ""
    if not options.standby_price:
        return most, f", and {options.standby} on standby beyond {busy:.2g} busy make it {most}"
    pods, saved = worth_their_price(order, most, options.standby_price, situation.service.late_price_s, late)
    each = f"{options.standby_price:g} of a pod"
    if pods == order:
        return order, f", and no standby at {each} is worth the late jobs that it would save"
    return pods, f", and {pods - order} on standby at {each} save {saved:.2g} late jobs/s"


def worth_their_price(
    order: int, most: int, price: float, late_price_s: float, late: Callable[[Sequence[int]], Sequence[float]]
) -> tuple[int, float]:
    """Returns the cheapest number of pods from `order` to `most`, and how many late jobs/s those beyond `order` save.

    These cost `price` each, as a part of a pod, and a late job costs `late_price_s` pod-seconds. Of several the fewest.
    Example: a job of 5 s every 333 s, each of them late without a pod, at a price of 60 pod-seconds: 0.18 pods. One pod
    saves all of it, so it is worth its price if that is 0.1, and not if it is 0.2.
    """
    at = [order, *numbers(order + 1, most)]
    jobs = late(at)
    costs = [price * (n - order) + late_price_s * each for n, each in zip(at, jobs, strict=True)]
    best = costs.index(min(costs))
    return at[best], jobs[0] - jobs[best]
