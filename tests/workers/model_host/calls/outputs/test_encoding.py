"""What a result that is no JSON is called."""

from __future__ import annotations

from typing import Any

import pytest

from workers.model_host.calls.failures import Refusal
from workers.model_host.calls.outputs.encoding import encoded


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (object(), "an object that can't be written as JSON"),
        (pytest, "a module that can't be written as JSON"),
        ([object()], "a list that can't be written as JSON: an object, at /0"),
    ],
)
def test_what_a_model_returned_is_named_once_and_why_it_is_no_json(value: Any, what: str) -> None:
    with pytest.raises(Refusal) as refused:
        encoded(value, 1000)
    assert str(refused.value).endswith(f"predict returned {what}")
