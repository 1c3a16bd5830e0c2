"""The index of dispersion of streams whose index is known."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.scaler.forecast.dispersion import Count, index

if TYPE_CHECKING:
    from numpy.typing import NDArray

QUARTER_S, LENGTH_S = 8.0, 1280.0


def index_of(times_s: NDArray[np.float64], length_s: float = LENGTH_S) -> float:
    """Of jobs that came at those times, counted in quarter-leads."""
    counts, _ = np.histogram(times_s, np.arange(0, length_s + 1, QUARTER_S))
    return index([Count(int(jobs), QUARTER_S) for jobs in counts])


def poisson(rate: float, seed: int) -> NDArray[np.float64]:
    generator = np.random.default_rng(seed)
    return np.sort(generator.uniform(0, LENGTH_S, generator.poisson(rate * LENGTH_S)))


@pytest.mark.parametrize("rate", [0.02, 0.13, 0.5, 0.77, 1.0, 2.3, 10.0, 100.0])
def test_a_clock_has_an_index_far_below_one(rate: float) -> None:
    assert index_of(np.arange(0.3, LENGTH_S, 1 / rate)) < (0.15 if rate > 0.1 else 0.5)


@pytest.mark.parametrize("rate", [0.05, 0.3, 1.0, 5.0, 50.0])
def test_the_index_of_a_poisson_process_is_one(rate: float) -> None:
    found = [index_of(poisson(rate, seed)) for seed in range(10)]
    assert statistics.fmean(found) == pytest.approx(1, abs=0.35)


def test_the_index_of_batches_is_about_their_size() -> None:
    found = [index_of(np.repeat(poisson(0.5, seed), 10)) for seed in range(10)]
    assert statistics.fmean(found) == pytest.approx(10, rel=0.4)


def test_a_step_of_the_rate_is_no_burst() -> None:
    """An idle half hour and a job a second after it: one pair of blocks says thousands, and the others 1."""
    idle_s = LENGTH_S / 2
    found = [index_of(idle_s + poisson(1.0, seed)[: int(idle_s)]) for seed in range(5)]
    assert max(found) < 2.5


def test_a_poisson_process_is_assumed_before_anything_is_known() -> None:
    assert index([]) == index([Count(0, QUARTER_S)] * 160) == 1.0
    # A few jobs, as by a clock, are no proof of one yet.
    assert 0.2 < index_of(np.arange(5.0, 60, 10), length_s=64) < 1.0


def test_a_flood_after_idle_time_is_one_pair_and_no_burst() -> None:
    """An hour of nothing, then 1 job/s: the first pair of counts is far apart, and no other."""
    assert index([Count(0, QUARTER_S)] * 100 + [Count(8, QUARTER_S)] * 60) < 1.0
    assert index([Count(8, QUARTER_S)] * 159 + [Count(1000, QUARTER_S)]) < 1.0


def test_known_changes_of_the_rate_are_no_chance() -> None:
    """Bursts of 2 jobs/s for a minute, each five minutes."""
    starts_s = np.arange(0.0, LENGTH_S, QUARTER_S)
    rates = np.where(starts_s % 300 < 240, 0.0, 2.0)
    changes_s = [LENGTH_S - at_s for at_s in range(0, int(LENGTH_S), 60) if at_s % 300 in (0, 240)]
    for seed in range(5):
        jobs = np.random.default_rng(seed).poisson(rates * QUARTER_S)
        counts = [Count(int(n), QUARTER_S) for n in jobs]
        assert index(counts) > 5
        assert 1 <= index(counts, changes_s) < 2


counted = st.lists(st.builds(Count, st.integers(0, 10**9), st.floats(1e-3, 1e6)), max_size=160)


@given(counted, st.lists(st.floats(-1e6, 1e8), max_size=40))
def test_the_index_is_a_number_whatever_comes(counts: list[Count], changes_s: list[float]) -> None:
    assert 0 <= index(counts) < math.inf
    assert min(index(counts), 1.0) <= index(counts, changes_s) <= index(counts)
