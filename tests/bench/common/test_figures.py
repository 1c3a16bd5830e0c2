"""Figures of several measurements."""

from __future__ import annotations

import pytest

from bench.common.figures import percentile


@pytest.mark.parametrize(("percent", "expected"), [(50, 2.0), (75, 3.0), (95, 4.0), (100, 4.0), (1, 1.0)])
def test_percentile_is_one_of_the_figures(percent: float, expected: float) -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], percent) == expected
