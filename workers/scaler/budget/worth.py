"""What each pod is worth to a model, and what one that it has must be outbid by."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from workers.scaler.policy.cost.staffing import KEEP_STARTUPS, numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.scaler.budget.claims import Claim

# Start-ups, in the time for which a pod that moves is reckoned to stay where it comes to: while it starts it serves
# nobody. Derived from KEEP_STARTUPS.
# Example: start-up 30 s: a pod that moves costs a start in 60 s, which is half a pod.
STARTS = 1 / KEEP_STARTUPS


def worth(claim: Claim) -> list[float]:
    """Returns what the 1st, 2nd, ... pod up to the wanted one saves: late jobs at their price, in pods. None rises.

    Late jobs may not fall evenly: of 10 pods that are needed to keep up the first 9 may save nothing by themselves. A
    pod is worth the mean of those up to the best number beyond it, as without it none of them would be reached.
    Example: 4, 4, 0 and 0 late jobs/s with 0, 1, 2 and 3 pods, at a price of 6: both first pods are worth 12.
    """
    if claim.wanted <= 0:
        return []
    at = [0, *numbers(1, claim.wanted)]
    saved = [claim.price_s * -late for late in claim.late(at)]
    found: list[float] = []
    for left, right in _hull(at, saved):
        slope = (saved[right] - saved[left]) / (at[right] - at[left])
        found += [max(0.0, slope)] * (at[right] - at[left])
    return found


def _hull(at: Sequence[int], saved: Sequence[float]) -> list[tuple[int, int]]:
    """Returns the pieces of the least concave line above the points, each as the indices of its ends."""
    kept: list[int] = []
    for i in range(len(at)):
        while len(kept) >= 2 and _below(at, saved, kept[-2], kept[-1], i):
            kept.pop()
        kept.append(i)
    return list(pairwise(kept))


def _below(at: Sequence[int], saved: Sequence[float], a: int, b: int, c: int) -> bool:
    return (saved[b] - saved[a]) * (at[c] - at[a]) <= (saved[c] - saved[a]) * (at[b] - at[a])


def bid(claim: Claim, pod: int, value: float) -> float:
    """Returns what the `pod`th pod of a model counts. One that it has counts more: moving must pay for the start.

    Until the pod that takes its place is ready, nobody has either of them.
    Example: a pod that is worth 2 is outbid by one that is worth more than 2 * 1.5 + 0.5 = 3.5.
    """
    return value * (1 + STARTS) + STARTS if pod <= claim.granted else value
