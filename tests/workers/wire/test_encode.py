"""Python's values to JSON: the table of docs/model.md, and what lies beside it."""

from __future__ import annotations

import array
import collections
import dataclasses
import enum
import json
import math
import subprocess
import sys
import types
import uuid
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs
import numpy as np
import orjson
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.processes import ROOT
from workers.wire.decode import loads, loads_bounded
from workers.wire.encode import canonical, encode, encode_exactly
from workers.wire.limits import MAX_INT_DIGITS, MAX_NESTING, MAX_POINTER_CHARS, MAX_WARNINGS, NotJson
from workers.wire.result import EncodedResult

if TYPE_CHECKING:
    from collections.abc import Callable

NAN, INFINITY = math.nan, math.inf


class Colour(enum.Enum):
    RED = "red"
    PAIR = (1, 2)


class Level(enum.IntEnum):
    HIGH = 3


class Point(NamedTuple):
    x: int
    y: float


@dataclasses.dataclass
class Box:
    label: str
    _score: Any = None


@attrs.define
class Crate:
    label: str
    content: Any = None


class Answer(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    label: str
    price: Decimal = Decimal("1.10")
    link: pydantic.HttpUrl = pydantic.HttpUrl("http://example.org/")
    scores: Any = None


class Tensor:
    """As torch's."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def tolist(self) -> Any:
        return self.values


class Scalar:
    def item(self) -> int:
        return 5


class ArrayLike:
    """As TensorFlow's."""

    shape, dtype = (2,), "f4"

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray[Any, Any]:
        return np.array([0.5, 1.5])


class NamedColumns:
    """As pandas' DataFrame: an array of it would have no columns' names."""

    shape = (1, 1)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray[Any, Any]:
        return np.array([[1]])


class GoneDevice:
    def tolist(self) -> Any:
        raise OSError("the device is gone")


TABLE: list[tuple[Any, Any]] = [
    # JSON's own
    (None, None), (True, True), (1, 1), (-0.0, -0.0), (1.5e300, 1.5e300), ("ä\x00\U0001f600", "ä\x00\U0001f600"),
    ([1, [2]], [1, [2]]), ({"a": {}}, {"a": {}}), (2**64, 2**64), (-(2**63) - 1, -(2**63) - 1),
    (10**MAX_INT_DIGITS - 1, 10**MAX_INT_DIGITS - 1),
    # names of members
    ({7: "a", 2.5: "b", True: "c", None: "d"}, {"7": "a", "2.5": "b", "true": "c", "null": "d"}),
    ({2**70: 1, NAN: 2, -INFINITY: 3}, {str(2**70): 1, "NaN": 2, "-Infinity": 3}),
    ({Colour.RED: 1, Level.HIGH: 2}, {"red": 1, "3": 2}),
    ({np.int64(7): 1, np.float64(0.5): 2, np.str_("s"): 3, np.bool_(False): 4}, {"7": 1, "0.5": 2, "s": 3, "false": 4}),
    ({date(2026, 1, 2): 1, uuid.UUID(int=1): 2, Decimal("1.0"): 3, Path("p"): 4},
     {"2026-01-02": 1, str(uuid.UUID(int=1)): 2, "1.0": 3, "p": 4}),
    # collections
    ((1, (2,)), [1, [2]]), (Point(1, 2.5), [1, 2.5]), ({3, 1, 2}, [1, 2, 3]), (frozenset({"b", "a"}), ["a", "b"]),
    (collections.deque([1]), [1]), (range(3), [0, 1, 2]), ({"b": 1, "a": 2}.keys(), ["b", "a"]),
    ({"a": 1}.values(), [1]),
    (collections.OrderedDict(b=1), {"b": 1}), (collections.Counter("aab"), {"a": 2, "b": 1}),
    (collections.UserDict(a=1), {"a": 1}), (types.MappingProxyType({"a": 1}), {"a": 1}),
    (array.array("d", [0.5]), [0.5]),
    # values of the standard library
    (Decimal("1.10"), 1.1), (Decimal("-12345678901234567890123"), -12345678901234567890123), (Decimal("1E+3"), 1000.0),
    (datetime(2026, 1, 2, 3, 4, 5, 678), "2026-01-02T03:04:05.000678"),
    (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"), (date(2026, 1, 2), "2026-01-02"),
    (time(3, 4), "03:04:00"), (time(3, 4, tzinfo=timezone(timedelta(hours=1))), "03:04:00+01:00"),
    (timedelta(minutes=1, milliseconds=500), 60.5), (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    (Colour.RED, "red"), (Colour.PAIR, [1, 2]), (Level.HIGH, 3), (Path("/a/b"), "/a/b"),
    # classes with fields
    (Box("cat", {1}), {"label": "cat", "_score": [1]}), ([Box("a")], [{"label": "a", "_score": None}]),
    (Crate("a", {1}), {"label": "a", "content": [1]}),
    (Answer(label="cat", scores=np.arange(4)[::2]),
     {"label": "cat", "price": "1.10", "link": "http://example.org/", "scores": [0, 2]}),
    (pydantic.RootModel[list[int]]([1]), [1]),
    # numpy
    (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]), (np.array([[1, 2], [3, 4]]).T, [[1, 3], [2, 4]]), (np.array(5), 5),
    (np.arange(10)[::3], [0, 3, 6, 9]), (np.array([1, 2], ">i4"), [1, 2]), (np.array([0.5], ">f8"), [0.5]),
    (np.array(["a", "bc"]), ["a", "bc"]), (np.array([True, False]), [True, False]), (np.zeros((2, 0)), [[], []]),
    (np.float32(0.1), 0.1), (np.array([0.1], "f4")[::-1], [0.1]), (np.float16(0.5), 0.5), (np.longdouble(0.5), 0.5),
    (np.int8(-3), -3), (np.uint64(2**64 - 1), 2**64 - 1), (np.bool_(True), True), (np.str_("s"), "s"),
    (np.datetime64("2026-01-02"), "2026-01-02T00:00:00"), (np.array(["2026-01-02"], "M8[ns]"), ["2026-01-02T00:00:00"]),
    (np.array(["2026"], ">M8[Y]"), ["2026-01-01T00:00:00"]), (np.timedelta64(1500, "ms"), 1.5),
    (np.array([1, 2], "m8[s]"), [1.0, 2.0]), (np.array([{"a": 1}, None], dtype=object), [{"a": 1}, None]),
    (np.array([(1, 0.5)], dtype=[("n", "i4"), ("p", "f8")]), [{"n": 1, "p": 0.5}]),
    (np.ma.MaskedArray([1, 2], mask=[False, True]), [1, None]), ({"a": np.float64(1.5)}, {"a": 1.5}),
    # those that only behave as arrays
    (Tensor([[0.5], [2**64]]), [[0.5], [2**64]]), (Scalar(), 5), (ArrayLike(), [0.5, 1.5]),
    # JSON that is there already
    (orjson.Fragment(b"[1]"), [1]), ([{1: orjson.Fragment("[18446744073709551616]")}], [{"1": [2**64]}]),
    ({"again": EncodedResult(b'{"a":1}', False)}, {"again": {"a": 1}}),
]  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), TABLE)
def test_what_has_a_sensible_json_is_written(value: Any, expected: Any) -> None:
    # By itself, in a collection that orjson could write, and beside what it could not.
    wholes: list[tuple[Any, Callable[[Any], Any]]] = [
        (value, lambda found: found),
        ({"a": [value]}, lambda found: found["a"][0]),
        ([Decimal(1), value], lambda found: found[1]),
    ]
    for whole, around in wholes:
        body, warnings = encode(whole)
        found = around(loads(body))
        assert repr(found) == repr(expected)
        assert warnings == []
        assert b"\n" not in body


