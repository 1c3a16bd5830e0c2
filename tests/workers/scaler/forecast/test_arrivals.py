"""What is to be expected of jobs, from how many have come."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.scaler.forecast.arrivals import Arrivals

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

LEAD_S = 31.0


def observed(times_s: NDArray[np.float64], until_s: float, lead_s: float = LEAD_S, interval_s: float = 1.0) -> Arrivals:
    """After observing jobs that came at those times."""
    arrivals = Arrivals.begin(0.0, 1000, 5.0, lead_s)
    for step in range(1, round(until_s / interval_s) + 1):
        now_s = step * interval_s
        arrivals = arrivals.observe(now_s, 1000 + int(np.searchsorted(times_s, now_s, side="right")), lead_s)
    return arrivals


def rate_of(arrivals: Arrivals, lead_s: float = LEAD_S) -> float:
    return arrivals.forecast(lead_s, lead_s).rate


def clock(rate: Callable[[float], float], until_s: float) -> NDArray[np.float64]:
    """Job k comes when the integral of the rate is k - 0.5, so that round rates do not fall on the observations."""
    times_s = np.arange(0, until_s, 0.01)
    counts = np.cumsum([rate(time_s) * 0.01 for time_s in times_s.tolist()])
    return times_s[np.searchsorted(counts, np.arange(0.5, counts[-1] - 0.01))]


def poisson(rate: float, until_s: float, seed: int) -> NDArray[np.float64]:
    generator = np.random.default_rng(seed)
    return np.sort(generator.uniform(0, until_s, generator.poisson(rate * until_s)))


def test_no_jobs_are_expected_if_none_came() -> None:
    assert rate_of(Arrivals.begin(0.0, 7, 5.0, LEAD_S)) == 0.0
    assert rate_of(observed(np.array([]), 300)) == 0.0


@pytest.mark.parametrize("rate", [0.05, 0.2, 1.0, 7.0, 300.0])
@pytest.mark.parametrize("interval_s", [0.5, 1.0, 2.0])
def test_the_rate_of_a_clock_is_found(rate: float, interval_s: float) -> None:
    found = rate_of(observed(clock(lambda _: rate, 900), 900, interval_s=interval_s))
    assert found == pytest.approx(rate, rel=0.03 if rate > 0.1 else 0.1)


@pytest.mark.no_cover
def test_the_spread_is_how_much_forecasts_differ() -> None:
    """The standard deviation of the mixture is what the forecasts of many Poisson streams differ by, or more."""
    rates, spreads = [], []
    for seed in range(12):
        atoms = observed(poisson(1.0, 600, seed), 600).forecast(LEAD_S, LEAD_S).atoms
        rates.append(sum(weight * rate for weight, rate, _ in atoms))
        square = sum(weight * (rate**2 + spread**2) for weight, rate, spread in atoms)
        spreads.append(math.sqrt(square - rates[-1] ** 2))
    assert statistics.fmean(rates) == pytest.approx(1, abs=0.15)
    assert 0.5 * statistics.stdev(rates) < statistics.median(spreads) < 4 * statistics.stdev(rates)


def test_a_change_is_believed_within_a_few_jobs_and_an_end_within_a_lead() -> None:
    times_s = clock(lambda t: 0.4 if t < 900 else 1.6, 1200)
    assert rate_of(observed(times_s, 899)) == pytest.approx(0.4, rel=0.05)
    assert rate_of(observed(times_s, 915)) > 0.8
    assert rate_of(observed(times_s, 945)) == pytest.approx(1.6, rel=0.35)
    assert rate_of(observed(times_s, 1150)) == pytest.approx(1.6, rel=0.15)
    assert rate_of(observed(times_s, 1231)) < 0.4


def test_an_idle_hour_makes_no_difference() -> None:
    """An hour of 1 job/s after it is forecast as an hour of it from the beginning."""
    times_s = poisson(1.0, 1200, 3)
    at_once, later = observed(times_s, 1200), observed(times_s + 3600, 4800)
    assert rate_of(later) == pytest.approx(rate_of(at_once), rel=0.15)
    assert later.dispersion == pytest.approx(at_once.dispersion, rel=0.5)


@pytest.mark.no_cover
def test_bursts_that_repeat_are_foreseen() -> None:
    """2 jobs/s for a minute each quarter of an hour: the fifth is expected before it comes, and not long before."""
    times_s = clock(lambda t: 2.0 if t % 900 >= 840 else 0.0, 5400)
    before = [rate_of(observed(times_s, 4 * 900 + after_s)) for after_s in (300, 815, 830)]
    assert before[0] < 0.1
    assert before[1] > 0.4
    assert before[2] > before[1]
    assert observed(times_s, 4 * 900 + 815).forecast(LEAD_S, LEAD_S).change > 0.2


def test_a_burst_shorter_than_the_lead_is_no_rate_for_long() -> None:
    batch = Arrivals.begin(0.0, 0, 5.0, LEAD_S).observe(5.0, 0, LEAD_S).observe(6.0, 40, LEAD_S)
    for second in range(7, 67):
        batch = batch.observe(float(second), 40, LEAD_S)
    assert rate_of(batch) < 1


def test_jobs_that_come_at_once_are_told_as_bursts_and_jobs_by_chance_are_not() -> None:
    """30 jobs at once come each 100 s on average."""
    at_once = observed(np.repeat(poisson(0.01, 3600, 4), 30), 3600).forecast(LEAD_S, LEAD_S).bursts
    by_chance = observed(poisson(1.0, 1800, 4), 1800).forecast(LEAD_S, LEAD_S).bursts
    assert 0.005 < sum(burst.per_s for burst in at_once if burst.jobs > 25) < 0.02
    assert sum(burst.per_s * burst.jobs for burst in by_chance) < 0.01


@pytest.mark.parametrize("lead_s", [31.0, 301.0])
def test_a_slow_rise_is_followed(lead_s: float) -> None:
    """From 0.1 to 2 jobs/s in an hour; after half of it they are 1.05. Nobody says that it goes on rising."""
    slope = 1.9 / 3600
    found = rate_of(observed(clock(lambda t: 0.1 + slope * t, 1900), 1800, lead_s), lead_s)
    assert found == pytest.approx(1.05, rel=0.1)


@pytest.mark.no_cover
@given(
    observations=st.lists(
        st.tuples(
            st.one_of(st.floats(0, 10), st.floats(0, 1e9), st.just(1e-9)),
            st.one_of(st.integers(0, 3), st.integers(0, 10**9)),
        ),
        min_size=1,
        max_size=60,
    ),
    quiet_s=st.floats(1e-3, 1e4),
    leads=st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=3),
)
def test_whatever_comes_the_forecast_is_finite_and_no_job_is_lost(
    observations: list[tuple[float, int]], quiet_s: float, leads: list[float]
) -> None:
    arrivals, now_s, arrived = Arrivals.begin(100.0, 50, quiet_s, leads[0]), 100.0, 50
    for i, (passed_s, jobs) in enumerate(observations):
        now_s, arrived = now_s + passed_s, arrived + jobs
        lead_s = leads[i % len(leads)]
        arrivals = arrivals.observe(now_s, arrived, lead_s)
        forecast = arrivals.forecast(lead_s, lead_s)
        assert math.isfinite(forecast.dispersion + forecast.change)
        assert all(math.isfinite(number) and number >= 0 for atom in forecast.atoms for number in atom)
        assert sum(atom.weight for atom in forecast.atoms) == pytest.approx(1)
        assert len(arrivals.hypotheses) <= 24
        assert len(arrivals.counts) <= 160
    assert arrivals.observe(now_s + 1, arrived, 1.0).total == arrived - 50
