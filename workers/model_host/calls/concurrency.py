"""How many jobs a model runs at once in one process: the attribute `max_concurrency` beside an async `predict`."""

from __future__ import annotations

import inspect
from typing import Any

from workers.model_host.calls.failures import NotLoadable

MOST_AT_ONCE = 1000


def max_concurrency_of(model: Any, setting: int) -> int:
    """Of a model, or of its class: `setting`, or what the model says if that is 0. 1 if the model can't do it.

    Raises NotLoadable for an attribute that is no such number, or that the model's methods can't heed.
    """
    said = getattr(model, "max_concurrency", 1)
    if type(said) is not int or not 1 <= said <= MOST_AT_ONCE:
        raise NotLoadable(f"max_concurrency must be a whole number from 1 to {MOST_AT_ONCE}, and is {said!r}")
    why = _hindrance(model)
    if why and said > 1:
        raise NotLoadable(f"max_concurrency is {said}, but {why}: only an async predict runs several jobs at once")
    return 1 if why else setting or said


def _hindrance(model: Any) -> str:
    """Why the model runs one job at a time; empty if it need not."""
    if callable(getattr(model, "predict_batch", None)):
        return "the model has predict_batch"
    predict = inspect.unwrap(getattr(model, "predict", None))  # type: ignore[arg-type]
    is_async = inspect.iscoroutinefunction(predict) or inspect.isasyncgenfunction(predict)
    return "" if is_async else "predict is not async"
