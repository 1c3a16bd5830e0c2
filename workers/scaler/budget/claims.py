"""What a model asks of the budget, and what it gets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# An amount that is left by rounding is none.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Claim:
    """One model at one time; all counts are of pods."""

    queue: str
    wanted: int  # by its policy
    granted: int  # by the last round, or by the round before if its order has not been carried out yet
    there: int  # `granted`, or more: those beyond will go, as the last round has ordered
    leaving: int  # that have been told to go, and still take their part
    busy: int  # of those that are there, with a job
    guaranteed: int  # that it may have whenever it wants them
    takes: Mapping[str, float]  # of each resource, by one pod
    late: Callable[[Sequence[int]], Sequence[float]]  # jobs/s that are late with each of these rising numbers
    price_s: float  # of a late job, in pod-seconds
    unseen: bool = False  # queue or pods can't be seen: it keeps what it has

    def occupied(self, replicas: int) -> int:
        """Returns how many pods may take a part at one time while it is scaled to `replicas`.

        Example: 11 are there, 0 were granted, 2 are now: the 11 may go for the last order while 2 come for this one.
        """
        return self.there + max(0, replicas - self.granted) + self.leaving


@dataclass(frozen=True, slots=True)
class Grant:
    """The pods that a model is to have; `reason` is empty if it has all that it wants."""

    replicas: int
    reason: str = ""


class BudgetRoom:
    """What is left of a budget. A resource that the budget doesn't name is without limit."""

    def __init__(self, budget: Mapping[str, float]) -> None:
        self._budget = budget
        self._left = dict(budget)

    def take(self, claim: Claim, pods: int) -> None:
        """Takes it, whether there is as much or not."""
        for resource in self._left:
            self._left[resource] -= pods * claim.takes.get(resource, 0.0)

    def fits(self, claim: Claim) -> bool:
        """Whether there is enough for one pod more."""
        return all(left >= claim.takes.get(name, 0.0) - self._slack(name) for name, left in self._left.items())

    def over(self) -> bool:
        """Whether more has been taken than there was."""
        return any(left < -self._slack(name) for name, left in self._left.items())

    def part(self, claim: Claim) -> float:
        """Returns the part that one pod takes of the resource that it takes most of; 1 is all of the budget."""
        parts = [claim.takes.get(name, 0.0) / amount if amount else math.inf for name, amount in self._budget.items()]
        return max(parts, default=0.0)

    def _slack(self, name: str) -> float:
        return _ROUNDING * max(1.0, self._budget[name])
