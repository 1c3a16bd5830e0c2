"""How a model wants its batches: the attributes `max_batch_size` and `max_batch_wait_s` beside `predict_batch`."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from workers.model_host.calls.failures import NotLoadable

# Of a model that has `predict_batch` and says no size.
USUAL_SIZE = 8
MOST_SIZE = 1000


class BatchTerms(NamedTuple):
    """What the model says; a size of 0 means that it has no `predict_batch`."""

    size: int = 0
    wait_s: float = 0.0


def terms_of(model: Any) -> BatchTerms:
    """Of a model, or of its class. Raises NotLoadable for attributes that are no such numbers."""
    if not callable(getattr(model, "predict_batch", None)):
        return BatchTerms()
    size, wait_s = getattr(model, "max_batch_size", USUAL_SIZE), getattr(model, "max_batch_wait_s", 0.0)
    if type(size) is not int or not 1 <= size <= MOST_SIZE:
        raise NotLoadable(f"max_batch_size must be a whole number from 1 to {MOST_SIZE}, and is {size!r}")
    if type(wait_s) not in (int, float) or not 0 <= wait_s < math.inf:
        raise NotLoadable(f"max_batch_wait_s must be a number of seconds, 0 or more, and is {wait_s!r}")
    return BatchTerms(size, float(wait_s))
