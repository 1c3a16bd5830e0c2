"""Values that are written one after the other are the same JSON as all of them at once."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workers.wire.encode import encode_result
from workers.wire.limits import NotJson
from workers.wire.pieces import ArrayPieces, Pieces, TextPieces

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats()
    | st.text(st.characters(codec=None), max_size=5)
    | st.decimals(allow_nan=True)
    | st.just(Decimal("1.50")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.tuples(inner) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def filled(pieces: Pieces, values: list[Any]) -> Pieces:
    for value in values:
        pieces.add(value)
    return pieces


def of_array(values: list[Any]) -> Any:
    try:
        found = encode_result(values)
    except NotJson as error:
        return str(error)
    return found.body, found.warnings


@PATIENT
@given(st.lists(VALUES, max_size=20))
def test_an_array_of_pieces_is_the_array_of_the_values(values: list[Any]) -> None:
    pieces = ArrayPieces()
    try:
        found = filled(pieces, values).result()
    except NotJson as error:
        outcome: Any = str(error)
    else:
        outcome = found.body, found.warnings
        assert not found.has_input
        assert pieces.size_bytes == len(found.body)

    assert outcome == of_array(values)


@PATIENT
@given(st.lists(st.text(st.characters(codec=None)), max_size=10))
def test_a_text_of_pieces_is_the_joined_text(values: list[str]) -> None:
    pieces = filled(TextPieces(), values)
    assert pieces.result() == encode_result("".join(values))
    # Two halves of a surrogate pair count as one that is lost, each.
    assert pieces.size_bytes >= len(pieces.result().body)


def test_of_many_warnings_the_rest_is_counted() -> None:
    warnings = orjson.loads(filled(ArrayPieces(), [math.nan] * 15).result().warnings)
    assert [warning["pointer"] for warning in warnings] == [*(f"/{index}" for index in range(10)), ""]
    assert warnings[-1]["detail"] == "5 more were changed"


def test_an_array_is_one_deeper_than_its_elements() -> None:
    value: Any = 1
    for _ in range(253):
        value = [value]
    assert filled(ArrayPieces(), [value]).result().body.count(b"[") == 254
    with pytest.raises(NotJson, match="nested more than 254 deep"):
        filled(ArrayPieces(), [[value]]).result()
