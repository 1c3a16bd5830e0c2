"""What came at the same time before is expected again, and heard once it has been right."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.scaler.forecast import seasons
from workers.scaler.forecast.arrivals import Arrivals
from workers.scaler.forecast.atoms import Atom
from workers.scaler.forecast.seasons import SLOTS, Season
from workers.scaler.forecast.track_record import QUARTERS, TrackRecord

if TYPE_CHECKING:
    from collections.abc import Callable

LEAD_S = 31.0
HOUR_S = 3600


def hours(rate: Callable[[float], float], from_s: int, to_s: int, season: Season | None = None) -> Season:
    """The profile of an hour after those seconds, with the rate as a clock."""
    season, jobs = season or seasons.begin()[0], 0.0
    for second in range(from_s, to_s):
        before, jobs = jobs, jobs + rate(second % HOUR_S)
        season = season.observe(second, second + 1.0, math.floor(jobs) - math.floor(before))
    return season


def always(rate: float, _second: float) -> float:
    return rate


def rise(second: float) -> float:
    """Nothing in the first half of the hour, then 2 jobs/s."""
    return 2.0 if second >= 1800 else 0.0


def test_nothing_is_said_of_a_time_that_was_never_seen() -> None:
    assert [season.foretold(1e9) for season in seasons.begin()] == [()] * len(SLOTS)
    assert hours(rise, 0, 1000).foretold(3000.0) == ()


def test_what_came_an_hour_ago_is_expected_again() -> None:
    after = hours(rise, 0, HOUR_S + 1000)
    assert [round(after.foretold(HOUR_S + at_s)[0].rate, 1) for at_s in (1100.0, 1830.0, 3500.0)] == [0.0, 2.0, 2.0]


def test_the_last_round_counts_for_half() -> None:
    after = hours(partial(always, 2.0), HOUR_S, 2 * HOUR_S, hours(partial(always, 4.0), 0, HOUR_S))
    assert after.rates[10] == pytest.approx(3.0, rel=0.05)


def test_a_season_is_heard_once_it_was_right_where_others_were_not() -> None:
    """It foretells 5 jobs/s in quarter-leads of 8 s, the only expert none: first 40 jobs come each time, then none."""
    record, priors = TrackRecord((0.0, 0.0), 1), [0.0, -4.0]
    before = record.weights(priors)
    for jobs, times in ((40, QUARTERS + 9), (0, QUARTERS + 12)):
        for _ in range(times):
            said = [(Atom(1.0, 0.0, 0.0),), (Atom(1.0, 5.0, 1.0),)]
            record = record.observe(jobs, 8.0, 1.0, record.weights(priors), said)
        shares = record.weights(priors)
        assert shares[1] > 0.9 if jobs else shares[1] < 0.05
    assert before[1] < 0.02


def test_where_it_says_the_same_as_others_its_record_stays() -> None:
    record = TrackRecord((0.0, 0.0), 1)
    for _ in range(50):
        record = record.observe(8, 8.0, 1.0, [1.0, 0.0], [(Atom(1.0, 1.0, 0.1),), (Atom(1.0, 1.1, 0.1),)])
    assert record.scores[1] == 0.0


@pytest.mark.slow
def test_a_rise_at_the_same_time_each_day_is_foreseen_on_the_third_day() -> None:
    """At 7:00, by chance, after a night of another length each day; all other experts see it once it has begun."""
    day_s, step_s = 86_400, 20
    generator = np.random.default_rng(4)
    arrivals, arrived = Arrivals.begin(0.0, 0, 5.0, LEAD_S), 0
    expected = []
    for second in range(0, 2 * day_s + 25_300, step_s):
        clock_s, day = second % day_s, second // day_s
        if clock_s == 25_180:
            expected.append(arrivals.forecast(LEAD_S, LEAD_S).rate)
        arrived += int(generator.poisson(step_s * 2.0)) if 25_200 <= clock_s < 60_000 + 7_000 * day else 0
        arrivals = arrivals.observe(second + step_s, arrived, LEAD_S)
    assert expected[0] == 0.0
    assert expected[1] < 0.3
    assert expected[2] > 1.0


@given(bins=st.lists(st.tuples(st.floats(1e-3, 1e7), st.integers(0, 10**9)), min_size=1, max_size=30))
def test_whatever_comes_a_season_says_something_finite_and_stays_small(bins: list[tuple[float, int]]) -> None:
    now_s, known = 0.0, seasons.begin()
    for passed_s, jobs in bins:
        from_s, now_s = now_s, now_s + passed_s
        known = tuple(season.observe(from_s, now_s, jobs) for season in known)
        for season in known:
            assert all(math.isfinite(number) and number >= 0 for atom in season.foretold(now_s) for number in atom)
    assert [len(season.rates) for season in known] == [slots for _, slots in SLOTS]
