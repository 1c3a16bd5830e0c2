"""Says who got how much of the budget, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workers.scaler.budget.claims import Claim

_MOST_NAMED = 5


def explain(
    i: int,
    claims: Sequence[Claim],
    values: Sequence[Sequence[float]],
    targets: Sequence[int],
    grants: Sequence[int],
    budget: Mapping[str, float],
) -> str:
    """Returns why the `i`th model has less than it wants.

    Example: "the budget (8 pods) gives 3 of 5, 1 guaranteed: one more would save 0.04 late jobs/s here, the last of
    whisper saves 0.3; whisper has 4, llava 1".
    """
    claim, got = claims[i], grants[i]
    text = f"the budget ({_amounts(budget)}) gives {got} of {claim.wanted}"
    if claim.guaranteed:
        text += f", {claim.guaranteed} guaranteed"
    others = [j for j in range(len(claims)) if j != i and grants[j]]
    if got < targets[i]:
        text += f": {targets[i] - got} more when {_places(others, claims, grants)} that end are gone"
    elif others:
        text += f": one more would save {_jobs(claim, values[i], got + 1)} late jobs/s here"
        least = min(others, key=lambda j: _value(values[j], grants[j]))
        if grants[least] <= claims[least].wanted and not claims[least].unseen:
            text += f", the last of {claims[least].queue} saves {_jobs(claims[least], values[least], grants[least])}"
            if grants[least] <= claims[least].guaranteed:
                text += " and is guaranteed"
            elif grants[least] <= claims[least].busy:
                text += " and has a job"
    if others:
        named = [f"{claims[j].queue} {'has ' if k == 0 else ''}{grants[j]}" for k, j in enumerate(others[:_MOST_NAMED])]
        more = [f"{len(others) - _MOST_NAMED} others the rest"] if len(others) > _MOST_NAMED else []
        text += f"; {', '.join(named + more)}"
    return text


def _amounts(budget: Mapping[str, float]) -> str:
    return ", ".join(f"{amount:g} {name}" for name, amount in budget.items())


def _places(others: Sequence[int], claims: Sequence[Claim], grants: Sequence[int]) -> str:
    names = [claims[j].queue for j in others if claims[j].leaving or claims[j].there > grants[j]]
    return f"pods of {' and '.join(names[:_MOST_NAMED])}" if names else "pods"


def _value(values: Sequence[float], pod: int) -> float:
    return values[pod - 1] if 0 < pod <= len(values) else 0.0


def _jobs(claim: Claim, values: Sequence[float], pod: int) -> str:
    """Returns how many late jobs per second the `pod`th pod saves."""
    return f"{_value(values, pod) / claim.price_s if claim.price_s else 0.0:.2g}"
