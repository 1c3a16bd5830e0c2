"""Times in documents."""

from __future__ import annotations

import pytest

from gateway.documents.job import time_text


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (1_795_809_534_000, "2026-11-27T19:58:54.000Z"),
        (1_795_809_534_007, "2026-11-27T19:58:54.007Z"),
        (1_795_809_534_999, "2026-11-27T19:58:54.999Z"),
        (1_795_809_535_000, "2026-11-27T19:58:55.000Z"),
        (1_009, "1970-01-01T00:00:01.009Z"),
    ],
)
def test_a_time_is_rfc_3339_to_the_millisecond(ms: int, text: str) -> None:
    assert time_text(ms) == text
