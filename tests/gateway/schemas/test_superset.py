"""What pydantic takes in the model's process, the gateway lets pass: for any type and any JSON."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, NotRequired

import orjson
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    RootModel,
    StringConstraints,
    Tag,
)
from typing_extensions import TypedDict

from gateway.schemas.faults import MOST_FAULTS
from gateway.schemas.input_schema import InputSchema
from workers.model_host.calls.failures import InputRefused
from workers.model_host.calls.inputs.binding import binder_of
from workers.model_host.calls.schemas.describing import described
from workers.wire.decode import loads
from workers.wire.encode import encode_exactly

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENT = settings(suppress_health_check=list(HealthCheck))


class TypedColour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


class Grade(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class TypedOdd(enum.Enum):
    ONE = 1
    WORD = "word"
    PAIR = (1, 2)


@dataclass
class TypedPoint:
    x: int
    y: float = 0.0
    tags: list[str] = field(default_factory=list)
    seen: bool = field(default=False, init=False)


class Sized(TypedDict):
    size: Annotated[int, Field(ge=1, lt=9007199254740993)]
    note: NotRequired[str | None]


class Tree(BaseModel):
    value: int
    left: Tree | None = None
    right: Tree | None = None


class Forbidding(BaseModel):
    model_config = ConfigDict(extra="forbid")

    a: int
    b: str = "b"


class Renamed(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    first: int = Field(alias="a")
    second: int = Field(1, validation_alias=AliasChoices("b", "note"))
    third: int = Field(1, validation_alias=AliasPath("x", 0))


class Aliased(BaseModel):
    model_config = ConfigDict(extra="forbid")

    first: int = Field(alias="a")


class Stripped(BaseModel):
    model_config = ConfigDict(str_strip_whitespace=True)

    a: Annotated[str, Field(max_length=1)]


class Coercing(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True)

    a: str
    b: Annotated[str, Field(pattern="^[0-9]$")] = "1"


class Pythonic(BaseModel):
    model_config = ConfigDict(regex_engine="python-re")

    a: Annotated[str, Field(pattern="^[a-z]$")]


class Cat(BaseModel):
    kind: Literal["cat"]
    a: int


class Dog(BaseModel):
    kind: Literal["dog"]
    b: int


class Numbers(RootModel[list[int]]):
    pass


def half(value: Any) -> Any:
    return value["half"] if isinstance(value, dict) and "half" in value else value


def even(value: int) -> int:
    if value % 2:
        raise ValueError("odd")
    return value


TYPES: dict[str, Any] = {
    "int": int, "float": float, "bool": bool, "str": str, "none": None, "bytes": bytes,
    "bounded int": Annotated[int, Field(ge=-1, le=2**64)], "multiple": Annotated[float, Field(multiple_of=0.1, gt=0)],
    "bounded float": Annotated[float, Field(le=2.0**53, ge=-(2.0**53))],
    "strict": Annotated[int, Field(strict=True)],
    "text": Annotated[str, Field(min_length=1, max_length=2)],
    "pattern": Annotated[str, Field(pattern="^[a-z0-9]+$")], "digits": Annotated[str, Field(pattern=r"^\d+$")],
    "dots": Annotated[str, Field(pattern="^.$")],
    "stripped text": Annotated[str, StringConstraints(strip_whitespace=True, max_length=1, pattern="^[a-z]$")],
    "upper": Annotated[str, StringConstraints(to_upper=True, pattern="^[A-Z]*$")],
    "date": datetime.date, "time": datetime.time, "datetime": datetime.datetime, "timedelta": datetime.timedelta,
    "decimal": decimal.Decimal, "bounded decimal": Annotated[decimal.Decimal, Field(ge=1, max_digits=3)],
    "uuid": uuid.UUID,
    "strings": Literal["red", "1"], "mixed": Literal["red", 1, None, True], "numbers": Literal[1, 2],
    "colour": TypedColour, "grade": Grade, "odd": TypedOdd, "rights": Rights,
    "list": Annotated[list[int], Field(max_length=2)], "set": Annotated[set[int], Field(max_length=2, min_length=1)],
    "frozenset": frozenset[str], "pair": tuple[int, str], "tuple": tuple[float, ...], "deque": collections.deque[int],
    "dict": Annotated[dict[int, float], Field(max_length=1)], "mapping": collections.abc.Mapping[str, int],
    "sequence": collections.abc.Sequence[int], "iterable": collections.abc.Iterable[int],
    "optional": int | None, "union": int | list[str] | TypedPoint, "dataclass": TypedPoint, "typed dict": Sized,
    "tree": Tree, "forbidding": Forbidding, "renamed": Renamed, "aliased": Aliased, "stripped": Stripped,
    "coercing": Coercing, "pythonic": Pythonic, "tagged": Annotated[Cat | Dog, Field(discriminator="kind")],
    "called": Annotated[Annotated[Cat, Tag("c")] | Annotated[Dog, Tag("d")], Discriminator(lambda value: "c")],
    "root": Numbers,
    "before": Annotated[int, BeforeValidator(half)], "after": Annotated[int, AfterValidator(even)],
    "untyped dict": dict, "untyped list": list,
}  # fmt: skip
# Inputs that pydantic takes, and that its own JSON schema or a careless one would refuse.
TAKEN: list[tuple[str, Any]] = [
    ("int", "7"), ("int", 7.0), ("int", True), ("float", "nan"), ("bool", "off"), ("bool", 1.0), ("numbers", True),
    ("grade", "2"), ("colour", "red"), ("set", [1, 1, "1"]), ("date", 0), ("timedelta", "1d"), ("decimal", 1.5),
    ("bounded float", 2**53 + 1), ("multiple", 0.3), ("digits", "٣"), ("dots", "\r"), ("stripped text", " a "),
    ("rights", 3), ("dict", {"1": 1, "01": "2"}), ("iterable", "12"), ("union", {"x": "1"}),
    ("renamed", {"first": 1}), ("renamed", {"a": 1, "note": 2}), ("renamed", {"a": 1, "x": [3]}),
    ("stripped", {"a": " a "}), ("coercing", {"a": 1, "b": 2}), ("pythonic", {"a": "a\n"}),
    ("tree", {"value": 1, "left": {"value": 2, "left": {"value": 3}}}), ("before", {"half": 1}), ("root", ["1"]),
    ("members", {"text": ""}), ("rest", {"a": 1, "self_": "1.5"}), ("others", {"a": None, "x": {}}),
]  # fmt: skip

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.integers(-(10**40), 10**40),
    st.floats(allow_nan=False, allow_infinity=False), st.floats(-3, 3).map(round).map(float), st.text(max_size=3),
    st.sampled_from([
        "1", " 7 ", "7.0", "1_0", "+1", "-0", "1e3", "nan", "Infinity", "-inf", "true", "OFF", "y", "T", "red", "blue",
        "cat", "dog", "a", "A", " a ", "a\n", "٣", "é", "\u2003" + "7", "word", "2026-01-02", "2026-01-02T03:04:05Z",
        "03:04", "P1D", "1d", "1 day, 2:00:00", "00000000-0000-0000-0000-000000000001", 1.0, 0.3, 0.30000000000000004,
        2**53, 2**53 + 1, -(2**53) - 1, 2**64, 2**64 + 1, 1e22, 9007199254740992,
    ]),
)  # fmt: skip
NAMES = st.sampled_from(
    ["x", "y", "a", "b", "tags", "seen", "size", "note", "value", "left", "right", "first", "second", "third", "kind",
     "half", "1", "01", "self", "self_", "text", "count", "rest"]
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=2), inner, max_size=4),
    max_leaves=10,
)


def whole(annotation: Any) -> Callable[..., Any]:
    """A `predict` of one argument."""

    def predict(value):  # type: ignore[no-untyped-def]
        return value

    predict.__annotations__["value"] = annotation
    return predict


class Takes:
    """Methods with several parameters, which the binding has rules of its own for."""

    def members(self, text: str, count: Annotated[int, Field(ge=1)] = 1) -> None: ...

    def rest(self, a: int, **rest: float) -> None: ...

    def others(self, a: Any, *, b: bool = True, **rest: Any) -> None: ...

    def positional(self, a: int, b: TypedPoint | None = None, /) -> None: ...

    def nothing(self) -> None: ...


PREDICTS: dict[str, Callable[..., Any]] = {name: whole(annotation) for name, annotation in TYPES.items()}
PREDICTS |= {name: getattr(Takes(), name) for name in ("members", "rest", "others", "positional", "nothing")}


@pytest.mark.parametrize("name", PREDICTS)
def test_the_gateway_lets_pass_what_pydantic_takes(name: str) -> None:
    bind = binder_of(PREDICTS[name])
    assert bind is not None
    schema = loads(described(PREDICTS[name], bind).schema)
    check = InputSchema(schema.get("accepts", True))

    @PATIENT
    @given(VALUES | st.dictionaries(NAMES, SCALARS, max_size=4) | st.lists(SCALARS, max_size=2) | SCALARS)
    def holds(value: Any) -> None:
        value = loads(encode_exactly(value))
        try:
            bind(value)
        except InputRefused:
            event("refused by both" if not check.takes(value) else "refused by the worker alone")
        else:
            event("taken")
            assert check.takes(value)
        if not check.takes(value):
            faults = [fault.document() for fault in check.faults(value)]
            assert 1 <= len(faults) <= MOST_FAULTS
            assert all(fault["detail"] for fault in faults)
            assert len(orjson.dumps(faults)) < 10_000

    holds()


@pytest.mark.parametrize(("name", "value"), TAKEN, ids=repr)
def test_an_odd_input_that_pydantic_takes_passes(name: str, value: Any) -> None:
    bind = binder_of(PREDICTS[name])
    assert bind is not None

    bind(value)

    schema = loads(described(PREDICTS[name], bind).schema)
    assert InputSchema(schema.get("accepts", True)).takes(value)
