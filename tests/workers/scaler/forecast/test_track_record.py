"""Who has foretold well is believed."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.scaler.forecast.atoms import Atom
from workers.scaler.forecast.track_record import FADE, MOST, QUARTERS, SHARE, TrackRecord

LENGTH_S = 8.0


def sure(rate: float) -> tuple[Atom, ...]:
    return (Atom(1.0, rate, 0.0),)


def after(record: TrackRecord, times: int, jobs: int, *rates: float) -> TrackRecord:
    """After so many quarter-leads with as many jobs each, for which each expert foretold one rate."""
    for _ in range(times):
        shares = record.weights([0.0] * len(rates))
        record = record.observe(jobs, LENGTH_S, 1.0, shares, [sure(rate) for rate in rates])
    return record


def test_nobody_is_judged_before_a_lead_is_over() -> None:
    record = after(TrackRecord((0.0, 0.0)), QUARTERS, 8, 1.0, 3.0)
    assert record.scores == (0.0, 0.0)
    first, second = after(record, 1, 8, 1.0, 3.0).scores
    assert first > 0 > second


@pytest.mark.parametrize("came", [3, 8, 12])
def test_the_judgement_is_the_share_of_the_likelihood(came: int) -> None:
    """Of Poisson counts; a quarter of a job is added to each mean. Together they give the mean of both."""
    record = after(TrackRecord((0.0, 0.0)), QUARTERS + 1, came, 1.0, 2.0)
    likely = [came * math.log(mean) - mean for mean in (LENGTH_S + 0.25, 2 * LENGTH_S + 0.25)]
    together = math.log(sum(map(math.exp, likely)) / 2)
    expected = [SHARE * max(one - together, -MOST) for one in likely]
    assert record.scores == pytest.approx(expected, abs=1e-3)


def test_no_single_judgement_decides_everything() -> None:
    record = after(TrackRecord((0.0, 0.0)), QUARTERS + 1, 0, 0.0, 50.0)
    assert record.scores == pytest.approx((SHARE * math.log(2), -SHARE * MOST), abs=1e-3)
    assert sum(record.weights([0.0, 0.0])) == pytest.approx(1)


def test_old_judgements_fade() -> None:
    bad = after(TrackRecord((0.0, 0.0)), 60, 8, 1.0, 3.0)
    # From then on both say the same.
    later = after(bad, 70 + QUARTERS, 8, 1.0, 1.0)
    assert bad.scores[1] < -5
    assert later.scores[1] > bad.scores[1] * (1 - FADE) ** 60


def test_who_says_nothing_is_not_judged() -> None:
    record = TrackRecord((0.0, 0.0, 0.0))
    for _ in range(QUARTERS + 9):
        record = record.observe(8, LENGTH_S, 1.0, (0.5, 0.5, 0.0), [sure(1.0), sure(3.0), ()])
    assert record.scores[2] == 0.0
    assert record.weights([0.0, 0.0, -math.inf])[2] == 0.0


def test_one_that_is_believed_at_first_loses_to_one_that_is_right() -> None:
    record = after(TrackRecord((0.0, 0.0)), 60, 8, 3.0, 1.0)
    assert TrackRecord((0.0, 0.0)).weights([0.0, -2.0])[0] > 0.8
    assert record.weights([0.0, -2.0])[1] > 0.9


@given(
    judgements=st.lists(
        st.tuples(
            st.integers(0, 10**9),
            st.floats(1e-3, 1e6),
            st.lists(st.tuples(st.floats(1e-3, 1), st.floats(0, 1e6), st.floats(0, 1e6)), min_size=1, max_size=4),
            st.floats(0.02, 1e4),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_scores_are_finite_and_little_is_kept(
    judgements: list[tuple[int, float, list[tuple[float, float, float]], float]],
) -> None:
    record = TrackRecord((0.0, 0.0))
    for jobs, length_s, atoms, dispersion in judgements:
        record = record.observe(jobs, length_s, dispersion, (0.5, 0.5), [[Atom(*one) for one in atoms], sure(1.0)])
        assert max(map(abs, record.scores)) <= SHARE * MOST / FADE
        assert len(record.pending) <= QUARTERS
        assert sum(record.weights([0.0, -2.0])) == pytest.approx(1)
