"""For how long idle pods are kept: what has paid so far."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from workers.scaler.policy.keep_alive import CANDIDATES, KeepAlive, KeepAliveTerms, SlidingMaximum

if TYPE_CHECKING:
    from collections.abc import Callable


STARTUP_S = 30.0
TERMS = KeepAliveTerms(lead_s=31.0, startup_s=STARTUP_S, wait_s=5.0, late_cost=12.0, slots=1, least=0)


def observed(demand: Callable[[int], float], until_s: int, least: int = 0, slots: int = 1) -> KeepAlive:
    """An observation each second."""
    keep_alive, terms = KeepAlive(), TERMS._replace(least=least, slots=slots)
    for second in range(until_s):
        keep_alive = keep_alive.observe(float(second), demand(second), 0, terms)
    return keep_alive


def bursts(period_s: int, length_s: int = 60, peak: float = 10.0) -> Callable[[int], float]:
    """The last seconds of each period."""
    return lambda second: peak if second % period_s >= period_s - length_s else 0.5


def test_after_two_bursts_their_pods_are_kept_until_the_next() -> None:
    first, second, third = (observed(bursts(300), n * 300) for n in (1, 2, 3))
    assert first.worth(STARTUP_S) == (0, 0.0)
    for keep_alive in (second, third):
        pods, for_s = keep_alive.worth(STARTUP_S)
        assert pods == 10
        assert 240 <= for_s <= CANDIDATES[-1] * STARTUP_S


def test_kept_pods_do_not_go_just_before_the_next_burst() -> None:
    keep_alive = observed(bursts(300), 600)
    for second in range(600, 1800):
        keep_alive = keep_alive.observe(float(second), bursts(300)(second), 0, TERMS)
        assert keep_alive.worth(STARTUP_S)[0] == 10


def test_as_many_jobs_at_once_as_a_pod_runs_need_one_pod() -> None:
    assert observed(bursts(300), 900, slots=4).worth(STARTUP_S)[0] == 3


def test_pods_go_after_the_last_burst() -> None:
    def demand(second: int) -> float:
        return bursts(300)(second) if second < 1500 else 0.5

    keep_alive = observed(demand, 1500 + round(CANDIDATES[-1] * STARTUP_S) + 1)
    assert keep_alive.worth(STARTUP_S)[0] <= 1


def test_bursts_that_come_seldom_are_not_waited_for() -> None:
    assert observed(bursts(900), 3600).worth(STARTUP_S) == (0, 0.0)


def test_no_pod_is_kept_if_jobs_come_evenly_or_less_and_less() -> None:
    assert observed(lambda _: 3.0, 1800).worth(STARTUP_S) == (0, 0.0)
    assert observed(lambda second: 20 * math.exp(-second / 300), 1800).worth(STARTUP_S) == (0, 0.0)
    assert observed(lambda second: 5 + 4 * math.sin(2 * math.pi * second / 1200), 3600).worth(STARTUP_S) == (0, 0.0)


def test_pods_that_are_always_there_have_no_price() -> None:
    keep_alive = observed(bursts(300), 1800, least=10)
    assert {replay.cost_s for replay in keep_alive.replays} == {0.0}
    assert keep_alive.worth(STARTUP_S) == (0, 0.0)


def test_pods_that_are_cheap_to_be_without_are_not_kept() -> None:
    keep_alive = KeepAlive()
    for second in range(1800):
        keep_alive = keep_alive.observe(float(second), bursts(300)(second), 0, TERMS._replace(late_cost=0.5))
    assert keep_alive.worth(STARTUP_S) == (0, 0.0)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=200), st.integers(1, 100))
def test_a_sliding_maximum_is_the_largest_number_of_the_window(numbers: list[int], window_s: int) -> None:
    largest = SlidingMaximum()
    for second, n in enumerate(numbers):
        largest = largest.observe(float(second), n, float(window_s))
        assert largest.value == max(numbers[max(0, second - window_s + 1) : second + 1])
        kept = [n for _, n in largest.steps]
        assert kept == sorted(set(kept), reverse=True)


def test_pods_that_were_ordered_by_forecast_need_not_be_kept() -> None:
    """The pods for each burst had been ordered a lead before it."""
    keep_alive = KeepAlive()
    for second in range(1800):
        keep_alive = keep_alive.observe(float(second), bursts(300)(second), math.ceil(bursts(300)(second + 32)), TERMS)
    assert keep_alive.worth(STARTUP_S) == (0, 0.0)


@given(
    observations=st.lists(st.tuples(st.floats(0, 50), st.integers(0, 50)), min_size=1, max_size=300),
    step_s=st.floats(0.1, 100),
    lead_s=st.floats(1, 1000),
    slots=st.integers(1, 8),
    least=st.integers(0, 5),
)
def test_no_more_pods_are_kept_than_were_busy_and_the_memory_stays_small(
    observations: list[tuple[float, int]], step_s: float, lead_s: float, slots: int, least: int
) -> None:
    keep_alive, startup_s = KeepAlive(), lead_s * 0.9
    terms = KeepAliveTerms(lead_s, startup_s, 5.0, 12.0, slots, least)
    most = max(least, *[math.ceil(demand / slots) for demand, _ in observations])
    for n, (demand, order) in enumerate(observations):
        before = keep_alive.replays
        keep_alive = keep_alive.observe(n * step_s, demand, order, terms)
        assert len(keep_alive.needs) <= 2 * 32 + 3
        # Costs fade, and are never paid back.
        fade = math.exp(-step_s / (100 * startup_s))
        for old, new in zip(before, keep_alive.replays, strict=True):
            assert new.cost_s >= old.cost_s * fade * (1 - 1e-9)
        assert 0 <= keep_alive.worth(startup_s)[0] <= most
    assert all(gap.idle_s > startup_s for gap in keep_alive.gaps)
