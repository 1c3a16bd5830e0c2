"""A body is cut into the same values wherever its pieces are cut."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.bodies.elements import ArrayElements, BadElements, Lines, TooLongElement

MOST_BYTES = 10_000
texts = st.text(st.sampled_from('ab[]{},"\\ \n:'), max_size=6)
values = st.recursive(
    st.one_of(st.none(), st.integers(-5, 5), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted({cut % (len(data) + 1) for cut in cuts} | {len(data)})
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def cut(elements: Lines | ArrayElements, *parts: bytes) -> list[bytes]:
    found = [element for part in parts for element in elements.feed(part)]
    return [*found, *elements.end()]


@given(st.lists(values, max_size=5), st.lists(st.integers(0, 500), max_size=8), st.sampled_from([None, 1]))
def test_an_array(wanted: list[Any], cuts: list[int], indent: int | None) -> None:
    data = json.dumps(wanted, indent=indent).encode()
    found = cut(ArrayElements(MOST_BYTES), *pieces(b" " + data + b"\n", cuts))
    assert [json.loads(element) for element in found] == wanted


@given(
    st.lists(values, max_size=5), st.lists(st.integers(0, 500), max_size=8), st.sampled_from([b"\n", b"\r\n", b"\n\n"])
)
def test_lines(wanted: list[Any], cuts: list[int], end: bytes) -> None:
    data = end.join(json.dumps(value).encode() for value in wanted)
    found = cut(Lines(MOST_BYTES), *pieces(data, cuts))
    assert [json.loads(line) for line in found] == wanted


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"{}", "no JSON array"),
        (b"  ", "no JSON array"),
        (b"[1, 2", "no end"),
        (b'["]', "no end"),
        (b"[1] 2", "after the array's end"),
        (b"[1]]", "after the array's end"),
    ],
)
def test_what_is_no_array_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(BadElements, match=why):
        cut(ArrayElements(MOST_BYTES), data)


@pytest.mark.parametrize("elements", [Lines(10), ArrayElements(10)])
def test_an_element_that_is_too_long_is_not_kept_until_its_end(elements: Lines | ArrayElements) -> None:
    with pytest.raises(TooLongElement):
        [*elements.feed(b'["'), *(element for _ in range(100) for element in elements.feed(b"x" * 10))]


def test_an_element_left_out_is_empty() -> None:
    assert cut(ArrayElements(MOST_BYTES), b"[1,,2,]") == [b"1", b"", b"2", b""]
    assert cut(ArrayElements(MOST_BYTES), b"[ ]") == []
