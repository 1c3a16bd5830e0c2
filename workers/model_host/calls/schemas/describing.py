"""What `predict` takes and returns, as JSON schemas: for the gateway, which checks pushes, and for its clients."""

from __future__ import annotations

import math
from inspect import Parameter
from typing import TYPE_CHECKING, Any

from workers.model_host.calls.inputs.binding import Members, WholeInput
from workers.model_host.calls.outputs.returned import Returned, returned_by
from workers.model_host.calls.schemas.accepted import accepted
from workers.model_host.protocol.description import Description
from workers.wire.encode import encode_exactly
from workers.wire.limits import MAX_SCHEMA_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import TypeAdapter

    from workers.model_host.calls.inputs.binding import Binder, ParameterPlace

_OUTPUT = "what predict returns"


def described(predict: Callable[..., Any] | None, bind: Binder | None) -> Description:
    """Describes a model whose input `bind` makes arguments of. Never raises but for want of memory.

    The annotation of `predict` says what is returned; None says nothing.
    """
    warnings: list[str] = []
    try:
        returned = Returned(None, {}) if predict is None else returned_by(predict)
        schema = _schema(bind, returned, warnings)
        text = encode_exactly(schema) if schema else b""
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - of pydantic, or of the model's own classes
        return Description(b"", [*warnings, f"the model can't be described, so pushes are not checked: {_why(error)}"])
    if len(text) > MAX_SCHEMA_BYTES:
        sentence = (
            f"the model's schema is {len(text)} bytes of JSON, and only {MAX_SCHEMA_BYTES} are published: pushes are "
            "not checked, and /openapi.json does not describe them"
        )
        return Description(b"", [*warnings, sentence])
    return Description(text, warnings)


def _schema(bind: Binder | None, returned: Returned, warnings: list[str]) -> dict[str, Any]:
    types: dict[str, TypeAdapter[Any]] = {}
    if isinstance(bind, WholeInput):
        types["the input"] = bind.check.type
    elif bind is not None:
        places = [*bind.places.values(), *([bind.rest] if bind.rest else [])]
        types = {_called(place): place.check.type for place in places if place.check is not None}
    schemas, definitions = _of_pydantic(types, returned, warnings)
    schema: dict[str, Any] = {}
    if isinstance(bind, WholeInput):
        schema = {"accepts": accepted(bind.check.type.core_schema), "input": schemas.get("the input", {})}
    elif bind is not None:
        schema = {"accepts": _accepted_members(bind), "input": _members(bind, schemas)}
    output = schemas.get(_OUTPUT) or returned.schema
    schema |= ({"output": output} if output else {}) | ({"definitions": definitions} if definitions else {})
    return {name: member for name, member in schema.items() if member}


def _of_pydantic(
    types: dict[str, TypeAdapter[Any]], returned: Returned, warnings: list[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """pydantic's schemas of all types, by what they are called, and the definitions that these refer to."""
    if not types and not returned.needs_pydantic:
        return {}, {}
    from workers.model_host.calls.schemas.json_schemas import schemas_of  # imports pydantic

    return schemas_of(types, returned.annotation if returned.needs_pydantic else None, _OUTPUT, warnings)


def _called(place: ParameterPlace) -> str:
    return f"the parameter {place.name} of predict"


def _accepted_members(bind: Members) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for name, place in bind.places.items():
        properties[name] = accepted(place.check.type.core_schema) if place.check else {}
    others: Any = False
    if bind.rest is not None:
        others = accepted(bind.rest.check.type.core_schema) if bind.rest.check else {}
        properties |= dict.fromkeys(sorted(bind.taken), False)
    return {
        "type": "object",
        "title": "an object",
        "properties": properties,
        "required": _required(bind),
        "additionalProperties": others,
    }


def _members(bind: Members, schemas: dict[str, Any]) -> dict[str, Any]:
    properties = {
        name: {**schemas.get(_called(place), {}), **_default(place.default)} for name, place in bind.places.items()
    }
    others = False if bind.rest is None else schemas.get(_called(bind.rest), True)
    return {
        "type": "object",
        "properties": properties,
        "required": _required(bind),
        "additionalProperties": others,
    }


def _required(bind: Members) -> list[str]:
    return [name for name, place in bind.places.items() if place.default is Parameter.empty]


def _default(value: Any) -> dict[str, Any]:
    """The default of a member, if it is plain JSON."""
    is_plain = value is None or type(value) in (bool, int, str) or (type(value) is float and math.isfinite(value))
    return {"default": value} if is_plain else {}


def _why(error: Exception) -> str:
    first = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
