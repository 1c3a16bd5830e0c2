"""The index of dispersion of streams whose index is known."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.scaler.forecast.dispersion import Dispersion

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCALE_S = 15.0
LENGTH_S = 3600.0


def index_of(times_s: NDArray[np.float64], interval_s: float = 1.0, length_s: float = LENGTH_S) -> float:
    """After observing jobs that came at those times."""
    dispersion, seen = Dispersion(), 0
    for step in range(1, int(length_s / interval_s) + 1):
        now_s = step * interval_s
        total = int(np.searchsorted(times_s, now_s, side="right"))
        dispersion = dispersion.observe(now_s, interval_s, total - seen, total / now_s, now_s, SCALE_S)
        seen = total
    return dispersion.index


def poisson(rate: float, seed: int) -> NDArray[np.float64]:
    generator = np.random.default_rng(seed)
    return np.sort(generator.uniform(0, LENGTH_S, generator.poisson(rate * LENGTH_S)))


@pytest.mark.parametrize("rate", [0.02, 0.13, 0.5, 0.77, 1.0, 2.3, 10.0, 100.0])
def test_the_index_of_a_clock_is_almost_zero(rate: float) -> None:
    assert index_of(np.arange(0.3, LENGTH_S, 1 / rate)) < 0.06


def test_the_index_of_a_clock_that_speeds_up_is_small_too() -> None:
    """The square root of the time has a rate that changes; from 0.1 to 1 job/s here."""
    counts = np.arange(1, 0.55 * LENGTH_S)
    a, b = 0.9 / LENGTH_S / 2, 0.1
    assert index_of((-b + np.sqrt(b * b + 4 * a * counts)) / (2 * a)) < 0.1


@pytest.mark.parametrize(("rate", "error"), [(0.05, 0.4), (0.3, 0.25), (1.0, 0.25), (5.0, 0.25), (50.0, 0.25)])
def test_the_index_of_a_poisson_process_is_one(rate: float, error: float) -> None:
    """It rests on some dozens of pairs of counts, or on a dozen where jobs are rare: a single one may be far off."""
    found = [index_of(poisson(rate, seed)) for seed in range(10)]
    assert statistics.fmean(found) == pytest.approx(1, abs=error)
    assert min(found) > 0.3
    assert max(found) < 2.2


@pytest.mark.parametrize("size", [10, 20])
def test_the_index_of_batches_is_their_size(size: int) -> None:
    found = [index_of(np.repeat(poisson(1 / size, seed), size)) for seed in range(10)]
    assert statistics.fmean(found) == pytest.approx(size, rel=0.3)
    assert min(found) > 5


def test_the_interval_between_observations_matters_little() -> None:
    for streams in (
        [poisson(0.5, seed) for seed in range(5)],
        [np.repeat(poisson(0.1, seed), 10) for seed in range(5)],
        [np.arange(0.3, LENGTH_S, 1.7)],
    ):
        often, seldom = (
            statistics.fmean(index_of(times_s, interval_s) for times_s in streams) for interval_s in (0.5, 4.0)
        )
        assert seldom == pytest.approx(often, rel=0.3, abs=0.05)


def test_a_step_of_the_rate_is_no_burst() -> None:
    """An idle half hour and a job a second after it: one pair of blocks says thousands, and the others 1."""
    idle_s = LENGTH_S / 2
    found = [index_of(idle_s + poisson(1.0, seed)[: int(idle_s)]) for seed in range(5)]
    assert max(found) < 2.5


def test_a_poisson_process_is_assumed_before_anything_is_known() -> None:
    assert Dispersion().index == 1.0
    assert index_of(np.array([5.2]), length_s=60) == pytest.approx(1.0, abs=0.5)
    # A few jobs, as by a clock, are no proof of one yet.
    assert 0.1 < index_of(np.arange(5.0, 60, 10), length_s=60) < 1.0


def test_the_index_changes_when_the_jobs_do() -> None:
    calm = np.arange(0.5, 1800, 1.0)
    wild = 1800 + np.repeat(poisson(0.1, 4)[:180], 10)
    assert index_of(calm, length_s=1800) < 0.05
    assert index_of(np.concatenate([calm, wild]), length_s=3600) > 3


@given(
    observations=st.lists(
        st.tuples(st.floats(1e-3, 1e4), st.one_of(st.integers(0, 3), st.integers(0, 10**9))), min_size=1, max_size=200
    ),
    scale_s=st.floats(0, 1e4),
)
def test_the_index_is_finite_and_little_is_kept(observations: list[tuple[float, int]], scale_s: float) -> None:
    dispersion, now_s, total = Dispersion(), 0.0, 0
    for passed_s, jobs in observations:
        now_s, total = now_s + passed_s, total + jobs
        dispersion = dispersion.observe(now_s, passed_s, jobs, total / now_s, now_s, scale_s)
        assert 0 < dispersion.index < math.inf
        assert len(dispersion.gaps_s) <= 32