def test_a_decimal_keeps_its_digits() -> None:
    assert encode([Decimal("0.100000000000000000000000000001"), Decimal("-0.0")])[0] == (
        b"[0.100000000000000000000000000001,-0.0]"
    )


NOT_FINITE = [
    (NAN, "", "NaN became null"),
    ([0.5, None, INFINITY], "/2", "Infinity became null"),
    ({"a/b": {"c~d": -INFINITY}}, "/a~1b/c~0d", "-Infinity became null"),
    (np.float64(NAN), "", "NaN became null"),
    ({"scores": np.array([[0.5, 1.5], [2.5, INFINITY]], "f4")}, "/scores/1/1", "Infinity became null"),
    ([np.array([NAN, 1.0])[::-1]], "/0/1", "NaN became null"),
    (np.array(["2026-01-02", "NaT"], "M8[ns]"), "/1", "NaT became null"),
    (np.datetime64("NaT", "ns"), "", "NaT became null"),
    (np.array([1, "NaT"], "m8[s]"), "/1", "NaT became null"),
    (Decimal("sNaN"), "", "NaN became null"),
    ([Decimal("-Infinity")], "/0", "-Infinity became null"),
    (Tensor([1.0, NAN]), "/1", "NaN became null"),
    (Box("x", NAN), "/_score", "NaN became null"),
    (Answer(label="x", scores=NAN), "/scores", "NaN became null"),
    ([Answer(label="x", scores={1: (0, INFINITY)})], "/0/scores/1/1", "Infinity became null"),
    ((1, {NAN}), "/1/0", "NaN became null"),
    (["a\ud800b"], "/0", "a lone surrogate became U+FFFD"),
    ({"\udcff": 1}, "", "a lone surrogate became U+FFFD"),
]


