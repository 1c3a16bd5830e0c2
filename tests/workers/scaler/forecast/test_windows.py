"""Rates over one window, against least squares on explicit weights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.scaler.forecast.windows import WINDOWS_S, WindowFit, WindowSums

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

BIN_S = 0.05


def observed(window_s: float, jobs: Iterable[tuple[float, int]]) -> WindowSums:
    """After observations of (seconds since the one before, jobs that came in them)."""
    sums = WindowSums()
    for passed_s, count in jobs:
        sums = sums.observe(window_s, passed_s, count)
    return sums


def least_squares(counts: NDArray[np.int64], window_s: float, degree: int) -> tuple[NDArray[np.float64], float]:
    """Of the bins' rates, the latest bin last: coefficients in the age, and the variance of their first per rate."""
    ages_s = (np.arange(len(counts))[::-1] + 0.5) * BIN_S
    weights = np.exp(-ages_s / window_s)
    design = np.vander(ages_s, degree + 1, increasing=True)
    estimator = np.linalg.inv(design.T @ (weights[:, None] * design)) @ (weights[:, None] * design).T
    # A bin's rate has the variance of its count, rate x BIN_S, over BIN_S squared.
    return estimator @ (counts / BIN_S), float((estimator[0] ** 2).sum() / BIN_S)


@pytest.mark.parametrize("window_s", WINDOWS_S[:6])
@pytest.mark.parametrize("seen_s", [20.0, 300.0])
def test_a_fit_is_the_weighted_least_squares(window_s: float, seen_s: float) -> None:
    generator = np.random.default_rng(5)
    counts = generator.poisson(np.linspace(0.01, 0.2, round(seen_s / BIN_S)))
    sums = observed(window_s, [(BIN_S, int(count)) for count in counts])
    fit = WindowFit.of(window_s, seen_s, sums)
    (level,), scale = least_squares(counts, window_s, 0)
    assert fit.level == pytest.approx(level, rel=1e-3)
    assert fit.constant[:2] == (fit.level, 0.0)
    assert fit.constant.scale == pytest.approx(scale, rel=1e-3)
    (rate, by_age), scale = least_squares(counts, window_s, 1)
    assert fit.rate == pytest.approx(rate, rel=1e-2)
    assert fit.trend == pytest.approx(-by_age, rel=1e-2, abs=1e-5)
    line = fit.line(0.0)
    assert line[:2] == (fit.rate, fit.trend)
    assert line.scale == pytest.approx(scale, rel=1e-2)


@pytest.mark.parametrize("lead_s", [0.0, 31.0, 300.0])
def test_forecasts_vary_as_much_as_the_fit_says(lead_s: float) -> None:
    """Over many Poisson streams of the same rate."""
    window_s, seen_s, rate = 64.0, 400.0, 2.0
    generator = np.random.default_rng(6)
    ages_s = [np.sort(generator.uniform(0, seen_s, generator.poisson(rate * seen_s))) for _ in range(4000)]
    told, levels = [], []
    for ages in ages_s:
        weights = np.exp(-ages / window_s)
        fit = WindowFit.of(window_s, seen_s, WindowSums(float(weights.sum()), float((weights * ages).sum())))
        told.append(fit.rate + fit.trend * lead_s)
        levels.append(fit.level)
    # The mean within four of its own errors; a variance of 4,000 is known to 2 %.
    for values, line in ((told, fit.line(lead_s)), (levels, fit.constant)):
        assert np.mean(values) == pytest.approx(rate, abs=4 * math.sqrt(rate * line.scale / len(values)))
        assert np.var(values) == pytest.approx(rate * line.scale, rel=0.1)


@given(window=st.sampled_from(WINDOWS_S), rate=st.floats(0.01, 1e4), trend=st.floats(-0.9, 5))
def test_jobs_that_came_along_a_line_give_that_line(window: float, rate: float, trend: float) -> None:
    """`trend` is the change over the time that was seen, as a share of the rate now."""
    seen_s = 200.0
    slope = trend * rate / seen_s
    ages_s = (np.arange(20_000) + 0.5) * seen_s / 20_000
    jobs = (rate - slope * ages_s) * seen_s / 20_000
    weights = np.exp(-ages_s / window)
    fit = WindowFit.of(
        window, seen_s, WindowSums(float((weights * jobs).sum()), float((weights * jobs * ages_s).sum()))
    )
    assert fit.rate == pytest.approx(rate, rel=1e-3)
    assert fit.trend == pytest.approx(slope, rel=1e-2, abs=1e-4 * rate)


@given(
    observations=st.lists(st.tuples(st.floats(0.1, 30), st.integers(0, 20)), min_size=1, max_size=40),
    window_s=st.sampled_from(WINDOWS_S),
)
def test_two_sums_are_all_that_a_window_needs(observations: list[tuple[float, int]], window_s: float) -> None:
    """They are the sums over all jobs, each in the middle of its interval, however many observations ago."""
    weight = age_s = after_s = 0.0
    for passed_s, count in reversed(observations):
        middle_s = after_s + passed_s / 2
        weight += count * math.exp(-middle_s / window_s)
        age_s += count * middle_s * math.exp(-middle_s / window_s)
        after_s += passed_s
    sums = observed(window_s, observations)
    assert sums.weight == pytest.approx(weight)
    assert sums.age_s == pytest.approx(age_s)


@given(
    observations=st.lists(st.tuples(st.floats(0.1, 30), st.integers(0, 1000)), min_size=1, max_size=30),
    window_s=st.sampled_from(WINDOWS_S),
    quiet_s=st.floats(0.01, 100),
    lead_s=st.floats(0, 1000),
)
def test_a_fit_has_finite_numbers(
    observations: list[tuple[float, int]], window_s: float, quiet_s: float, lead_s: float
) -> None:
    fit = WindowFit.of(
        window_s, quiet_s + sum(passed_s for passed_s, _ in observations), observed(window_s, observations)
    )
    line = fit.line(lead_s)
    assert fit.level >= 0
    assert 0 < fit.constant.scale < math.inf
    assert line.scale > 0
    assert math.isfinite(line.rate + line.trend)
