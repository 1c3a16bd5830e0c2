"""Puts what the models' scalers have seen and decided before the budget, and takes what each gets back to them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from workers.scaler.budget import Claim, share
from workers.scaler.policy import late_jobs
from workers.scaler.reporting.facts import BudgetShare

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workers.scaler.models.one_model import ModelScaler


@dataclass(frozen=True, slots=True)
class BudgetPart:
    """What one model may count on, and what one of its pods takes of each resource."""

    guaranteed: int
    takes: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Budget:
    """`amounts` by resource, and the parts of the models by queue."""

    amounts: Mapping[str, float]
    parts: Mapping[str, BudgetPart]


def share_among(scalers: Sequence[ModelScaler], budget: Budget) -> None:
    """Replaces what the scalers have decided by what the budget gives them, if this process leads."""
    asking = [scaler for scaler in scalers if scaler.status.leads]
    claims = [claim_of(scaler, budget.parts[scaler.queue]) for scaler in asking]
    for scaler, claim, grant in zip(asking, claims, share(claims, budget.amounts), strict=True):
        scaler.status.denied = max(0, claim.wanted - grant.replicas)
        part = budget.parts[scaler.queue]
        scaler.status.share = BudgetShare(claim.wanted, part.guaranteed, part.takes, budget.amounts, grant.reason)
        if scaler.decider is not None and not claim.unseen:
            scaler.status.decision = scaler.decider.grant(grant.replicas, grant.reason)


def claim_of(scaler: ModelScaler, part: BudgetPart) -> Claim:
    """Returns what a model asks for, by what its scaler has seen and decided."""
    decider, decision, seen = scaler.decider, scaler.status.decision, scaler.status.replicas
    total, ordered, leaving = (seen.total, seen.ordered, seen.leaving) if seen is not None else (0, 0, 0)
    # The last round's order may not have been carried out yet: KEDA's HPA asks every 15 s. If it was for more pods than
    # before, they may still come. If it was for fewer, none has been told to go, and the model may have them back.
    granted = max(ordered, decider.last_replicas if decider is not None else 0)
    there = max(total, granted)
    snapshot, state = (decider.snapshot, decider.state) if decider is not None else (None, None)
    if decision is None or decision.held or seen is None or snapshot is None or state is None:
        kept = decision.replicas if decision is not None else there
        return Claim(scaler.queue, kept, kept, max(there, kept), leaving, kept, 0, part.takes, _nothing, 0.0, True)
    # A pod that is leaving and still runs a job counts too, so that no other one with a job is taken for idle.
    busy = min(seen.ready, scaler.busy)
    late = partial(late_jobs, snapshot, state, scaler.options)
    price_s = scaler.options.late_price_s(state.services.mean_s)
    return Claim(
        scaler.queue, decision.replicas, granted, there, leaving, busy, part.guaranteed, part.takes, late, price_s
    )


def _nothing(replicas: Sequence[int]) -> list[float]:
    return [0.0] * len(replicas)
