"""What is wrong with an input that does not fit a schema, fault by fault: where, as a JSON pointer, and a sentence.

Whether an input fits is for the validator to say, which is fast but would take seconds to list a million faults. This
looks for the first few, in a part of the input that is bounded, and knows the keywords of `KEYWORDS` only.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import orjson

from workers.wire.pointers import pointer_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Schema: TypeAlias = dict[str, Any] | bool
    Path: TypeAlias = tuple[str | int, ...]

KEYWORDS = frozenset(
    {
        "type", "title", "enum", "anyOf",
        "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
        "minLength", "maxLength", "pattern",
        "items", "prefixItems", "minItems", "maxItems",
        "properties", "required", "additionalProperties", "minProperties",
    }
)  # fmt: skip
MOST_FAULTS = 10
# Values that are looked at: 10,000 take about 30 ms.
_MOST_VALUES = 10_000
_MOST_CHARS = 200
_UNKNOWN = "there is no such member"
_ANOTHER = "another value"
_IS_WANTED = " is wanted"
_TYPES: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: type(value) is int or (type(value) is float and value.is_integer()),
    "number": lambda value: type(value) in (int, float),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}
_FOUND = {
    bool: "true or false", int: "a number", float: "a number", str: "a text", list: "an array", dict: "an object"
}  # fmt: skip
# A keyword, the type it is for, and whether a value breaks it.
_LIMITS: list[tuple[str, tuple[type, ...], Callable[[Any, Any], bool], str]] = [
    ("minimum", (int, float), lambda value, limit: value < limit, "it must be at least {}"),
    ("maximum", (int, float), lambda value, limit: value > limit, "it must be at most {}"),
    ("exclusiveMinimum", (int, float), lambda value, limit: value <= limit, "it must be more than {}"),
    ("exclusiveMaximum", (int, float), lambda value, limit: value >= limit, "it must be less than {}"),
    ("minLength", (str,), lambda value, limit: len(value) < limit, "it must have at least {} characters"),
    ("maxLength", (str,), lambda value, limit: len(value) > limit, "it must have at most {} characters"),
    ("minItems", (list,), lambda value, limit: len(value) < limit, "it must have at least {} elements"),
    ("maxItems", (list,), lambda value, limit: len(value) > limit, "it must have at most {} elements"),
    ("minProperties", (dict,), lambda value, limit: len(value) < limit, "it must have at least {} members"),
]


class InputFault(NamedTuple):
    """A sentence on what is wrong at a place in the input.

    `is_limit`: the value there is of a type that is wanted. `is_constant`: it is none of some constants.
    """

    path: Path
    sentence: str
    is_limit: bool = False
    is_constant: bool = False

    def document(self) -> dict[str, str]:
        """As clients get it."""
        return {"pointer": pointer_of(self.path), "detail": _cut(self.sentence)}


def faults_of(schema: Schema, value: Any, matches: Callable[[str, str], bool]) -> list[InputFault]:
    """The first faults of an input that does not fit the schema; at least one.

    `matches` says whether a pattern is found in a text. (Python's own engine may take for ever.)
    """
    found = list(itertools.islice(_Search(matches).faults(schema, value, ()), MOST_FAULTS))
    return found or [InputFault((), "it does not fit the model's input, which /openapi.json describes")]


class _Search:
    def __init__(self, matches: Callable[[str, str], bool]) -> None:
        self._matches = matches
        self._values = 0

    def faults(self, schema: Schema, value: Any, path: Path) -> Iterator[InputFault]:
        self._values += 1
        if schema is False:
            yield InputFault(path, _UNKNOWN)
        elif isinstance(schema, dict) and self._values <= _MOST_VALUES:
            yield from self._faults(schema, value, path)

    def _faults(self, schema: dict[str, Any], value: Any, path: Path) -> Iterator[InputFault]:
        if "anyOf" in schema:
            yield from self._of_choices(schema["anyOf"], value, path)
        if "enum" in schema and not any(_is_same(value, one) for one in schema["enum"]):
            yield InputFault(path, _wanted(schema) + _IS_WANTED, is_constant=True)
        types = schema.get("type", [])
        types = [types] if isinstance(types, str) else types
        if types and not any(_TYPES[name](value) for name in types):
            yield InputFault(path, f"{_wanted(schema)} is wanted, and this is {_FOUND.get(type(value), 'null')}")
            return
        yield from self._of_limits(schema, value, path)
        if isinstance(value, list):
            yield from self._of_elements(schema, value, path)
        elif isinstance(value, dict):
            yield from self._of_members(schema, value, path)

    def _of_choices(self, choices: list[Schema], value: Any, path: Path) -> Iterator[InputFault]:
        found = [list(itertools.islice(self.faults(choice, value, path), MOST_FAULTS)) for choice in choices]
        if not all(found):
            return
        # If the value is of the right type for one choice alone, its faults tell more.
        of_type = [faults for faults in found if all(fault.is_limit or fault.path != path for fault in faults)]
        # The types of a union often differ by a constant, such as a `kind`: the one whose constants fit is meant.
        meant = [faults for faults in of_type if not any(fault.is_constant for fault in faults)]
        of_type = meant or of_type
        shared = [fault for fault in of_type[0] if all(fault in faults for faults in of_type)] if of_type else []
        constants = [fault for faults in of_type for fault in faults if fault.is_constant]
        if shared:
            yield from shared
        elif len({fault.path for fault in constants}) == 1:
            wanted = dict.fromkeys(fault.sentence.removesuffix(_IS_WANTED) for fault in constants)
            yield InputFault(constants[0].path, " or ".join(wanted) + _IS_WANTED)
        else:
            yield InputFault(path, _wanted({"anyOf": choices}) + _IS_WANTED)

    def _of_limits(self, schema: dict[str, Any], value: Any, path: Path) -> Iterator[InputFault]:
        is_text = schema.get("type") == "string"
        for keyword, types, is_broken, sentence in _LIMITS:
            if keyword in schema and type(value) in types and is_broken(value, schema[keyword]):
                if schema.get("title") == "true or false":
                    yield InputFault(path, "true or false is wanted")
                else:
                    yield InputFault(path, sentence.format(_shown(schema[keyword])), is_limit=True)
        if "pattern" in schema and isinstance(value, str) and not self._matches(schema["pattern"], value):
            match = f"it must match {schema['pattern']}"
            wanted = match if is_text else f"{_wanted(schema)} is wanted, and this text is none"
            yield InputFault(path, wanted, is_limit=is_text)

    def _of_elements(self, schema: dict[str, Any], value: list[Any], path: Path) -> Iterator[InputFault]:
        first = schema.get("prefixItems", [])
        for index, element in enumerate(value):
            if self._values > _MOST_VALUES:
                return
            one = first[index] if index < len(first) else schema.get("items", True)
            yield from self.faults(one, element, (*path, index))

    def _of_members(self, schema: dict[str, Any], value: dict[str, Any], path: Path) -> Iterator[InputFault]:
        for name in schema.get("required", []):
            if name not in value:
                yield InputFault((*path, name), "this member is missing")
        properties = schema.get("properties", {})
        for name, member in value.items():
            if self._values > _MOST_VALUES:
                return
            yield from self.faults(
                properties.get(name, schema.get("additionalProperties", True)), member, (*path, name)
            )


def _is_same(value: Any, constant: Any) -> bool:
    return bool(value == constant) and isinstance(value, bool) == isinstance(constant, bool)


def _wanted(schema: Schema) -> str:
    if not isinstance(schema, dict):
        return _ANOTHER
    if "enum" in schema:
        return f"one of {', '.join(map(_shown, schema['enum'][:MOST_FAULTS]))}"
    if "anyOf" in schema:
        names = dict.fromkeys(map(_wanted, schema["anyOf"]))
        return " or ".join(name for name in names if name != _ANOTHER) or _ANOTHER
    return str(schema.get("title", _ANOTHER))


def _shown(value: Any) -> str:
    return _cut(str(value) if isinstance(value, int) else orjson.dumps(value).decode())


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARS else text[: _MOST_CHARS - 3] + "..."
