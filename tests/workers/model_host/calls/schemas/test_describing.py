"""What a model says of itself: the schema of its input and its output, and what can't be described."""

from __future__ import annotations

import datetime  # noqa: TC003 - annotations are evaluated
import decimal  # noqa: TC003
import math
from collections.abc import AsyncIterator, Awaitable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import orjson
import pytest
from pydantic import BaseModel, ConfigDict, Field, InstanceOf

from tests.workers.model_host.calls import shapes
from workers.model_host.calls.inputs.binding import binder_of
from workers.model_host.calls.schemas.describing import described
from workers.model_host.protocol.description import Description
from workers.wire.encode import encode
from workers.wire.limits import MAX_SCHEMA_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable


class Verdict(BaseModel):
    label: str
    took: datetime.timedelta


class NamePlate(BaseModel):
    size: int = Field(alias="theSize")


class PlateByAlias(NamePlate):
    model_config = ConfigDict(serialize_by_alias=True)

    inner: NamePlate


class Limits(BaseModel):
    least: float = 0.5
    most: float = math.inf


@dataclass
class Sum:
    total: decimal.Decimal


def returning(annotation: Any) -> Callable[..., Any]:
    """A `predict` of this return annotation, whose parameter takes anything."""

    def predict(input):  # type: ignore[no-untyped-def]  # noqa: A002
        return input

    predict.__annotations__["return"] = annotation
    return predict


def taking(**annotations: Any) -> Callable[..., Any]:
    """A `predict` of these parameters."""
    scope: dict[str, Any] = {}
    exec(f"def predict({', '.join(annotations)}): ...", scope)  # noqa: S102
    predict: Callable[..., Any] = scope["predict"]
    predict.__annotations__ = annotations
    return predict


def schema_of(predict: Callable[..., Any]) -> dict[str, Any]:
    """The schema that a model with this method publishes; empty if it publishes none."""
    description = described(predict, binder_of(predict))
    assert description.warnings == []
    return orjson.loads(description.schema) if description.schema else {}


@pytest.mark.parametrize(
    "annotation",
    [Any, object, dict, dict[str, Any], Mapping[str, Any], NoReturn, Iterable[str], "np.ndarray"],
    ids=str,
)
def test_an_annotation_that_says_nothing_publishes_nothing(annotation: Any) -> None:
    assert schema_of(returning(annotation)) == {}


@pytest.mark.parametrize(
    ("annotation", "output"),
    [
        (str, {"type": "string"}),
        (None, {"type": "null"}),
        (Awaitable[int], {"type": "integer"}),
        (Iterator[str], {"type": "string"}),
        ("Iterator[str]", {"type": "string"}),
        (Iterator[int], {"type": "array", "items": {"type": "integer"}}),
        (AsyncIterator[int], {"type": "array", "items": {"type": "integer"}}),
        (Generator[str, None, int], {"type": "integer"}),
        (float | None, {"anyOf": [{"type": "number"}, {"type": "null"}]}),
    ],
    ids=str,
)
def test_the_output_is_what_comes_of_a_call(annotation: Any, output: dict[str, Any]) -> None:
    assert schema_of(returning(annotation)) == {"output": output}


def test_numbers_that_are_written_as_such_are_described_as_such() -> None:
    schema = schema_of(returning(Sum))

    assert schema["output"] == {"$ref": "#/components/schemas/Model.Sum"}
    assert schema["definitions"]["Sum"]["properties"]["total"]["type"] == ["number", "string"]


def test_members_have_their_types_and_defaults() -> None:
    schema = schema_of(shapes.TakesMembers().predict)

    assert schema["input"] == {
        "type": "object",
        "properties": {
            "text": {"type": "string"},
            "numbers": {"type": "array", "items": {"type": "integer"}},
            "top_k": {"type": "integer", "maximum": 10, "default": 5},
            "raw": {"default": None},
        },
        "required": ["text", "numbers"],
        "additionalProperties": False,
    }


def test_one_class_for_input_and_output_is_defined_for_each() -> None:
    predict = taking(verdict=Verdict)
    predict.__annotations__["return"] = Verdict
    schema = schema_of(predict)

    assert schema["input"] != schema["output"]
    assert {name.partition("-")[0] for name in schema["definitions"]} == {"Verdict"}


def test_what_pydantic_can_not_describe_is_anything_and_the_rest_is_described() -> None:
    predict = taking(image=InstanceOf[shapes.Pixels], size=int)
    description = described(predict, binder_of(predict))

    schema = orjson.loads(description.schema)
    assert schema["input"]["properties"] == {"image": {}, "size": {"type": "integer"}}
    assert schema["accepts"]["properties"]["image"] == {}
    [warning] = description.warnings
    assert warning.startswith("the parameter image of predict is not described in /openapi.json, as pydantic can't (")


def test_a_default_that_json_has_not_is_left_out_and_pushes_are_checked_all_the_same() -> None:
    predict = taking(limits=Limits, size=int)
    predict.__annotations__["return"] = Limits
    schema = schema_of(predict)

    for definition in schema["definitions"].values():
        properties = definition["properties"]
        assert {name: field.get("default") for name, field in properties.items()} == {"least": 0.5, "most": None}
    assert schema["accepts"]["properties"].keys() == {"limits", "size"}


def test_an_annotation_whose_schema_is_no_json_is_anything_and_the_rest_is_described() -> None:
    predict = taking(most=Annotated[float, Field(examples=[math.nan])], size=int)
    description = described(predict, binder_of(predict))

    schema = orjson.loads(description.schema)
    assert schema["input"]["properties"] == {"most": {}, "size": {"type": "integer"}}
    [warning] = description.warnings
    assert "NaN would become null, at /examples/0" in warning


def test_a_type_that_contains_itself_has_a_schema_without_references() -> None:
    accepts = schema_of(taking(node=Node))["accepts"]

    assert accepts["properties"]["nodes"] == {"type": "array", "title": "an array", "items": {}}
    assert b"$ref" not in orjson.dumps(accepts)


def test_a_schema_above_its_limit_is_not_published() -> None:
    predict = taking(text=Annotated[str, Field(description="x" * MAX_SCHEMA_BYTES)])
    description = described(predict, binder_of(predict))

    assert description.schema == b""
    assert f"only {MAX_SCHEMA_BYTES} are published" in description.warnings[0]


@pytest.mark.parametrize(
    "description",
    [
        Description(b"", []),
        Description(b'{"output":{}}', []),
        Description(b"", ["a\nb"]),
        Description(b"[1]", ["a", "b"]),
    ],
)
def test_a_description_is_the_same_behind_a_frame(description: Description) -> None:
    assert Description.unpacked(description.packed()) == description


class Node(BaseModel):
    nodes: list[Node]


def test_members_of_a_result_are_described_by_the_names_under_which_they_are_written() -> None:
    def predict(input: NamePlate) -> PlateByAlias: ...  # type: ignore[empty-body]  # noqa: A002

    schema = schema_of(predict)
    written, _ = encode(PlateByAlias(theSize=1, inner=NamePlate(theSize=2)))

    described = {name: list(one["properties"]) for name, one in schema["definitions"].items()}
    assert described == {
        "NamePlate-Input": ["theSize"],
        "NamePlate-Output": ["size"],
        "PlateByAlias": ["theSize", "inner"],
    }
    assert orjson.loads(written) == {"theSize": 1, "inner": {"size": 2}}
