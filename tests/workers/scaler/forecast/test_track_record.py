"""Who has foretold well is believed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.scaler.forecast.track_record import MEMORY, TrackRecord
from workers.scaler.forecast.windows import WINDOWS_S, WindowFit, WindowSums, fit_windows

LEAD_S = 30.0
CONSTANTS = range(0, 2 * len(WINDOWS_S), 2)
LINES = range(1, 2 * len(WINDOWS_S), 2)


def said(*constants: float) -> list[WindowFit]:
    """Fits of those constant rates, and no line; the other windows say the last of them."""
    rates = [*constants, *[constants[-1]] * (len(WINDOWS_S) - len(constants))]
    return [
        WindowFit(window_s, rate, (1.0, 1.0, 1.0), (1.0, 1.0, 1.0), rate, 0.0)
        for window_s, rate in zip(WINDOWS_S, rates, strict=True)
    ]


def after(counts: list[int], lead_s: float = LEAD_S, dispersion: float = 1.0) -> TrackRecord:
    """After so many jobs in each second."""
    record, total = TrackRecord(), 0
    sums = [WindowSums() for _ in WINDOWS_S]
    for second, jobs in enumerate(counts, start=1):
        total += jobs
        sums = [one.observe(window_s, 1.0, jobs) for window_s, one in zip(WINDOWS_S, sums, strict=True)]
        record = record.observe(float(second), total, lead_s, dispersion, fit_windows(second + 5.0, sums))
    return record


def test_no_fit_is_judged_before_the_time_that_it_foretold_is_over() -> None:
    record = TrackRecord().observe(0.0, 0, LEAD_S, 1.0, said(1.0, 2.0))
    for second in range(1, 39):
        record = record.observe(float(second), second, LEAD_S, 1.0, said(1.0, 2.0))
        assert set(record.scores) == {0.0}
    assert record.observe(39.0, 39, LEAD_S, 1.0, said(1.0, 2.0)).scores[0] == 0.0
    assert record.observe(39.0, 39, LEAD_S, 1.0, said(1.0, 2.0)).scores[2] < 0


@pytest.mark.parametrize("dispersion", [0.5, 1.0, 8.0])
@pytest.mark.parametrize("came", [0, 5, 18, 40])
def test_the_judgement_is_the_likelihood_of_what_came(came: int, dispersion: float) -> None:
    """Of a Poisson count, over the dispersion, in the 18 seconds around the lead."""
    record = TrackRecord().observe(0.0, 7, LEAD_S, dispersion, said(0.5, 1.0, 1.5))
    record = record.observe(21.0, 10, LEAD_S, dispersion, said(0.0))
    record = record.observe(39.0, 10 + came, LEAD_S, dispersion, said(0.0))

    def likelihood(mean: float) -> float:
        return came * math.log(mean) - mean - math.lgamma(came + 1)

    # A quarter of a job is added to each mean, so that none is 0.
    means = [0.5 * 18 + 0.25, 18 + 0.25, 1.5 * 18 + 0.25]
    best = max(likelihood(mean) for mean in means)
    for score, mean in zip(record.scores[::2], means, strict=False):
        assert score == pytest.approx((likelihood(mean) - best) / dispersion)


def test_old_judgements_fade() -> None:
    record, total = TrackRecord(), 0
    for second in range(200):
        total += 1
        record = record.observe(float(second), total, LEAD_S, 1.0, said(1.0, 2.0))
    bad = record.scores[2]
    # From now on both say the same.
    for second in range(200, 200 + 18 * 30):
        total += 1
        record = record.observe(float(second), total, LEAD_S, 1.0, said(1.0))
    assert bad < -5
    assert abs(record.scores[2]) < abs(bad) * MEMORY**20


def test_lines_are_believed_if_the_rate_climbs_and_long_constants_if_it_does_not() -> None:
    climbing = after([round(t * t / 100) - round((t - 1) ** 2 / 100) for t in range(1, 901)], lead_s=120.0)
    assert max(climbing.scores[i] for i in LINES) == 0.0
    assert max(climbing.scores[i] for i in CONSTANTS) < -3
    steady = after(np.random.default_rng(2).poisson(1.0, 900).tolist())
    assert max(steady.scores[i] for i in CONSTANTS) == 0.0
    assert steady.scores[2 * WINDOWS_S.index(256.0)] > -1
    assert max(steady.scores[1], steady.scores[3], steady.scores[5]) < -10


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_a_fit_that_was_wrong_at_first_is_believed_once_it_is_right(seed: int) -> None:
    """Long lines of the first minutes are drawn through next to nothing, and lead anywhere."""
    counts = np.random.default_rng(seed).poisson(np.linspace(1.0, 20.0, 3600)[:1800]).tolist()
    scores = after(counts, lead_s=300.0).scores
    assert max(scores[2 * WINDOWS_S.index(window_s) + 1] for window_s in (256.0, 512.0, 1024.0)) == 0.0


@given(
    observations=st.lists(st.tuples(st.floats(1e-3, 1e3), st.integers(0, 10**6)), min_size=1, max_size=100),
    leads=st.lists(st.floats(0.1, 1e5), min_size=1, max_size=5),
    dispersion=st.floats(0.005, 1e4),
)
def test_scores_are_finite_and_little_is_kept(
    observations: list[tuple[float, int]], leads: list[float], dispersion: float
) -> None:
    """Whatever becomes of the lead."""
    record, now_s, total = TrackRecord(), 0.0, 0
    sums = [WindowSums() for _ in WINDOWS_S]
    for i, (passed_s, jobs) in enumerate(observations):
        now_s, total = now_s + passed_s, total + jobs
        sums = [one.observe(window_s, passed_s, jobs) for window_s, one in zip(WINDOWS_S, sums, strict=True)]
        lead_s = leads[i * len(leads) // len(observations)]
        record = record.observe(now_s, total, lead_s, dispersion, fit_windows(now_s + 5.0, sums))
        assert max(record.scores) == 0.0
        assert all(math.isfinite(score) for score in record.scores)
        assert len(record.foretold) <= 4 * len(leads)
