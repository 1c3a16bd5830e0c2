"""Which JSON a type of pydantic may accept, as a JSON schema that the gateway can check quickly.

pydantic's own JSON schema of a type says what clients should push. This one says what `validate_python` in its lax mode
takes: `"7"` and `7.0` for an integer too. It refuses nothing that pydantic accepts, and lets everything pass that is
not known here. It has neither references nor definitions, so that a check takes time in proportion to the input; a type
that contains itself is described down to where it does. `title` says in words what is wanted.
"""

from __future__ import annotations

import enum
import math
import re
from typing import TYPE_CHECKING, Any, TypeAlias

from workers.file import is_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Schema: TypeAlias = dict[str, Any]
    # A type as pydantic-core has it: `pydantic_core.core_schema`.
    Core: TypeAlias = Mapping[str, Any]

# Schemas above this size are cut: what is left out takes anything.
MAX_NODES = 1000
_MAX_CHOICES = 100
# Up to this number each integer is exact as a float.
_EXACT = 2**53

# Texts that are read as numbers or the like. Each pattern takes more than pydantic does; none has a class such as `\d`,
# which means different characters to different engines.
_EDGE = "[^0-9A-Za-z]*"
_TRUTHS = "0|1|[tTfFyYnN]|[oO][nN]|[oO][fF][fF]|[yY][eE][sS]|[nN][oO]|[tT][rR][uU][eE]|[fF][aA][lL][sS][eE]"
_INTEGER = {
    "type": ["integer", "string", "boolean"],
    "pattern": f"^{_EDGE}[0-9][0-9_.]*{_EDGE}$",
    "title": "an integer",
}
_NUMBER = {
    "type": ["number", "string", "boolean"],
    "pattern": "[0-9]|[iI][nN][fF]|[nN][aA][nN]",
    "title": "a number",
}
_TIME = {"type": ["number", "string", "boolean"], "pattern": "[0-9]"}
_SIMPLE: dict[str, Schema] = {
    "none": {"type": "null", "title": "null"},
    "bool": {
        "type": ["boolean", "number", "string"],
        "minimum": 0,
        "maximum": 1,
        "pattern": f"^({_TRUTHS})$",
        "title": "true or false",
    },
    "decimal": {"type": ["number", "string", "boolean"], "title": "a number"},
    "date": _TIME | {"title": "a date"},
    "time": _TIME | {"title": "a time"},
    "datetime": _TIME | {"title": "a date with a time"},
    "timedelta": _TIME | {"title": "a duration"},
    "uuid": {"type": "string", "title": "a UUID"},
    "url": {"type": "string", "title": "a URL"},
    "multi-host-url": {"type": "string", "title": "a URL"},
    "bytes": {"type": "string", "title": "a text"},
    "json": {"type": "string", "title": "a text"},
}
_OBJECT = {"type": "object", "title": "an object"}
_ARRAY = {"type": "array", "title": "an array"}

# Patterns that all engines read alike: literals, plain `[...]`, groups and repeats; no class, look-around or flag.
_PLAIN_PATTERN = re.compile(
    r"(?:[^\\.(\[{]|\\[^\w\s]|\((?!\?)|\(\?:|\{\d+(?:,\d*)?\}|\[\^?(?:[^\\\[\]&~-]|\\[^\w\s]|\w-\w|-(?=\]))+\])*",
    re.ASCII,
)
# Settings that change what the texts of a model, and of all that is in it, may be.
_TEXT_SETTINGS = ("regex_engine", "str_strip_whitespace", "str_to_lower", "str_to_upper", "coerce_numbers_to_str")
_BOUNDS = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}


def accepted(core: Core) -> Schema:
    """The schema of a type's `core_schema`; an empty one takes any JSON."""
    return _Walk().schema(core)


