"""The names found in the text of an object are those that reading it finds."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.documents.members import names_among

NAMES = "id|input|_+job"
TEXTS = st.one_of(
    st.sampled_from(["id", "input", "_job", "__job", "job", '"id":', '\\"id":{', "]", "\\", "\x00"]), st.text()
)
VALUES = st.recursive(
    st.one_of(TEXTS, st.integers(), st.none()),
    lambda values: st.one_of(st.lists(values, max_size=4), st.dictionaries(TEXTS, values, max_size=4)),
    max_leaves=12,
)


@given(st.dictionaries(TEXTS, VALUES, max_size=5), st.booleans(), st.sampled_from([None, 1]))
@settings(deadline=None)
def test_names_are_those_of_the_object_itself(value: dict[str, Any], ascii_only: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode(errors="replace")

    assert names_among(NAMES, text) == value.keys() & {"id", "input", "_job", "__job"}


def test_a_name_that_is_found_far_into_the_text() -> None:
    text = b'{"a":"%b","b":[{"id":1}],"id":{"input":2}}' % (b"[{" * 100_000)

    assert names_among(NAMES, text) == {"id"}


def test_names_written_by_numbers_are_left_to_others() -> None:
    assert names_among(NAMES, rb'{"\u0069d":1}') is None
    assert names_among(NAMES, rb'{"\\u0069d":1,"\u000a":"\u00e9"}') == set()
