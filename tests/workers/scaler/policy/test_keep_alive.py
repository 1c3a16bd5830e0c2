"""For how long idle pods are held: what has paid so far."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from workers.scaler.policy.keep_alive import TIMES, Holds, Terms, held

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.scaler.policy.keep_alive import Steps

STARTUP_S = 30.0
TERMS = Terms(lead_s=31.0, startup_s=STARTUP_S, wait_s=5.0, late_cost=12.0, slots=1, least=0)


def looked(demand: Callable[[int], float], until_s: int, least: int = 0, slots: int = 1) -> Holds:
    """A look a second."""
    holds, terms = Holds(), TERMS._replace(least=least, slots=slots)
    for second in range(until_s):
        holds = holds.seen(float(second), demand(second), 0, terms)
    return holds


def bursts(period_s: int, length_s: int = 60, peak: float = 10.0) -> Callable[[int], float]:
    """The last seconds of each period."""
    return lambda second: peak if second % period_s >= period_s - length_s else 0.5


def test_after_two_bursts_their_pods_are_held_until_the_next() -> None:
    first, second, third = (looked(bursts(300), n * 300) for n in (1, 2, 3))
    assert first.worth(STARTUP_S) == (0, 0.0)
    for holds in (second, third):
        pods, for_s = holds.worth(STARTUP_S)
        assert pods == 10
        assert 240 <= for_s <= TIMES[-1] * STARTUP_S


def test_they_do_not_go_just_when_the_next_burst_begins_as_their_idling_is_paid_for() -> None:
    holds = looked(bursts(300), 600)
    for second in range(600, 1800):
        holds = holds.seen(float(second), bursts(300)(second), 0, TERMS)
        assert holds.worth(STARTUP_S)[0] == 10


def test_as_many_jobs_at_once_as_a_pod_runs_need_one_pod() -> None:
    assert looked(bursts(300), 900, slots=4).worth(STARTUP_S)[0] == 3


def test_after_the_last_burst_they_go() -> None:
    def demand(second: int) -> float:
        return bursts(300)(second) if second < 1500 else 0.5

    holds = looked(demand, 1500 + round(TIMES[-1] * STARTUP_S) + 1)
    assert holds.worth(STARTUP_S)[0] <= 1


def test_bursts_that_come_seldom_are_not_waited_for() -> None:
    assert looked(bursts(900), 3600).worth(STARTUP_S) == (0, 0.0)


def test_nothing_is_held_where_jobs_come_evenly_or_less_and_less() -> None:
    assert looked(lambda _: 3.0, 1800).worth(STARTUP_S) == (0, 0.0)
    assert looked(lambda second: 20 * math.exp(-second / 300), 1800).worth(STARTUP_S) == (0, 0.0)
    assert looked(lambda second: 5 + 4 * math.sin(2 * math.pi * second / 1200), 3600).worth(STARTUP_S) == (0, 0.0)


def test_pods_that_are_always_there_have_no_price() -> None:
    holds = looked(bursts(300), 1800, least=10)
    assert {trial.cost_s for trial in holds.trials} == {0.0}
    assert holds.worth(STARTUP_S) == (0, 0.0)


def test_what_is_cheap_to_be_without_is_not_held() -> None:
    holds = Holds()
    for second in range(1800):
        holds = holds.seen(float(second), bursts(300)(second), 0, TERMS._replace(late_cost=0.5))
    assert holds.worth(STARTUP_S) == (0, 0.0)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=200), st.integers(1, 100))
def test_the_first_step_is_the_largest_number_of_the_time(numbers: list[int], hold_s: int) -> None:
    steps: Steps = ()
    for second, n in enumerate(numbers):
        steps = held(steps, float(second), n, float(hold_s))
        assert steps[0][1] == max(numbers[max(0, second - hold_s + 1) : second + 1])
        assert [n for _, n in steps] == sorted({n for _, n in steps}, reverse=True)


def test_what_was_foreseen_needs_no_holding() -> None:
    """The pods for each burst had been ordered a lead before it."""
    holds = Holds()
    for second in range(1800):
        holds = holds.seen(float(second), bursts(300)(second), math.ceil(bursts(300)(second + 32)), TERMS)
    assert holds.worth(STARTUP_S) == (0, 0.0)


@given(
    looks=st.lists(st.tuples(st.floats(0, 50), st.integers(0, 50)), min_size=1, max_size=300),
    step_s=st.floats(0.1, 100),
    lead_s=st.floats(1, 1000),
    slots=st.integers(1, 8),
    least=st.integers(0, 5),
)
def test_it_holds_no_more_than_were_busy_and_stays_small(
    looks: list[tuple[float, int]], step_s: float, lead_s: float, slots: int, least: int
) -> None:
    holds, startup_s = Holds(), lead_s * 0.9
    terms = Terms(lead_s, startup_s, 5.0, 12.0, slots, least)
    most = max(least, *[math.ceil(demand / slots) for demand, _ in looks])
    for n, (demand, order) in enumerate(looks):
        before = holds.trials
        holds = holds.seen(n * step_s, demand, order, terms)
        assert len(holds.looks) <= 2 * 32 + 3
        # Costs fade, and are never paid back.
        fade = math.exp(-step_s / (100 * startup_s))
        for old, new in zip(before, holds.trials, strict=True):
            assert new.cost_s >= old.cost_s * fade * (1 - 1e-9)
        assert 0 <= holds.worth(startup_s)[0] <= most
    assert all(gap.idle_s > startup_s for gap in holds.gaps)
