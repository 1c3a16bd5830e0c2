"""Objects known by their fields: of dataclasses, attrs and pydantic. Neither of the two packages is imported here."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def fields_of(value: Any) -> dict[str, Any] | None:
    """The fields of a dataclass's or attrs' object by name; None for any other."""
    kind = type(value)
    fields = dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else getattr(kind, "__attrs_attrs__", None)
    return None if fields is None else {field.name: getattr(value, field.name) for field in fields}


def is_pydantic(kind: type) -> bool:
    """Whether this is a class of pydantic's models."""
    return hasattr(kind, "__pydantic_serializer__") and hasattr(kind, "model_dump")


def dump(model: Any, fallback: Callable[[Any], Any]) -> Any:
    """A model of pydantic as it writes itself as JSON; `fallback` makes JSON of what pydantic doesn't know."""
    raw = model.model_dump()
    try:
        made = model.model_dump(mode="json", fallback=fallback)
    except TypeError:  # pydantic before 2.11 takes no fallback
        return raw
    return _with_floats(made, raw)


def _with_floats(made: Any, raw: Any) -> Any:
    """What pydantic made of a raw value, with the numbers that it made null without a word."""
    if made is None and isinstance(raw, float):
        return raw
    if isinstance(made, dict) and isinstance(raw, dict) and len(made) == len(raw):
        return {name: _with_floats(*both) for name, *both in zip(made, made.values(), raw.values(), strict=True)}
    if isinstance(made, list) and isinstance(raw, list | tuple) and len(made) == len(raw):
        return [_with_floats(*both) for both in zip(made, raw, strict=True)]
    return made
