"""Rates over windows, against the jobs themselves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.scaler.forecast.atoms import NO_JOBS
from workers.scaler.forecast.windows import WINDOWS_S, foretold, observe

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from workers.scaler.forecast.atoms import Atom

LEAD_S = 31.0


def observed(jobs: Iterable[tuple[float, int]]) -> tuple[float, ...]:
    """After observations of (seconds since the one before, jobs that came in them)."""
    weights: tuple[float, ...] = (0.0,) * len(WINDOWS_S)
    for passed_s, count in jobs:
        weights = observe(weights, passed_s, count)
    return weights


def of_ages(ages_s: NDArray[np.float64], jobs: NDArray[np.float64] | float = 1.0) -> list[float]:
    """The sums of jobs of these ages."""
    return [float((jobs * np.exp(-ages_s / window_s)).sum()) for window_s in WINDOWS_S]


def said(weights: Iterable[float], seen_s: float, dispersion: float = 1.0, quiet_s: float = 0.0) -> list[Atom]:
    """By the windows."""
    return [atom for (atom,) in foretold(list(weights), seen_s, quiet_s, 10**9, LEAD_S, dispersion)[1]]


@pytest.mark.parametrize("seen_s", [300.0, 600.0])
def test_what_came_gives_the_mean_of_each_window(seen_s: float) -> None:
    """From 1 job/s to 1.4 within 200 s."""
    ages_s = (np.arange(40_000) + 0.5) * seen_s / 40_000
    found = said(of_ages(ages_s, (1.4 - 0.002 * ages_s) * seen_s / 40_000), seen_s)
    for expert, window_s in enumerate(WINDOWS_S):
        weights = np.exp(-ages_s / window_s)
        mean = float(((1.4 - 0.002 * ages_s) * weights).sum() / weights.sum())
        assert found[expert].rate == pytest.approx(mean, rel=1e-3)


def test_forecasts_vary_as_much_as_they_say() -> None:
    """Over many Poisson streams of the same rate."""
    seen_s, rate = 400.0, 2.0
    generator = np.random.default_rng(6)
    streams = [generator.uniform(0, seen_s, generator.poisson(rate * seen_s)) for _ in range(2000)]
    found = [said(of_ages(ages_s), seen_s) for ages_s in streams]
    for expert in (4, 6):
        atoms = [one[expert] for one in found]
        rates, spread = [atom.rate for atom in atoms], float(np.median([atom.spread for atom in atoms]))
        assert np.mean(rates) == pytest.approx(rate, abs=4 * spread / math.sqrt(len(rates)) + 0.01)
        assert np.std(rates) == pytest.approx(spread, rel=0.1)


@pytest.mark.parametrize("gap_s", [3.0, 6.0, 12.0])
def test_a_clocks_rate_is_the_same_before_and_after_its_job(gap_s: float) -> None:
    """Without that it would seem to rise with each job, and to fall until the next."""
    for quiet_s in (0.0, 0.5 * gap_s, 0.99 * gap_s):
        found = said(of_ages(np.arange(400.0) * gap_s + quiet_s), 5000.0, dispersion=0.0, quiet_s=quiet_s)
        for expert in range(3, 7):
            assert found[expert].rate == pytest.approx(1 / gap_s, rel=0.05)
    by_chance = said(of_ages(np.arange(400.0) * gap_s), 5000.0, dispersion=1.0)
    assert by_chance[3].rate == pytest.approx(1 / gap_s + 0.5 / 32, rel=0.05)


@pytest.mark.parametrize(("gap_s", "best_s"), [(0.1, 32.0), (5.0, 32.0), (60.0, 128.0), (240.0, 512.0)])
def test_the_best_window_is_at_first_as_long_as_a_lead_or_as_two_jobs_take(gap_s: float, best_s: float) -> None:
    jobs = int(4000 / gap_s)
    priors = foretold(of_ages(np.arange(0.5, jobs) * gap_s), 4000.0, 0.5 * gap_s, jobs, LEAD_S, 1.0)[0]
    assert priors.index(max(priors)) == WINDOWS_S.index(best_s)


def test_before_the_first_job_nothing_is_said() -> None:
    assert foretold(observed([(5.0, 0)]), 5.0, 0.0, 0, LEAD_S, 1.0)[1] == [(NO_JOBS,)] * len(WINDOWS_S)


@given(observations=st.lists(st.tuples(st.floats(0.1, 30), st.integers(0, 20)), min_size=1, max_size=40))
def test_one_sum_is_all_that_a_window_needs(observations: list[tuple[float, int]]) -> None:
    """It is the sum over all jobs, each in the middle of its interval, however many observations ago."""
    sums, after_s = [0.0] * len(WINDOWS_S), 0.0
    for passed_s, count in reversed(observations):
        for number, window_s in enumerate(WINDOWS_S):
            sums[number] += count * math.exp(-(after_s + passed_s / 2) / window_s)
        after_s += passed_s
    assert observed(observations) == pytest.approx(tuple(sums))


@given(
    observations=st.lists(st.tuples(st.floats(0, 1e4), st.integers(0, 1000)), min_size=1, max_size=30),
    seen_s=st.floats(1e-6, 1e6),
    quiet_s=st.floats(0, 1e6),
    lead_s=st.floats(1e-6, 1000),
    dispersion=st.floats(0, 1e6),
)
def test_what_is_foretold_is_finite(
    observations: list[tuple[float, int]], seen_s: float, quiet_s: float, lead_s: float, dispersion: float
) -> None:
    jobs = sum(count for _, count in observations)
    priors, atoms = foretold(observed(observations), seen_s, quiet_s, jobs, lead_s, dispersion)
    assert all(math.isfinite(prior) for prior in priors)
    assert all(math.isfinite(number) and number >= 0 for (atom,) in atoms for number in atom)