class _Walk:
    """One walk through a type. `_within` are the definitions that it is in."""

    def __init__(self) -> None:
        self._nodes = 0
        self._definitions: dict[str, Core] = {}
        self._within: set[str] = set()
        self._kinds: dict[str, Callable[[Core], Schema]] = {
            "definitions": self._defining,
            "definition-ref": self._defined,
            "nullable": lambda core: _any_of([self.schema(core["schema"]), dict(_SIMPLE["none"])]),
            "default": lambda core: self.schema(core["schema"]) if core.get("on_error", "raise") == "raise" else {},
            "function-after": lambda core: self.schema(core["schema"]),
            "lax-or-strict": lambda core: self.schema(core["lax_schema"]),
            "json-or-python": lambda core: self.schema(core["python_schema"]),
            "chain": lambda core: self.schema(core["steps"][0]),
            "union": self._union,
            "tagged-union": self._tagged_union,
            "literal": lambda core: _one_of(core["expected"]),
            "enum": _enum,
            "int": lambda core: _INTEGER | _bounds(core),
            "float": lambda core: _NUMBER | _bounds(core),
            "str": _text,
            "list": lambda core: self._array(core, "minItems", "maxItems"),
            # An array with repeated elements passes for a set. They count only once for `max_length`.
            "set": lambda core: self._array(core, "minItems"),
            "frozenset": lambda core: self._array(core, "minItems"),
            "deque": lambda core: _ARRAY | self._items(core),
            "tuple": self._tuple,
            "dict": self._dict,
            "model": lambda core: {} if core.get("custom_init") else self._with_settings(core, "model-fields"),
            "dataclass": lambda core: self._with_settings(core, "dataclass-args"),
            "typed-dict": lambda core: self._fields(core, core.get("config") or {}),
        }

    def schema(self, core: Core) -> Schema:
        """The schema of a part of the type. Empty, so that it takes anything, for a kind that is not known here."""
        self._nodes += 1
        if self._nodes > MAX_NODES:
            return {}
        kind = core["type"]
        if kind in _SIMPLE:
            return dict(_SIMPLE[kind])
        return self._kinds[kind](core) if kind in self._kinds else {}

    def _defining(self, core: Core) -> Schema:
        self._definitions |= {one["ref"]: one for one in core["definitions"]}
        return self.schema(core["schema"])

    def _defined(self, core: Core) -> Schema:
        name = core["schema_ref"]
        if name in self._within or name not in self._definitions:
            return {}
        self._within.add(name)
        try:
            return self.schema(self._definitions[name])
        finally:
            self._within.discard(name)

    def _union(self, core: Core) -> Schema:
        return self._choices(choice[0] if isinstance(choice, tuple) else choice for choice in core["choices"])

    def _tagged_union(self, core: Core) -> Schema:
        return self._choices(choice for choice in core["choices"].values() if isinstance(choice, dict))

    def _choices(self, choices: Iterable[Core]) -> Schema:
        return _any_of([self.schema(choice) for choice in choices])

    def _tuple(self, core: Core) -> Schema:
        items = core["items_schema"]
        if core.get("variadic_item_index") is not None:
            return self._array({"items_schema": items[0]}, "minItems") if len(items) == 1 else _ARRAY
        schema: Schema = _ARRAY | {"prefixItems": [self.schema(item) for item in items]}
        if not any(self._has_default(item) for item in items):
            schema |= {"minItems": len(items), "maxItems": len(items)}
        return schema if items else _ARRAY | {"maxItems": 0}

    def _array(self, core: Core, *bounds: str) -> Schema:
        array = _ARRAY | self._items(core) | _sizes(core, *bounds)
        # One file counts as a list of one.
        return _any_of([array, _OBJECT | {"title": "a file"}]) if is_file(core.get("items_schema", {})) else array

    def _items(self, core: Core) -> Schema:
        return {"items": self.schema(core["items_schema"])} if "items_schema" in core else {}

    def _dict(self, core: Core) -> Schema:
        # Two members may get the same key, `"1"` and `"01"`, so their number has no upper bound here.
        values = {"additionalProperties": self.schema(core["values_schema"])} if "values_schema" in core else {}
        return _OBJECT | values | _sizes(core, "minProperties")

    def _with_settings(self, core: Core, fields: str) -> Schema:
        """A model or a dataclass, whose settings hold for what is in it."""
        inner, config = core["schema"], core.get("config") or {}
        if inner["type"] == fields:
            return self._fields(inner, config)
        return {} if any(config.get(name) for name in _TEXT_SETTINGS) else self.schema(inner)

    def _fields(self, core: Core, config: Mapping[str, Any]) -> Schema:
        """An object of fields: of a model, a dataclass or a typed dictionary."""
        fields = core["fields"]
        named = {field["name"]: field for field in fields} if isinstance(fields, list) else fields
        if any(config.get(name) for name in _TEXT_SETTINGS):
            return dict(_OBJECT)
        by_name = config.get("validate_by_name") or config.get("populate_by_name")
        properties: Schema = {}
        required: list[str] = []
        is_known = True
        for name, field in named.items():
            alias = field.get("validation_alias", name)
            if not isinstance(alias, str) or (by_name and alias != name) or field.get("init") is False:
                is_known = False  # it may come under several names
                continue
            properties[alias] = self.schema(field["schema"])
            if field.get("required", core.get("total", True)) and not self._has_default(field["schema"]):
                required.append(alias)
        schema: Schema = _OBJECT | {"properties": properties, "required": required}
        extras = core.get("extra_behavior") or config.get("extra_fields_behavior") or "ignore"
        if extras == "forbid" and is_known:
            schema["additionalProperties"] = False
        return schema

    def _has_default(self, core: Core) -> bool:
        """Whether a value may be missing: anything around its type may have a default."""
        seen: set[str] = set()
        while core["type"] != "default":
            name = core.get("schema_ref", "")
            if name in self._definitions and name not in seen:
                seen.add(name)
                core = self._definitions[name]
            elif isinstance(core.get("schema"), dict):
                core = core["schema"]
            else:
                return False
        return True


