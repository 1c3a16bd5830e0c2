"""What is said of an input that fits none of several types."""

from __future__ import annotations

import enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, TypeAdapter

from gateway.schemas.input_schema import InputSchema
from workers.model_host.calls.schemas.accepted import accepted


class PictureFrame(BaseModel):
    size: Annotated[int, Field(ge=1)]


class CatPet(BaseModel):
    kind: Literal["cat"]
    lives: int


class DogPet(BaseModel):
    kind: Literal["dog", "hound"]
    age: int = 1


class FaultLevel(enum.IntEnum):
    LOW = 1
    HIGH = 2


PET = Annotated[CatPet | DogPet, Field(discriminator="kind")]
COUNT = Annotated[int, Field(ge=1, le=10)]
WORD = Annotated[str, Field(min_length=2, pattern="^a")]
PAIR = tuple[int, str]


@pytest.mark.parametrize(
    ("annotation", "value", "faults"),
    [
        (COUNT | None, 11, [("", "it must be at most 10")]),
        (COUNT | None, "many", [("", "an integer or null is wanted")]),
        (COUNT | None, [], [("", "an integer or null is wanted")]),
        (WORD | None, "b", [("", "it must have at least 2 characters"), ("", "it must match ^a")]),
        (PAIR | None, [1], [("", "it must have at least 2 elements")]),
        (COUNT | PictureFrame, 0, [("", "it must be at least 1")]),
        (COUNT | PictureFrame, {"size": 0}, [("/size", "it must be at least 1")]),
        (COUNT | Annotated[float, Field(ge=5)], 0, [("", "an integer or a number is wanted")]),
        (PET, {"kind": "cow"}, [("/kind", 'one of "cat" or one of "dog", "hound" is wanted')]),
        (PET, {}, [("/kind", "this member is missing")]),
        (PET, {"kind": "hound", "age": "x"}, [("/age", "an integer is wanted, and this text is none")]),
        (PET, {"kind": "cat", "age": "x"}, [("/lives", "this member is missing")]),
        (list[PET], [{"kind": 1}], [("/0/kind", 'one of "cat" or one of "dog", "hound" is wanted')]),
        (FaultLevel | None, 3, [("", "one of 1, 2 or null is wanted")]),
        (bool | None, 2, [("", "true or false or null is wanted")]),
    ],
)
def test_if_a_value_is_of_one_of_the_types_its_own_faults_are_told(
    annotation: Any, value: Any, faults: list[tuple[str, str]]
) -> None:
    schema = InputSchema(accepted(TypeAdapter(annotation).core_schema))

    found = [fault.document() for fault in schema.faults(value)]

    assert [(fault["pointer"], fault["detail"]) for fault in found] == faults
