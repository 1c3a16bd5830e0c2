"""What the leader tells of itself beside its decision, for those who look at the queue (JSON in Redis).

Other releases read it: unknown members are ignored, missing ones are not shown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workers.scaler.policy import Options, State


@dataclass(frozen=True, slots=True)
class BudgetShare:
    """What a model wanted of the budget, and why it got less; `reason` is empty if it got all of it.

    `budget` are the amounts that all models share, by resource. What it got is in its decision.
    """

    wanted: int
    guaranteed: int
    takes: Mapping[str, float]
    budget: Mapping[str, float]
    reason: str = ""


def dump_facts(
    state: State, options: Options, share: BudgetShare | None = None, parts_s: Mapping[str, float] | None = None
) -> bytes:
    """Returns JSON: objective, start-up and service time as they are reckoned with, in seconds, and the limits.

    With a budget it has `share`, too: an object of the fields of BudgetShare. Where the parts of a start are known
    `startup_parts_s` has their seconds by name.
    """
    service_s = state.services.mean_s
    seconds = {"objective_s": options.wait_s(service_s), "startup_s": state.startup_s, "service_s": service_s}
    finite = {name: round(value, 3) for name, value in seconds.items() if math.isfinite(value)}
    facts = {**finite, "min_replicas": options.min_replicas, "max_replicas": options.max_replicas}
    known = {"startup_parts_s": parts_s} if parts_s else {}
    return orjson.dumps({**facts, **known} if share is None else {**facts, **known, "share": share})