@pytest.mark.parametrize(("value", "pointer", "detail"), NOT_FINITE)
def test_what_json_cannot_say_is_changed_and_told(value: Any, pointer: str, detail: str) -> None:
    body, warnings = encode(value)

    loads(body)
    assert (b"null" in body) == detail.endswith("null")
    assert warnings == [{"pointer": pointer, "detail": detail}]


@pytest.mark.parametrize(
    "value", [[NAN] * 1000, np.full((10, 100), NAN), {"x" * 5000 + str(n): NAN for n in range(1000)}]
)
def test_warnings_are_bounded(value: Any) -> None:
    _, warnings = encode(value)

    assert len(warnings) == MAX_WARNINGS + 1
    assert warnings[-1] == {"pointer": "", "detail": f"{1000 - MAX_WARNINGS} more were changed"}
    assert all(len(warning["pointer"]) <= MAX_POINTER_CHARS for warning in warnings)


def nested(depth: int, wrap: Callable[[Any], Any], leaf: Any = 1) -> Any:
    value = leaf
    for _ in range(depth):
        value = wrap(value)
    return value


WRAPS: list[Callable[[Any], Any]] = [
    lambda value: [value],
    lambda value: {"a": value},
    lambda value: (value,),
    lambda value: {1: value},
    Box,
    lambda value: collections.deque([value]),
]


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("leaf", [1, NAN, 2**64, np.float64(0.5)])
def test_a_value_is_written_up_to_the_nesting_limit(wrap: Callable[[Any], Any], leaf: Any) -> None:
    if isinstance(wrap(1), Box):
        body, _ = encode(nested(MAX_NESTING - 1, lambda value: [value], Box("x", leaf)))
    else:
        body, _ = encode(nested(MAX_NESTING, wrap, leaf))
    loads_bounded(body)
    for depth in (MAX_NESTING + 1, 400, 900):
        with pytest.raises(NotJson, match="it is nested more than 254 deep"):
            encode(nested(depth, wrap, leaf))


def test_a_value_that_contains_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append({"again": endless})
    with pytest.raises(NotJson, match="it is nested more than 254 deep"):
        encode(endless)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (b"x", "bytes, to be made a text first, for example by base64"),
        ({"a": [bytearray(1)]}, "bytearray, to be made a text first, for example by base64, at /a/0"),
        (np.array([b"x"]), "bytes, to be made a text first, for example by base64, at /0"),
        ({"a/b": [{}, object()]}, "an object, at /a~1b/1"),
        ((part for part in "ab"), "a generator"),
        ([print], "a builtin_function_or_method, at /0"),
        ([Answer], "the class Answer, at /0"),
        (1j, "a complex"),
        (np.array([1j]), "a complex number"),
        (Fraction(1, 3), "a Fraction"),
        ({"t": NamedColumns()}, "a NamedColumns, at /t"),
        ({"a": {(1, 2): 3}}, "a member whose name is a tuple, at /a"),
        ({1: "a", "1": "b"}, "a second member of this name, at /1"),
        ([10**MAX_INT_DIGITS], "an integer has more than 4300 digits, at /0"),
        (Decimal("1e400"), "a Decimal that is infinite as a float"),
        (np.datetime64("12000-01-01"), "a time outside the years 1 to 9999"),
        ([GoneDevice()], "a GoneDevice (OSError: the device is gone), at /0"),
    ],
)
def test_what_has_no_sensible_json_is_refused_with_what_and_where(value: Any, sentence: str) -> None:
    with pytest.raises(NotJson) as error:
        encode(value)
    assert str(error.value) == sentence


def test_arguments_are_written_exactly_or_not_at_all() -> None:
    assert encode_exactly((2**64, {1})) == b"[18446744073709551616,[1]]"
    with pytest.raises(NotJson, match=r"^NaN would become null, at /0$"):
        encode_exactly([NAN])


def test_the_canonical_text_does_not_depend_on_the_order_of_members() -> None:
    one, other = {"a": 2**64, "b": [{"d": 1, "c": 2}]}, {"b": [{"c": 2, "d": 1}], "a": 2**64}
    assert canonical(one) == canonical(other) == b'{"a":18446744073709551616,"b":[{"c":2,"d":1}]}'


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(-(10**40), 10**40) | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)  # fmt: skip


@given(JSON.filter(lambda value: "Infinity" not in json.dumps(value)))
def test_json_comes_back_as_it_was(value: Any) -> None:
    body, warnings = encode(value)

    assert repr(loads_bounded(body)) == repr(value)
    assert warnings == []


@given(st.text(st.characters(categories=["Cs", "Ll", "So"])))
def test_every_text_can_be_served(text: str) -> None:
    body, _ = encode({text: text})
    assert len(loads(body)) == 1


def test_numpy_and_pydantic_are_not_imported() -> None:
    code = (
        "import sys, decimal; from workers.wire.encode import encode; encode([1.5, None, decimal.Decimal(1), {2}]);"
        "print(sorted({'numpy', 'pydantic'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
