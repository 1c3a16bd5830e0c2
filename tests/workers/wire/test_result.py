"""A model's result on its way."""

from __future__ import annotations

import math
from typing import Any

import orjson
import pytest

from workers.wire.encode import encode_result
from workers.wire.result import EncodedResult, notes


@pytest.mark.parametrize(
    ("value", "has_input", "is_one_line"),
    [
        ({"output": 1, "input": 2}, True, True),
        ({"output": 1}, False, True),
        ([1, "input"], False, True),
        ({"output": {"input": 1}}, False, False),  # the body alone would be misleading
        ({"input": [math.nan]}, True, False),
        ([math.inf, "a\nb"], False, False),
    ],
)
def test_a_result_is_unpacked_as_it_was(value: Any, has_input: bool, is_one_line: bool) -> None:
    result = encode_result(value)

    packed = result.packed()

    assert result.has_input == has_input
    assert EncodedResult.unpacked(packed) == result
    assert (packed == result.body) == is_one_line


def test_notes_are_an_object_of_what_there_is() -> None:
    assert notes(b"") == b""
    assert orjson.loads(notes(b"", b'{"a": 1}')) == {"input": {"a": 1}}
    assert orjson.loads(notes(b"[1]", b"2")) == {"input": 2, "warnings": [1]}
