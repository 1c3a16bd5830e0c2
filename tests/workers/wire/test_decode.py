"""JSON to Python's values."""

from __future__ import annotations

import json

import orjson
import pytest

from workers.wire.decode import loads, loads_bounded
from workers.wire.limits import MAX_INT_DIGITS, MAX_NESTING, NotJson, OverLimit

LONG = "1" * 20  # needs more than 64 bits, so that Python's reader reads the whole


@pytest.mark.parametrize(
    "number",
    [
        2**63 - 1, 2**63, 2**64 - 1, 2**64, 2**64 + 1, -(2**63), -(2**63) - 1, 10**18, 10**19, 10**400 + 1,
        10**MAX_INT_DIGITS - 1, 1 - 10**MAX_INT_DIGITS,
    ],
)  # fmt: skip
def test_an_integer_is_read_digit_for_digit(number: int) -> None:
    assert loads(str(number).encode()) == number
    assert loads(f'{{"a": [{number}, 0.5]}}'.encode()) == {"a": [number, 0.5]}


@pytest.mark.parametrize("number", ["-0.0", "0.1", "1e2", "1E-7", "5e-324", "1.7976931348623157e308", "0." + LONG])
def test_any_other_number_is_the_nearest_float(number: str) -> None:
    for beside in ("1", LONG):
        [found, _] = loads(f"[{number},{beside}]".encode())
        assert repr(found) == repr(float(number))


def test_an_integer_of_too_many_digits_is_refused_with_the_limit() -> None:
    for digits in ("1" * (MAX_INT_DIGITS + 1), "-" + "9" * 100_000):
        with pytest.raises(OverLimit, match="an integer has more than 4300 digits"):
            loads(f"[{digits}]".encode())


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"NaN", b"[Infinity]", b"-Infinity", b"01", b"1.", b"[1,]", b"'a'", b'{"a":1,}',
        b"\xef\xbb\xbf1", b'"\xff"', b'"\xed\xa0\x80"', b'"\\ud800"', b'"\\udc00x"', b'"\t"', b'"\\x"', b"1e400",
        b"-1e400", b"\x00", b"nul",
    ],
)  # fmt: skip
def test_what_is_no_json_is_refused_whether_or_not_a_long_integer_is_in_it(data: bytes) -> None:
    for text in (data, b"[%b,%b]" % (data, LONG.encode())):
        with pytest.raises(NotJson):
            loads(text)


@pytest.mark.parametrize("value", ["\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"), "\x00", "ä", ""])
def test_a_text_is_the_same_beside_a_long_integer(value: str) -> None:
    for ascii_only in (True, False):
        text = json.dumps([value, int(LONG)], ensure_ascii=ascii_only)
        assert loads(text.encode()) == [value, int(LONG)]


@pytest.mark.parametrize("leaf", ["", "1", LONG])
@pytest.mark.parametrize(("start", "end"), [("[", "]"), ('{"a":', "}"), ('[["]"],', ',["["]]')])
def test_json_is_read_up_to_the_nesting_limit(start: str, end: str, leaf: str) -> None:
    def nested(depth: int) -> bytes:
        return (start * (depth - 1) + f"[{leaf}]" + end * (depth - 1)).encode()

    loads_bounded(nested(MAX_NESTING))
    for depth in (MAX_NESTING + 1, 600, 5000):
        with pytest.raises(OverLimit, match="it is nested more than 254 deep"):
            loads_bounded(nested(depth))


def test_brackets_in_texts_and_side_by_side_are_no_nesting() -> None:
    for value in ["[" * 5000, ["]", "[{"] * 5000, [[]] * 5000, {str(n): {} for n in range(5000)}]:
        assert loads_bounded(orjson.dumps(value)) == value
