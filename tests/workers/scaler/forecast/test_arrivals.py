"""What is to be expected of jobs, from how many have come."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.scaler.forecast.arrivals import Arrivals, Forecast

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

LEAD_S = 31.0


def observed(times_s: NDArray[np.float64], until_s: float, lead_s: float = LEAD_S, interval_s: float = 1.0) -> Arrivals:
    """After observing jobs that came at those times."""
    arrivals = Arrivals.begin(0.0, 1000, 5.0)
    for step in range(1, round(until_s / interval_s) + 1):
        now_s = step * interval_s
        arrivals = arrivals.observe(now_s, 1000 + int(np.searchsorted(times_s, now_s, side="right")), lead_s)
    return arrivals


def clock(rate: Callable[[float], float], until_s: float) -> NDArray[np.float64]:
    """Job k comes when the integral of the rate is k - 0.5, so that round rates do not fall on the observations."""
    times_s = np.arange(0, until_s, 0.01)
    counts = np.cumsum([rate(time_s) * 0.01 for time_s in times_s.tolist()])
    return times_s[np.searchsorted(counts, np.arange(0.5, counts[-1] - 0.01))]


def poisson(rate: float, until_s: float, seed: int) -> NDArray[np.float64]:
    generator = np.random.default_rng(seed)
    return np.sort(generator.uniform(0, until_s, generator.poisson(rate * until_s)))


def test_no_jobs_are_expected_if_none_came() -> None:
    assert Arrivals.begin(0.0, 7, 5.0).forecast(LEAD_S).at(LEAD_S) == 0.0
    assert observed(np.array([]), 300).forecast(LEAD_S) == (0.0, 0.0, 0.0, 0.0, 1.0)


def test_a_first_job_is_no_rate_and_a_second_none_without_end() -> None:
    assert observed(np.array([0.5]), 1).forecast(LEAD_S).at(LEAD_S) == 0
    assert 0 < observed(np.array([0.5, 1.5]), 2).forecast(LEAD_S).at(LEAD_S) < 1


@pytest.mark.parametrize("rate", [0.05, 0.2, 1.0, 7.0, 300.0])
@pytest.mark.parametrize("interval_s", [0.5, 1.0, 2.0])
def test_the_rate_of_a_clock_is_found(rate: float, interval_s: float) -> None:
    """As well as that can be: of rare jobs the last one is always just gone, or the next one due."""
    forecast = observed(clock(lambda _: rate, 900), 900, interval_s=interval_s).forecast(LEAD_S)
    assert forecast.at(LEAD_S) == pytest.approx(rate, rel=0.05 if rate > 0.1 else 0.2)
    assert forecast.error < max(0.02, 0.1 * rate)


def test_the_error_is_how_much_forecasts_differ() -> None:
    """The error is what the forecasts of many Poisson streams differ by, or a little more."""
    forecasts = [observed(poisson(1.0, 600, seed), 600).forecast(LEAD_S) for seed in range(25)]
    rates = [forecast.at(LEAD_S) for forecast in forecasts]
    spread, error = statistics.stdev(rates), statistics.median(forecast.error for forecast in forecasts)
    assert statistics.fmean(rates) == pytest.approx(1, abs=0.1)
    assert 0.5 * spread < error < 3 * spread
    clockwork = observed(clock(lambda _: 1.0, 600), 600).forecast(LEAD_S)
    assert clockwork.error < error / 3


def test_a_rate_that_holds_is_well_known_and_a_change_is_noticed_in_seconds() -> None:
    times_s = clock(lambda t: 0.4 if t < 900 else 1.6, 1200)
    before = observed(times_s, 899).forecast(LEAD_S)
    assert before.at(LEAD_S) == pytest.approx(0.4, rel=0.05)
    assert before.error < 0.02
    # Soon after the step it is forgotten that it was less.
    assert observed(times_s, 915).forecast(LEAD_S).at(LEAD_S) > 0.8
    assert observed(times_s, 945).forecast(LEAD_S).at(LEAD_S) == pytest.approx(1.6, rel=0.3)
    assert observed(times_s, 1150).forecast(LEAD_S).at(LEAD_S) == pytest.approx(1.6, rel=0.05)


def test_the_more_unevenly_jobs_come_the_longer_is_the_memory() -> None:
    even, uneven = clock(lambda _: 1.0, 900), poisson(1.0, 900, 1)
    bursts = np.repeat(poisson(0.1, 900, 2), 10)
    lengths_s = [observed(times_s, 900).forecast(LEAD_S).window_s for times_s in (even, uneven, bursts)]
    assert lengths_s == sorted(lengths_s)
    assert lengths_s[0] < lengths_s[2]


def test_a_batch_is_no_rate_until_another_comes() -> None:
    batch = Arrivals.begin(0.0, 0, 5.0).observe(5.0, 0, LEAD_S).observe(6.0, 40, LEAD_S)
    assert batch.forecast(LEAD_S).at(LEAD_S) == 0
    assert batch.observe(7.0, 80, LEAD_S).forecast(LEAD_S).at(LEAD_S) > 1


def test_an_end_of_arrivals_is_noticed_in_seconds() -> None:
    times_s = clock(lambda _: 1.0, 900)
    rates = [observed(times_s, 900 + more_s).forecast(LEAD_S).at(LEAD_S) for more_s in (0, 15, 60)]
    assert rates[0] == pytest.approx(1, rel=0.1)
    assert rates[1] < 0.5
    assert rates[2] < 0.1


@pytest.mark.parametrize("lead_s", [31.0, 301.0])
@pytest.mark.parametrize("process", ["clock", "poisson"])
def test_a_trend_is_followed_to_the_time_that_matters(process: str, lead_s: float) -> None:
    """From 0.1 to 2 jobs/s in an hour, ten times as many by chance; after half of it they are 1.05, or 10.5."""
    slope = 1.9 / 3600
    if process == "clock":
        streams = [clock(lambda t: 0.1 + slope * t, 1900)]
    else:
        streams = []
        for seed in range(4):
            times_s = poisson(20.0, 3600, seed)
            keep = np.random.default_rng(100 + seed).random(len(times_s)) < (0.1 + slope * times_s) / 2.0
            streams.append(times_s[keep])
    rates = [observed(times_s, 1800, lead_s).forecast(lead_s).at(lead_s) for times_s in streams]
    times = 1 if process == "clock" else 10
    assert statistics.fmean(rates) == pytest.approx(times * (1.05 + slope * lead_s), rel=0.06)


@given(rate=st.floats(0, 1e3), trend=st.floats(-10, 10), from_s=st.floats(0, 1e3), length_s=st.floats(0, 1e3))
def test_jobs_are_the_area_below_the_rate(rate: float, trend: float, from_s: float, length_s: float) -> None:
    forecast = Forecast(rate, trend, 0.0, 1.0, 1.0)
    to_s = from_s + length_s
    middle = rate + trend * (from_s + to_s) / 2
    assert forecast.jobs(from_s, to_s) == pytest.approx(max(0.0, length_s * middle), abs=1e-6)
    assert forecast.at(to_s) == max(0.0, rate + trend * to_s)


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
    arrivals, now_s, arrived = Arrivals.begin(100.0, 50, quiet_s), 100.0, 50
    for i, (passed_s, jobs) in enumerate(observations):
        now_s, arrived = now_s + passed_s, arrived + jobs
        lead_s = leads[i % len(leads)]
        arrivals = arrivals.observe(now_s, arrived, lead_s)
        forecast = arrivals.forecast(lead_s)
        assert all(math.isfinite(number) for number in forecast)
        assert forecast.error >= 0
    arrivals = arrivals.observe(now_s + 1, arrived, 1.0)
    assert arrivals.total == arrived - 50
