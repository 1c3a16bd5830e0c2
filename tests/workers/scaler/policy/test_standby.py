"""Pods that are kept idle beyond those that will be busy."""

from __future__ import annotations

from dataclasses import replace

from tests.workers.scaler.policy.watch import PLENTY, PolicyWatch, by_chance
from workers.scaler.policy.standby import standing_by

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
