"""Finds the class that `MODEL` names and makes the model of it."""

from __future__ import annotations

import importlib
import inspect
import os
import traceback
from types import MethodType
from typing import TYPE_CHECKING, Any

from workers.model_host.calls.batch_call import check_of_inputs
from workers.model_host.calls.concurrency import max_concurrency_of
from workers.model_host.calls.failures import NotLoadable
from workers.model_host.calls.inputs.binding import binder_of
from workers.model_host.calls.model_file import import_file, is_file_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.model_host.calls.event_loop import EventLoop

_METHODS = ("predict", "predict_batch", "close", "health")
# Frames of what imports a module, which say nothing about its own code.
_FOLDERS_OF_IMPORTS = {os.path.dirname(importlib.__file__), os.path.dirname(__file__)}


def load(name: str, loop: EventLoop | None) -> Any:
    """The model of a name such as `module:Class` or `/path/to/file.py:Class`.

    The loop is opened before an async model is made; None opens none, as it could not be forked. Raises NotLoadable if
    there is no such model, or it has neither `predict` nor `predict_batch`, and whatever its constructor raises.
    """
    module, _, attribute = name.rpartition(":")
    try:
        make = getattr(_module(module), attribute)
    except (ImportError, SyntaxError, AttributeError) as error:
        raise _not_loadable(error) from None
    if not callable(make):
        raise NotLoadable(f"{name} is no class")
    _check(make)
    if loop is not None and _is_async(make):
        loop.open()  # the constructor may make what needs one
    try:
        model = make()
    except ImportError as error:  # it is not there at the next try either
        raise _not_loadable(error) from None
    if not any(callable(getattr(model, method, None)) for method in ("predict", "predict_batch")):
        raise NotLoadable(f"{name} has no method predict")
    return model


def _module(name: str) -> Any:
    return import_file(name) if is_file_name(name) else importlib.import_module(name)


def _check(make: Callable[..., Any]) -> None:
    """Raises NotLoadable if the parameters can't be served: a constructor may take minutes, so this goes first."""
    predict = inspect.getattr_static(make, "predict", None) if inspect.isclass(make) else None
    if inspect.isfunction(predict):
        binder_of(MethodType(predict, make))
    predict_batch = inspect.getattr_static(make, "predict_batch", None) if inspect.isclass(make) else None
    if inspect.isfunction(predict_batch):
        check_of_inputs(MethodType(predict_batch, make))
    if inspect.isclass(make) and type(inspect.getattr_static(make, "max_concurrency", None)) is int:
        max_concurrency_of(make, 0)


def _is_async(make: Callable[..., Any]) -> bool:
    methods = [getattr(make, method, None) for method in _METHODS]
    return any(inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method) for method in methods)


def _not_loadable(error: Exception) -> NotLoadable:
    return NotLoadable(f"{type(error).__name__}: {error}{_place(error)}")


def _place(error: Exception) -> str:
    """The place in the model's own code where an import failed, in brackets; empty if it is not known."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    own = [frame for frame in frames if os.path.dirname(frame.filename) not in _FOLDERS_OF_IMPORTS]
    return f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""
