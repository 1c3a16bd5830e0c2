"""The parameter of `predict` that gets the job: one that is annotated `Job`. It is part of no input and no schema."""

from __future__ import annotations

import inspect
import types
import typing
from inspect import Parameter
from typing import TYPE_CHECKING, Any, NamedTuple

from workers.job import Job
from workers.model_host.calls.inputs.annotations import evaluated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_UNIONS = (typing.Union, types.UnionType)


class JobParameter(NamedTuple):
    """Its `place` among the positional arguments, None if it goes by its name.

    `input_name` is the name by which the whole input goes to the other parameter, empty if that has no name or there
    are several.
    """

    name: str
    place: int | None
    input_name: str

    def added(self, positional: list[Any], named: dict[str, Any], job: Job) -> tuple[list[Any], dict[str, Any]]:
        """The arguments of an input, and the job."""
        if self.input_name:
            positional, named = [], {self.input_name: positional[0]}
        if self.place is None:
            return positional, {**named, self.name: job}
        return [*positional[: self.place], job, *positional[self.place :]], named


def job_parameter_of(predict: Callable[..., Any]) -> JobParameter | None:
    """The one of a function or method; None if it has none."""
    function = inspect.unwrap(predict)
    function = inspect.unwrap(getattr(function, "__func__", function))
    if not inspect.isfunction(function):
        return None
    parameters = list(inspect.signature(predict).parameters.values())
    found = next((one for one in parameters if is_job(one, function.__globals__)), None)
    if found is None:
        return None
    others = [one for one in parameters if one is not found]
    place = None
    if found.kind is Parameter.POSITIONAL_ONLY:
        place = [one.name for one in parameters if one.kind is Parameter.POSITIONAL_ONLY].index(found.name)
    is_whole = len(others) == 1 and others[0].kind is Parameter.POSITIONAL_OR_KEYWORD
    return JobParameter(found.name, place, others[0].name if is_whole else "")


def without_job(parameters: Iterable[Parameter], names: dict[str, Any]) -> list[Parameter]:
    """The parameters that an input is bound to. `names` are those of the function's module."""
    return [one for one in parameters if not is_job(one, names)]


def is_job(parameter: Parameter, names: dict[str, Any]) -> bool:
    """Whether it is annotated `Job`, or `Job | None`, also in quotes."""
    written = parameter.annotation
    if isinstance(written, str) and Job.__name__ not in written:
        return False
    try:
        annotation = evaluated(parameter, names) if isinstance(written, str) else written
    except Exception:  # noqa: BLE001 - whatever it evaluates: it is told of where parameters are bound
        return False
    if typing.get_origin(annotation) in _UNIONS:
        return any(one is Job for one in typing.get_args(annotation))
    return annotation is Job
