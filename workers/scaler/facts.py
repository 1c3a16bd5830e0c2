"""What the leader tells of itself beside its decision, for those who look at the queue (JSON in Redis).

Other releases read it: unknown members are ignored, missing ones are not shown.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from workers.scaler.policy import Options, State


def dump_facts(state: State, options: Options) -> bytes:
    """Returns JSON: objective, start-up and service time as they are reckoned with, in seconds, and the limits."""
    service_s = state.services.mean_s
    seconds = {"objective_s": options.wait_s(service_s), "startup_s": state.startup_s, "service_s": service_s}
    finite = {name: round(value, 3) for name, value in seconds.items() if math.isfinite(value)}
    return orjson.dumps({**finite, "min_replicas": options.min_replicas, "max_replicas": options.max_replicas})
