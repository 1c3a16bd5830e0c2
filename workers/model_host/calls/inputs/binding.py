"""From a job's input to the arguments of `predict`, by its parameters. The table: docs/model.md."""

from __future__ import annotations

import inspect
from inspect import Parameter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from workers.model_host.calls.failures import NotLoadable
from workers.model_host.calls.inputs.annotations import check_of
from workers.model_host.calls.inputs.faults import Faults
from workers.model_host.calls.inputs.job_parameter import without_job

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from workers.model_host.calls.inputs.annotations import Check

    Arguments: TypeAlias = tuple[list[Any], dict[str, Any]]
    Binder: TypeAlias = "WholeInput | Members"

_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_JSON_NAMES = {list: "an array", str: "a text", bool: "true or false", int: "a number", float: "a number"}


def binder_of(predict: Callable[..., Any]) -> Binder | None:
    """What makes the arguments of an input; it raises InputRefused. None if the input is the one argument as it is.

    Raises NotLoadable if the parameters can't be served.
    """
    function = inspect.unwrap(predict)
    function = inspect.unwrap(getattr(function, "__func__", function))
    if not inspect.isfunction(function):
        return None  # an object that can be called, such as a module of torch: its parameters say little
    everything = list(inspect.signature(predict).parameters.values())
    parameters = without_job(everything, function.__globals__)
    if any(parameter.kind is Parameter.VAR_POSITIONAL for parameter in parameters):
        raise NotLoadable(
            "predict has a parameter *args, but the members of an input have names: name its parameters "
            "(a decorator keeps them by functools.wraps)"
        )
    for parameter in parameters:
        _check_default(parameter)
    checks = {parameter.name: check_of(parameter, function.__globals__) for parameter in parameters}
    if len(parameters) == 1 and parameters[0].kind in _POSITIONAL:
        check = checks[parameters[0].name]
        return None if check is None else WholeInput(check)
    return Members(
        [ParameterPlace(one.name, one.kind, one.default, checks[one.name]) for one in parameters],
        {*_self_of(predict), *(one.name for one in everything if one not in parameters and _has_name(one))},
    )


def _check_default(parameter: Parameter) -> None:
    """Raises NotLoadable for what describes a default in other frameworks; `predict` would get the description."""
    if type(parameter.default).__module__ == "pydantic.fields":
        raise NotLoadable(
            f"the default of the parameter {parameter.name} of predict is a {type(parameter.default).__name__}, and no "
            f"value: write {parameter.name}: Annotated[..., Field(...)] = VALUE"
        )


def _self_of(predict: Callable[..., Any]) -> list[str]:
    """What a method calls its instance: no member may have this name."""
    if not inspect.ismethod(predict):
        return []
    first = next(iter(inspect.signature(predict.__func__).parameters.values()))
    return [first.name] if _has_name(first) else []


def _has_name(parameter: Parameter) -> bool:
    """Whether an argument may be given by its name."""
    return parameter.kind is not Parameter.POSITIONAL_ONLY


class WholeInput:
    """The input is the one argument, as its annotation wants it."""

    def __init__(self, check: Check) -> None:
        self.check = check

    @property
    def files(self) -> tuple[str, ...]:
        """The members that may have files; an empty name is the whole input."""
        return ("",) if self.check.takes_files else ()

    def __call__(self, value: Any) -> Arguments:
        faults = Faults()
        argument = self.check(value, [], faults)
        faults.check()
        return [argument], {}


class ParameterPlace(NamedTuple):
    """One parameter."""

    name: str
    kind: Any
    default: Any
    check: Check | None

    def checked(self, value: Any, name: str, faults: Faults) -> Any:
        """The argument that a member of this name gives."""
        return value if self.check is None else self.check(value, [name], faults)


class Members:
    """The input is an object, and its members are the arguments.

    `rest` gets all members that `places` has no name for, unless it is None; never one of the names `taken`.
    """

    def __init__(self, places: list[ParameterPlace], taken: Collection[str]) -> None:
        self.rest = next((place for place in places if place.kind is Parameter.VAR_KEYWORD), None)
        self.places = {place.name: place for place in places if place is not self.rest}
        self._names = ", ".join(self.places)
        self.taken = taken

    @property
    def files(self) -> tuple[str, ...]:
        """The members that may have files. If other members than the named ones may, it is the whole input: ''."""
        if self.rest is not None and self.rest.check is not None and self.rest.check.takes_files:
            return ("",)
        return tuple(name for name, place in self.places.items() if place.check is not None and place.check.takes_files)

    def __call__(self, value: Any) -> Arguments:
        faults = Faults()
        if not isinstance(value, dict):
            found = _JSON_NAMES.get(type(value), "null")
            wanted = f" with the members {self._names}" if self.places else ""
            faults.add([], f"an object is wanted{wanted}, and this is {found}")
        else:
            arguments = self._arguments(value, faults)
        faults.check()
        return arguments

    def _arguments(self, members: Mapping[str, Any], faults: Faults) -> Arguments:
        positional: list[Any] = []
        named: dict[str, Any] = {}
        for name, place in self.places.items():
            if name in members:
                argument = place.checked(members[name], name, faults)
            elif place.default is Parameter.empty:
                faults.add([name], "this member is missing")
                continue
            elif place.kind is Parameter.POSITIONAL_ONLY:
                argument = place.default
            else:
                continue
            if place.kind is Parameter.POSITIONAL_ONLY:
                positional.append(argument)
            else:
                named[name] = argument
        for name in [name for name in members if name not in self.places]:
            if self.rest is None or name in self.taken:
                faults.add([name], f"predict has no such parameter{f', only {self._names}' if self._names else ''}")
            else:
                named[name] = self.rest.checked(members[name], name, faults)
        return positional, named
