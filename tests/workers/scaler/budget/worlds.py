"""Models whose pods come and go as the budget says, for tests of the budget alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workers.scaler.budget import Claim, Grant, share

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass
class BudgetedModel:
    """Late jobs fall by `saves` with each pod until `wanted` are there. Leaving pods take `drain` steps.

    If it is `slow`, an order is carried out a step later, when another one may have been given already. One that is
    `polled` carries out the latest order, and only in steps in which it `asks`, as KEDA's HPA does.
    """

    name: str
    wanted: int
    saves: float = 1.0  # late jobs/s, by each pod
    guaranteed: int = 0
    takes: Mapping[str, float] = field(default_factory=lambda: {"pods": 1.0})
    busy: int = 0  # pods, as far as there are so many
    drain: int = 1
    granted: int = 0
    there: int = 0
    leaving: list[int] = field(default_factory=list)  # steps that are left, each
    unseen: bool = False
    slow: bool = False
    ordered: int = 0  # what is carried out next if it is slow
    polled: bool = False
    asks: bool = True
    moves: int = 0  # pods that were taken away

    def late(self, replicas: Sequence[int]) -> list[float]:
        return [self.saves * max(0, self.wanted - n) for n in replicas]

    def claim(self) -> Claim:
        busy = min(self.busy, self.there)
        wanted = self.granted if self.unseen else self.wanted
        there = max(self.there, self.granted)
        granted = there if self.polled else self.granted
        return Claim(
            self.name, wanted, granted, there, len(self.leaving), busy, self.guaranteed, self.takes,
            self.late, 60.0, self.unseen,
        )  # fmt: skip

    def take(self, grant: Grant) -> None:
        replicas = self.ordered if self.slow else grant.replicas if self.asks else self.there
        self.granted = self.ordered = grant.replicas
        gone = max(0, self.there - replicas)
        self.moves += gone
        self.there = replicas
        self.leaving = [left - 1 for left in self.leaving if left > 1] + [self.drain] * (gone if self.drain else 0)


def step(models: Sequence[BudgetedModel], budget: Mapping[str, float]) -> list[Grant]:
    """One round: the budget is shared and carried out at once."""
    grants = share([model.claim() for model in models], budget)
    for model, grant in zip(models, grants, strict=True):
        model.take(grant)
    return grants


def settle(models: Sequence[BudgetedModel], budget: Mapping[str, float], steps: int = 30) -> list[int]:
    """The grants after so many rounds."""
    for _ in range(steps):
        step(models, budget)
    return [model.granted for model in models]


def used(models: Sequence[BudgetedModel], resource: str) -> float:
    """What all pods take, the leaving ones included."""
    return math.fsum((model.there + len(model.leaving)) * model.takes.get(resource, 0.0) for model in models)
