"""Pods that are kept idle beyond those that will be busy."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.scaler.policy.watch import PLENTY, PolicyWatch, by_chance
from workers.scaler.policy.standby import standing_by, worth_their_price

if TYPE_CHECKING:
    from collections.abc import Sequence

TWO = replace(PLENTY, standby=2)
STARTUP_S = 120.0


def test_without_a_job_as_many_are_there_as_stand_by() -> None:
    watch = PolicyWatch(TWO)
    watch.learn(startup_s=STARTUP_S)
    decision = watch.see()
    assert decision.replicas == 2
    assert "needs 0, and 2 on standby beyond 0 busy make it 2; 0 ready; order 2" in decision.reason
    for _ in range(3600):
        decision = watch.see(ready=2)
    assert decision.replicas == 2


def test_they_stand_beyond_those_that_will_be_busy() -> None:
    watch = PolicyWatch(TWO)
    watch.learn(startup_s=STARTUP_S)
    decision = watch.follow(by_chance(0.6, 3600.0), 3600.0, ready=5)  # 3 busy, on average
    busy = decision.rate * 5.0
    assert 2 < busy < 4
    assert decision.replicas >= standing_by(2, busy)


def test_a_short_job_on_a_standby_orders_no_other() -> None:
    """It ends long before another would be ready."""
    watch = PolicyWatch(TWO)
    watch.learn(startup_s=STARTUP_S)
    for _ in range(600):
        watch.see(ready=2)
    decisions = [watch.see(jobs, running=1, ready=2) for jobs in (1, 0, 0, 0, 0)]
    assert {decision.replicas for decision in decisions} == {2}


def test_a_long_job_on_a_standby_orders_another() -> None:
    watch = PolicyWatch(TWO)
    watch.learn(service_s=1200.0, startup_s=STARTUP_S)
    for _ in range(600):
        watch.see(ready=2)
    assert watch.see(1, running=1, ready=2).replicas == 3


def test_the_limit_holds() -> None:
    watch = PolicyWatch(replace(TWO, max_replicas=1))
    watch.learn()
    assert watch.see().replicas == 1


def test_what_the_policy_wants_for_itself_is_counted() -> None:
    """A backlog that needs more pods than will be busy and stand by gets no more than without standbys."""
    with_standbys, without = PolicyWatch(TWO), PolicyWatch(PLENTY)
    for watch in (with_standbys, without):
        watch.learn()
        watch.see(40, waiting=40)
    assert with_standbys.decisions[-1] == without.decisions[-1]


def test_standbys_without_a_place_are_not_ordered_again() -> None:
    watch = PolicyWatch(TWO)
    watch.learn(service_s=1200.0, startup_s=STARTUP_S)
    assert watch.see().replicas == 2
    decision = watch.see(2, running=2, unplaced=2, unplaced_why="exceeded quota")
    assert decision.replicas == 2
    assert "2 without a place (exceeded quota), not ordered again" in decision.reason


def test_as_many_are_worth_their_price_as_save_more_than_they_cost() -> None:
    """Late jobs fall by 0.003, 0.001 and nothing a second with each pod, of 60 pod-seconds each."""

    def late(replicas: Sequence[int]) -> list[float]:
        return [[0.004, 0.001, 0.0, 0.0][n] for n in replicas]

    found = [worth_their_price(0, 3, price, 60.0, late) for price in (0.05, 0.1, 0.2)]
    assert [pods for pods, _ in found] == [2, 1, 0]
    assert [saved for _, saved in found] == pytest.approx([0.004, 0.003, 0.0])


@given(
    order=st.integers(0, 5),
    more=st.integers(1, 200),
    prices=st.tuples(st.floats(0.001, 1), st.floats(0.001, 1)),
    falls=st.lists(st.floats(0, 0.1), min_size=206, max_size=206),
)
def test_the_cheaper_they_are_the_more_of_them_and_never_too_many(
    order: int, more: int, prices: tuple[float, float], falls: list[float]
) -> None:
    def late(replicas: Sequence[int]) -> list[float]:
        return [sum(falls[n:]) for n in replicas]

    cheap, dear = (worth_their_price(order, order + more, price, 60.0, late) for price in sorted(prices))
    assert order <= dear[0] <= cheap[0] <= order + more
    for price, (pods, saved) in zip(sorted(prices), (cheap, dear), strict=True):
        assert saved * 60.0 >= price * (pods - order)


def test_without_a_job_none_that_has_a_price_stands_by_and_the_decision_says_so() -> None:
    watch = PolicyWatch(replace(TWO, standby_price=0.1))
    watch.learn(startup_s=STARTUP_S)
    decision = watch.see()
    assert decision.replicas == 0
    assert "and no standby at 0.1 of a pod is worth the late jobs that it would save" in decision.reason


def test_one_with_a_price_stands_by_for_jobs_that_are_seldom_but_come() -> None:
    """A job each 200 s or so, late at 60 pod-seconds without one: 0.3 of a pod. A second one saves next to nothing."""
    decisions = {}
    for price in (0.01, 0.9):
        watch = PolicyWatch(replace(TWO, standby_price=price))
        watch.learn(startup_s=STARTUP_S)
        decisions[price] = watch.follow(by_chance(0.005, 3600.0), 3600.0, ready=1)
    assert decisions[0.01].replicas >= 1
    assert "on standby at 0.01 of a pod save 0.00" in decisions[0.01].reason
    assert "no standby at 0.9 of a pod is worth" in decisions[0.9].reason
