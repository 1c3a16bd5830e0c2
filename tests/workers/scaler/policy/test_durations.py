"""What is learnt of service and start-up times."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.scaler.policy.durations import KEPT, Durations

SECONDS = st.floats(1e-3, 1e4)


def test_before_the_first_observation_the_guess_holds() -> None:
    guess = Durations(30.0)
    assert (guess.mean_s, guess.variation) == (30.0, 0.0)
    assert guess.quantile_s(0.8) == 30.0
    assert guess.left_s(10.0, 0.8) == 20.0


def test_the_guess_counts_for_one_observation_and_fades() -> None:
    guess = Durations(30.0)
    one = guess.add([10.0])
    # Of the first it takes all that is kept but one part.
    assert one.mean_s == pytest.approx((10 + 30 * (1 - 1 / KEPT)) / (2 - 1 / KEPT))
    assert one.quantile_s(0.8) == 10.0
    assert 10 < one.mean_s < 21
    assert guess.add([10.0] * 20).mean_s == pytest.approx(10, abs=1)
    assert guess.add([10.0] * KEPT).mean_s == 10


def test_the_last_observations_count_and_no_more_are_kept() -> None:
    durations = Durations(30.0)
    for _ in range(KEPT):
        durations = durations.add([100.0])
    for _ in range(KEPT):
        durations = durations.add([2.0])
    assert (durations.mean_s, durations.quantile_s(1.0), len(durations.seen_s)) == (2.0, 2.0, KEPT)
    assert len(durations.add([1.0] * 10 * KEPT).seen_s) == KEPT


def test_a_change_is_learnt_from_a_few() -> None:
    """A new release of a model takes three times as long; and a duration that varies by chance is no change."""
    before = Durations(5.0).add([5.0, 5.2, 4.8] * 60)
    assert before.add([15.0, 15.1, 14.9] * 3).mean_s > 12
    assert before.add([5.3] * 30).seen_s[:100] == before.seen_s[:100]
    generator = np.random.default_rng(1)
    assert len(Durations(5.0).add(generator.exponential(5.0, 250).tolist()).seen_s) == 250


def test_mean_and_variation_are_those_of_the_observations() -> None:
    seen = np.random.default_rng(1).gamma(4.0, 2.0, KEPT).tolist()
    durations = Durations(999.0).add(seen)
    assert durations.mean_s == pytest.approx(statistics.fmean(seen))
    assert durations.variation == pytest.approx(statistics.pvariance(seen) / statistics.fmean(seen) ** 2)


@given(seen=st.lists(SECONDS, min_size=1, max_size=KEPT), share=st.floats(0.01, 1))
def test_a_quantile_is_the_least_observation_that_as_many_do_not_exceed(seen: list[float], share: float) -> None:
    quantile_s = Durations(30.0).add(seen).quantile_s(share)
    assert quantile_s in seen
    assert sum(value <= quantile_s for value in seen) >= share * len(seen) - 1e-9
    assert sum(value < quantile_s for value in seen) < share * len(seen) + 1e-9


@given(seen=st.lists(SECONDS, min_size=1, max_size=50), age_s=st.floats(0, 2e4), share=st.floats(0.01, 1))
def test_the_time_left_is_that_of_observations_that_took_longer(seen: list[float], age_s: float, share: float) -> None:
    left_s = Durations(30.0).add(seen).left_s(age_s, share)
    longer = [value for value in seen if value > age_s]
    assert left_s == (Durations(1.0).add(longer).quantile_s(share) - age_s if longer else age_s / 2)
    assert left_s >= 0


def test_a_duration_longer_than_all_observed_ones_is_still_waited_for() -> None:
    durations = Durations(30.0).add([28.0, 30.0, 32.0])
    assert durations.left_s(20.0, 0.8) == 12.0
    assert durations.left_s(40.0, 0.8) == 20.0


@given(seen=st.lists(SECONDS, max_size=60), cut=st.integers(0, 60))
def test_observations_may_come_in_any_number_of_parts(seen: list[float], cut: int) -> None:
    assert Durations(5.0).add(seen[:cut]).add(seen[cut:]) == Durations(5.0).add(seen)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0, 0.0, 5e-324, 1e300])
def test_impossible_durations_are_left_out(value: float) -> None:
    durations = Durations(5.0).add([4.0])
    assert durations.add([value]) is durations
    assert durations.add([value, 6.0]) == Durations(5.0).add([4.0, 6.0])