def _text(core: Core) -> Schema:
    if core.get("coerce_numbers_to_str"):
        return {}
    schema: Schema = {"type": "string", "title": "a text"}
    if any(core.get(name) for name in ("strip_whitespace", "to_lower", "to_upper")):
        return schema  # its length and pattern hold for what comes of it
    schema |= _sizes(core, "minLength", "maxLength")
    pattern = core.get("pattern")
    if isinstance(pattern, str) and not core.get("regex_engine") and _PLAIN_PATTERN.fullmatch(pattern):
        schema["pattern"] = pattern
    return schema


def _any_of(schemas: list[Schema]) -> Schema:
    return {"anyOf": schemas} if schemas and all(schemas) else {}


def _enum(core: Core) -> Schema:
    if core.get("missing") or issubclass(core["cls"], enum.Flag):  # flags may be added up
        return {}
    return _one_of([one.value for one in core["members"]])


def _one_of(values: list[Any]) -> Schema:
    """One of some constants. `True` is 1 in Python, so it passes for a number; of other constants nothing is known."""
    if not values or len(values) > _MAX_CHOICES or not all(type(value) in (str, int) for value in map(_plain, values)):
        return {}
    constants = {"enum": [_plain(value) for value in values]}
    numbers = any(isinstance(value, int) for value in values)
    # An enumeration of numbers takes texts as well.
    return _any_of([constants, {"type": ["boolean", "string"], "pattern": "[0-9]"}]) if numbers else constants


def _plain(value: Any) -> Any:
    """A member of an enumeration of texts is itself a text, and so on."""
    if isinstance(value, bool):
        return value
    return str.__str__(value) if isinstance(value, str) else int(value) if isinstance(value, int) else value


def _bounds(core: Core) -> Schema:
    """The bounds of a number. An integer that is pushed for a float is rounded before it is compared."""
    bounds: Schema = {}
    for name, keyword in _BOUNDS.items():
        bound: Any = core.get(name)
        if type(bound) not in (int, float) or not math.isfinite(bound):
            continue
        if core["type"] == "float" and abs(bound) >= _EXACT:
            bound = math.nextafter(bound, -math.inf if name in ("ge", "gt") else math.inf)
        bounds[keyword] = bound
    return bounds


def _sizes(core: Core, least: str, most: str = "") -> Schema:
    sizes = {least: core.get("min_length"), most: core.get("max_length")}
    return {keyword: size for keyword, size in sizes.items() if keyword and isinstance(size, int)}
