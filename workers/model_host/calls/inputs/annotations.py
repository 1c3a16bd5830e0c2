"""The annotations of `predict`, as checks of what was pushed. pydantic is imported if there is one that needs it."""

from __future__ import annotations

import collections.abc
import inspect
import typing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias

from workers.file import is_brought, takes_files
from workers.model_host.calls.failures import NotLoadable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import TypeAdapter

    from workers.model_host.calls.inputs.faults import Faults

    Path: TypeAlias = list[str | int]

# pydantic's names of what is wrong with a value that is no array.
_LISTS_WANTED = ("list_type", "tuple_type", "set_type", "frozen_set_type")
_LISTS = (list, collections.abc.Sequence, collections.abc.Collection, collections.abc.Iterable)


def check_of(parameter: inspect.Parameter, names: dict[str, Any]) -> Check | None:
    """The check of what a parameter gets; None if it takes anything. `names` are those of the function's module.

    Raises NotLoadable if pydantic knows no way from JSON to the annotation.
    """
    if _is_anything(parameter.annotation):
        return None
    try:
        annotation = evaluated(parameter, names)
        return None if _is_anything(annotation) else Check(annotation)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - of pydantic, or of what an annotation in quotes evaluates
        raise NotLoadable(_sentence(parameter, error)) from None


def item_check_of(parameter: inspect.Parameter, names: dict[str, Any]) -> Check | None:
    """The check of each input that a parameter of `predict_batch` gets in its list; None if it takes anything.

    Raises NotLoadable if the annotation is no list, or pydantic knows no way from JSON to its items.
    """
    annotation = parameter.annotation
    if _is_anything(annotation):
        return None
    try:
        annotation = _items_of(evaluated(parameter, names))
        if annotation is None:
            raise NotLoadable(
                f"the parameter {parameter.name} of predict_batch gets a list of inputs: annotate it with a list, such "
                "as list[str]"
            )
        return None if _is_anything(annotation) else Check(annotation)
    except (MemoryError, NotLoadable):
        raise
    except Exception as error:  # noqa: BLE001 - as above
        raise NotLoadable(_sentence(parameter, error, "predict_batch")) from None


def evaluated(parameter: inspect.Parameter, names: dict[str, Any]) -> Any:
    """A parameter's annotation, which may be in quotes. Raises what evaluating it raises."""
    hints = SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
    return typing.get_type_hints(hints, names, include_extras=True)[parameter.name]


def _items_of(annotation: Any) -> Any:
    """What a list is annotated to hold; None if it is no list."""
    if typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    if (typing.get_origin(annotation) or annotation) not in _LISTS:
        return None
    return (*typing.get_args(annotation), Any)[0]


def _is_anything(annotation: Any) -> bool:
    return annotation is inspect.Parameter.empty or annotation is Any or annotation is object


class Check:
    """A check by pydantic. `type` is the annotation, as pydantic has it; `takes_files` if there is a File in it."""

    def __init__(self, annotation: Any) -> None:
        # It takes 100 ms to import, which a model without annotations must not pay.
        from pydantic import TypeAdapter, ValidationError

        self.type: TypeAdapter[Any] = TypeAdapter(annotation)
        if not self.type.pydantic_complete:
            self.type.rebuild()  # raises what pydantic would say at the first input only
        self.takes_files = takes_files(self.type.core_schema)
        self._error = ValidationError

    def __call__(self, value: Any, path: Path, faults: Faults) -> Any:
        """The value as the annotation wants it. If that can't be, adds to the faults; the path leads to the value."""
        try:
            return self._made_of(value)
        except self._error as error:
            for one in error.errors(include_url=False, include_context=False, include_input=False):
                faults.add([*path, *_place_in(value, one["loc"], one["type"] == "missing")], one["msg"])
            return None

    def _made_of(self, value: Any) -> Any:
        try:
            return self.type.validate_python(value)
        except self._error as error:
            if not self.takes_files:
                raise
            wanted = [one["loc"] for one in error.errors(include_url=False) if one["type"] in _LISTS_WANTED]
            several = value
            for location in wanted:
                several = _as_list(several, _place_in(value, location, is_missing=False))
            if not wanted:
                raise
            return self.type.validate_python(several)


def _as_list(value: Any, place: Path) -> Any:
    """The value with the file at a place in a list of its own: a form with one part can't say that it is a list."""
    if not place:
        return [value] if is_brought(value) else value
    copy = value.copy()
    copy[place[0]] = _as_list(value[place[0]], place[1:])
    return copy


def _place_in(value: Any, location: Sequence[str | int], is_missing: bool) -> Path:
    """The path in the value that pydantic means. Its own names the alternatives of unions, and keys as `[key]`, too."""
    path: Path = []
    for index, part in enumerate(location):
        if isinstance(value, dict) and str(part) in value:
            path.append(str(part))
            value = value[str(part)]
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            path.append(part)
            value = value[part]
        elif is_missing and index == len(location) - 1:
            path.append(part)
    return path


def _sentence(parameter: inspect.Parameter, error: Exception, method: str = "predict") -> str:
    written = parameter.annotation
    shown = written.strip("'\"") if isinstance(written, str) else inspect.formatannotation(written)
    why = " ".join(str(error).partition(". ")[0].partition("\n")[0].split())  # the rest is advice for others
    return (
        f"the parameter {parameter.name} of {method} is annotated {shown}, which can't be made of JSON "
        f"({type(error).__name__}: {why}): annotate it with what clients push, such as list[float], or with Any to get "
        "that as it is"
    )
