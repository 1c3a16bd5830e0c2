"""The return annotation of `predict`: what comes of a call, once a generator has been collected."""

from __future__ import annotations

import inspect
import types
import typing
from pathlib import PurePath
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

from workers.file import File
from workers.model_host.calls.outputs.yielded import yields_text

if TYPE_CHECKING:
    from collections.abc import Callable

_NAMED_AFTER_ITEMS = ("Iterator", "AsyncIterator", "Generator", "AsyncGenerator")
_PERHAPS_GENERATORS = ("Iterable", "AsyncIterable")
# These need no pydantic, whose import takes 100 ms.
_PLAIN: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    types.NoneType: {"type": "null"},
    list: {"type": "array"},
}
FILE: dict[str, Any] = {
    "type": "object",
    "title": "File",
    "properties": {
        "url": {"type": "string", "description": "path of the file"},
        "content_type": {"type": "string"},
        "size_bytes": {"type": "integer", "minimum": 0},
    },
    "required": ["url", "content_type", "size_bytes"],
}
"""What stands for a file in a result."""

# They say nothing of the result, or nothing that JSON schema knows.
_SILENT = (Any, object, dict, None, typing.NoReturn, typing.Never)


class Returned(NamedTuple):
    """The annotation of the result, None if it says nothing; `schema` is empty if pydantic has to make it."""

    annotation: Any
    schema: dict[str, Any]

    @property
    def needs_pydantic(self) -> bool:
        """Whether only pydantic can describe it."""
        return self.annotation is not None and not self.schema


def returned_by(predict: Callable[..., Any]) -> Returned:
    """What a call of `predict` returns as its annotation says it. One that can't be evaluated says nothing."""
    function = inspect.unwrap(getattr(predict, "__func__", predict))
    written = getattr(function, "__annotations__", {}).get("return", inspect.Parameter.empty)
    if written is inspect.Parameter.empty or not inspect.isfunction(function):
        return Returned(None, {})
    try:
        hints = SimpleNamespace(__annotations__={"return": written})
        annotation = typing.get_type_hints(hints, function.__globals__, include_extras=True)["return"]
    except Exception:  # noqa: BLE001 - a name may exist for the type checker only
        is_text = yields_text(function) and "Generator" not in str(written)
        return Returned(str, _PLAIN[str]) if is_text else Returned(None, {})
    annotation = _collected(annotation, function)
    if any(annotation is silent for silent in _SILENT) or _is_object_of_anything(annotation):
        return Returned(None, {})
    if _is_file(annotation):
        return Returned(annotation, FILE)
    return Returned(annotation, _PLAIN.get(annotation, {}) if isinstance(annotation, type) else {})


def _is_file(annotation: Any) -> bool:
    """Whether all that is returned is a file."""
    if not isinstance(annotation, type):
        return False
    return issubclass(annotation, (bytes, bytearray, PurePath, File)) or annotation.__module__.startswith("PIL.")


def _collected(annotation: Any, function: Callable[..., Any]) -> Any:
    """What is made of a generator: a list of its items, or what it returns. None if nothing is known of it."""
    name = getattr(typing.get_origin(annotation), "__name__", "")
    arguments = typing.get_args(annotation)
    is_generator = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
    if name == "Awaitable":
        return arguments[0]
    if name in _PERHAPS_GENERATORS and not is_generator:
        return None
    if name not in _NAMED_AFTER_ITEMS + _PERHAPS_GENERATORS:
        return annotation
    if name == "Generator" and len(arguments) == 3 and arguments[2] not in (None, types.NoneType):
        return arguments[2]
    if yields_text(function):
        return str
    return list[arguments[0]]  # type: ignore[valid-type]


def _is_object_of_anything(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (dict, typing.get_origin(typing.Mapping[str, Any])) and (
        typing.get_args(annotation)[-1] in (Any, object)
    )
