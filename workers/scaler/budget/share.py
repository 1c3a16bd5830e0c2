"""Shares a budget among models: a pure function of what each wants, has, and would lose.

Who comes first, pod by pod, until nothing fits any more:

1. a model that can't be seen: it keeps what it has;
2. a model's guaranteed share, as far as it wants it;
3. pods with a job: they are not taken away for another model's gain;
4. all others by what a pod saves, in the price of late jobs, for the part of the budget that it takes (`worth.py`).

Pods that are let go take their part until they are gone, and nobody else gets it before. So what is ordered and what is
there together never exceed the budget, if they did not before.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from workers.scaler.budget.claims import BudgetRoom, Grant
from workers.scaler.budget.words import explain
from workers.scaler.budget.worth import bid, worth

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workers.scaler.budget.claims import Claim

_UNSEEN, _GUARANTEED, _BUSY, _REST = range(4)


def share(claims: Sequence[Claim], budget: Mapping[str, float]) -> list[Grant]:
    """Returns what each model gets, in the order of `claims`. Nobody gets more than it wants.

    Example: a budget of 8 pods; A wants 9 and has 8, all of them with a job; B wants 2, of which 1 is guaranteed. B
    gets one as soon as a pod of A has ended its job and is gone, and a second one when A wants less.
    """
    if _fits(claims, [claim.wanted for claim in claims], budget):
        return [Grant(claim.wanted) for claim in claims]
    values = [worth(claim) for claim in claims]
    targets = _targets(claims, values, budget)
    grants = _in_turn(claims, values, targets, budget)
    return [
        Grant(grants[i], explain(i, claims, values, targets, grants, budget) if grants[i] < claim.wanted else "")
        for i, claim in enumerate(claims)
    ]


def _fits(claims: Sequence[Claim], replicas: Sequence[int], budget: Mapping[str, float]) -> bool:
    """Whether there is room for so many, while all that are there or leaving are still there."""
    room = BudgetRoom(budget)
    for claim, number in zip(claims, replicas, strict=True):
        room.take(claim, claim.occupied(number))
    return not room.over()


def _targets(claims: Sequence[Claim], values: Sequence[Sequence[float]], budget: Mapping[str, float]) -> list[int]:
    """Returns how many each model should have once all have come and gone."""
    room, targets = BudgetRoom(budget), [0] * len(claims)

    def next_of(i: int) -> tuple[int, float, int, int]:
        return (*_turn(claims[i], targets[i] + 1, values[i], room.part(claims[i])), targets[i] + 1, i)

    waiting = [next_of(i) for i, claim in enumerate(claims) if claim.wanted > 0]
    heapify(waiting)
    while waiting:
        i = heappop(waiting)[-1]
        if not room.fits(claims[i]):
            continue
        room.take(claims[i], 1)
        targets[i] += 1
        if targets[i] < claims[i].wanted:
            heappush(waiting, next_of(i))
    return targets


def _turn(claim: Claim, pod: int, values: Sequence[float], part: float) -> tuple[int, float]:
    """Returns the place in the order of a model's `pod`th pod: the smallest comes first."""
    if claim.unseen and pod <= claim.granted:
        return _UNSEEN, 0.0
    if pod <= claim.guaranteed:
        return _GUARANTEED, 0.0
    if pod <= claim.busy:
        return _BUSY, 0.0
    return _REST, -bid(claim, pod, values[pod - 1]) / part if part else 0.0


def _in_turn(
    claims: Sequence[Claim], values: Sequence[Sequence[float]], targets: Sequence[int], budget: Mapping[str, float]
) -> list[int]:
    """Returns what each gets now: less at once, more as soon as those that go are gone."""
    room, grants = (
        BudgetRoom(budget),
        [min(claim.granted, target) for claim, target in zip(claims, targets, strict=True)],
    )
    for claim, grant in zip(claims, grants, strict=True):
        room.take(claim, claim.occupied(grant))
    waiting = [
        (*_turn(claims[i], pod, values[i], room.part(claims[i])), pod, i)
        for i, target in enumerate(targets)
        for pod in range(grants[i] + 1, target + 1)
    ]
    for *_, pod, i in sorted(waiting):
        claim = claims[i]
        if pod == grants[i] + 1 and room.fits(claim):
            room.take(claim, claim.occupied(pod) - claim.occupied(grants[i]))
            grants[i] = pod
    return grants
