"""pydantic's JSON schemas of what `predict` takes and returns. To import this is to import pydantic."""

from __future__ import annotations

import warnings as python_warnings
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import PydanticSerializationError

from workers.model_host.calls.outputs.returned import FILE
from workers.wire.encode import encode_exactly
from workers.wire.limits import NotJson

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from pydantic_core import core_schema

    Asked = tuple[str, Literal["validation", "serialization"], TypeAdapter[Any]]

_FILES = ("path", "file-path", "binary")
REFERENCES = "#/components/schemas/Model.{model}"


class _AsWritten(GenerateJsonSchema):
    """Describes results as this project writes them: numbers where pydantic's own encoder writes texts."""

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> dict[str, Any]:
        """A number; a text within pydantic's models."""
        if self.mode == "serialization":
            return {"type": ["number", "string"]}
        return super().decimal_schema(schema)

    def timedelta_schema(self, schema: core_schema.TimedeltaSchema) -> dict[str, Any]:
        """Seconds; a text within pydantic's models."""
        if self.mode == "serialization":
            return {"type": ["number", "string"], "description": "seconds, or a duration of ISO 8601"}
        return super().timedelta_schema(schema)

    def model_schema(self, schema: core_schema.ModelSchema) -> dict[str, Any]:
        """Its fields by the names under which they are written."""
        return self._named_as_written(schema, super().model_schema)

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> dict[str, Any]:
        """The same."""
        return self._named_as_written(schema, super().dataclass_schema)

    def typed_dict_schema(self, schema: core_schema.TypedDictSchema) -> dict[str, Any]:
        """The same."""
        return self._named_as_written(schema, super().typed_dict_schema)

    def _named_as_written(self, schema: Any, describe: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """A result's fields have their own names, unless their class says `serialize_by_alias`."""
        before = self.by_alias
        if self.mode == "serialization":
            self.by_alias = bool((schema.get("config") or {}).get("serialize_by_alias"))
        try:
            return describe(schema)
        finally:
            self.by_alias = before

    def encode_default(self, dft: Any) -> Any:
        """A field's default. One that JSON has not, such as infinity, is left out."""
        default = super().encode_default(dft)
        try:
            encode_exactly(default)
        except NotJson as error:
            raise PydanticSerializationError(str(error)) from None
        return default


def schemas_of(
    inputs: dict[str, TypeAdapter[Any]], output: Any, called: str, warnings: list[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The schemas of all inputs and of the output (an annotation; None if there is none), and their definitions.

    The keys are those of `inputs` and `called`. For what pydantic can't describe there is a sentence in `warnings`.
    """
    asked: list[Asked] = [(name, "validation", adapter) for name, adapter in inputs.items()]
    with python_warnings.catch_warnings():
        python_warnings.simplefilter("ignore")  # a default that is no JSON is left out
        if output is not None:
            try:
                asked.append((called, "serialization", TypeAdapter(output)))
            except Exception as error:  # noqa: BLE001 - pydantic calls what the annotation brings with it
                warnings.append(_sentence(called, error))
        able = [one for one in asked if _is_able(one, warnings)]
        schemas, whole = TypeAdapter.json_schemas(able, ref_template=REFERENCES, schema_generator=_AsWritten)
    found = {key: _with_files(schema) if mode == "serialization" else schema for (key, mode), schema in schemas.items()}
    return found, whole.get("$defs", {})


def _with_files(schema: Any) -> Any:
    """A result's schema as this project writes paths and bytes. (Within pydantic's own models they stay texts.)"""
    if isinstance(schema, list):
        return [_with_files(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") == "string" and schema.get("format") in _FILES:
        return {"anyOf": [FILE, {"type": "string"}]}
    return {name: _with_files(member) for name, member in schema.items()}


def _is_able(asked: Asked, warnings: list[str]) -> bool:
    called, mode, adapter = asked
    try:
        encode_exactly(adapter.json_schema(mode=mode, schema_generator=_AsWritten))
    except Exception as error:  # noqa: BLE001
        warnings.append(_sentence(called, error))
        return False
    return True


def _sentence(called: str, error: Exception) -> str:
    why = " ".join(str(error).partition("\n")[0].split())
    return f"{called} is not described in /openapi.json, as pydantic can't ({type(error).__name__}: {why})"
