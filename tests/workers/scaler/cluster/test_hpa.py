"""The metric, against a model of the HPA's arithmetic that was written from its source."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.scaler.cluster.hpa import metric_for

TOLERANCE = Fraction(1, 10)
COUNTS = st.integers(0, 2000)


def through_keda(metric: float) -> Fraction:
    """KEDA's quantity: three digits behind the point."""
    return Fraction(f"{metric:.3f}")


def hpa(status: int, metric: Fraction, tolerance: Fraction = TOLERANCE) -> int:
    """Replicas that an HPA with an AverageValue target of 1 proposes, before its limits."""
    if status and 1 - tolerance <= metric / status <= 1 + tolerance:
        return status
    return math.ceil(metric)


@given(wanted=COUNTS, current=COUNTS)
def test_the_proposal_is_what_was_wanted_or_what_there_is(wanted: int, current: int) -> None:
    metric = through_keda(metric_for(wanted, current))
    proposed = hpa(current, metric)
    assert proposed in (wanted, current)
    if proposed != wanted:
        assert abs(wanted - current) <= TOLERANCE * current
        # No other metric with this ceiling would have been heard either: they are all in (wanted - 1, wanted].
        lowest, highest = Fraction(wanted - 1) + Fraction(1, 100), Fraction(wanted)
        assert hpa(current, lowest) == hpa(current, highest) == current


@given(wanted=COUNTS, current=COUNTS)
def test_without_tolerance_it_is_exact(wanted: int, current: int) -> None:
    assert hpa(current, through_keda(metric_for(wanted, current)), Fraction(0)) == wanted


@given(wanted=COUNTS, believed=COUNTS, current=COUNTS)
def test_a_count_that_is_wrong_by_now_only_delays(wanted: int, believed: int, current: int) -> None:
    assert hpa(current, through_keda(metric_for(wanted, believed))) in (wanted, current)


@pytest.mark.parametrize("current", range(20))
def test_ten_replicas_are_steered_exactly(current: int) -> None:
    """With the limit that the manifests have, 10, every decision is carried out on any cluster."""
    for wanted in range(11 if current <= 10 else current):
        assert hpa(current, through_keda(metric_for(wanted, current))) == wanted
