"""The policy: what a user may rely on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.workers.scaler.policy.watch import PLENTY, SERVICE_S, STARTUP_S, PolicyWatch, by_chance, every
from workers.scaler.policy import Options, Snapshot, decide, start


def test_service_and_start_up_times_are_learnt() -> None:
    """Before, there is a guess; a job that takes twice as long needs twice as many, the lead grows with a start-up."""
    guess = PolicyWatch()
    assert guess.see().lead_s == 31.0
    slow = PolicyWatch()
    slow.learn(service_s=10.0, startup_s=60.0)
    quick = PolicyWatch()
    quick.learn(service_s=5.0, startup_s=20.0)
    times_s = every(1.25, 600)
    slow_needs, quick_needs = slow.follow(times_s, 600, 8, 10.0), quick.follow(times_s, 600, 4)
    # A clockwork of 0.8 jobs/s.
    assert quick_needs.replicas in (4, 5)
    assert slow_needs.replicas in (8, 9, 10)
    assert quick_needs.lead_s == 21.0
    assert slow_needs.lead_s == 61.0


def test_the_lead_is_as_long_as_most_start_ups() -> None:
    watch = PolicyWatch()
    assert watch.see(startups_s=(20.0, 30.0, 40.0, 50.0, 60.0)).lead_s == 51.0


def test_the_lead_includes_the_time_that_an_order_takes() -> None:
    assert PolicyWatch(Options(actuation_s=15.0)).see().lead_s == 45.0


@pytest.mark.no_cover
def test_clockwork_needs_no_safety_chance_some_and_bursts_more() -> None:
    """All of them at 0.8 jobs/s of 5 s each."""
    needed = []
    for times_s in (every(1.25, 1200), by_chance(0.8, 1200), by_chance(0.8, 1200, batch=10)):
        watch = PolicyWatch()
        watch.learn()
        watch.follow(times_s, 1200, 30)
        needed.append(float(np.median([decision.replicas for decision in watch.decisions[-300:]])))
    clock, poisson, bursts = needed
    assert clock in (4, 5)
    assert 5 <= poisson <= 8
    assert bursts >= poisson + 3


@pytest.mark.parametrize("service_s", [5.0, 60.0])
def test_a_slow_rise_gets_the_pods_that_its_jobs_need(service_s: float) -> None:
    """From 0.5 jobs/s, with 2 more in an hour; a start-up takes five minutes."""
    watch = PolicyWatch()
    watch.learn(service_s, startup_s=300.0)
    slope = 2.0 / 3600
    count = np.arange(0.5, 0.5 * 1800 + slope * 1800**2 / 2)
    times_s = (-0.5 + np.sqrt(0.25 + 2 * slope * count)) / slope
    decision = watch.follow(times_s.tolist(), 1800, 200, service_s)
    now = 0.5 + slope * 1800
    assert decision.rate == pytest.approx(now, rel=0.1)
    # When this was written: 12 and 85 for the 7.5 and 90 that are busy on average.
    assert decision.replicas >= 0.93 * now * service_s


def test_starting_pods_are_counted() -> None:
    """While those that were ordered for a backlog start, nothing more is ordered for it."""
    watch = PolicyWatch()
    watch.learn()
    ordered = watch.see(20, waiting=20).replicas
    assert ordered > 0
    for age_s in range(1, 30):
        decision = watch.see(waiting=20, starting_ages_s=(float(age_s),) * ordered)
        assert 0 < decision.replicas <= ordered, (age_s, decision.reason)


def test_a_backlog_that_grew_is_ordered_for_and_what_starts_is_taken_off() -> None:
    def order(starting: int) -> int:
        watch = PolicyWatch()
        watch.learn()
        watch.see(seconds=600.0)
        decision = watch.see(40, waiting=40, starting_ages_s=(1.0,) * starting)
        return decision.replicas - starting

    none, some, enough = order(0), order(5), order(200)
    assert none > some > 0
    # Of far too many that start, some are called off.
    assert enough <= 0


@pytest.mark.parametrize(("waiting", "ready"), [(8, 5), (20, 5), (3, 1), (40, 10)])
def test_nothing_is_ordered_that_would_be_ready_after_the_work_is_done(waiting: int, ready: int) -> None:
    """The pods that are there do it in less than a start-up, and no more is coming."""
    seen = Snapshot(100.0, 50, waiting, ready, ready, (), (SERVICE_S,) * 20, (STARTUP_S,) * 20)
    decision, _ = decide(replace(seen, now_s=101.0), start(seen, PLENTY), PLENTY)
    assert decision.replicas <= ready, decision.reason
    # But if they had to do ten times as much, some more would help.
    more = replace(seen, now_s=101.0, waiting=10 * waiting + 10 * ready)
    decision, _ = decide(more, start(seen, PLENTY), PLENTY)
    assert decision.replicas > ready, decision.reason


def test_a_half_started_pod_survives_a_dip() -> None:
    """Half of the jobs stay away for ten seconds, and those that waited have been done by others."""
    watch = PolicyWatch()
    watch.learn()
    times_s = every(0.5, 300)
    assert watch.follow(times_s, 300, 10).replicas >= 10
    for age_s in range(5, 15):
        decision = watch.see(1, running=4, ready=6, starting_ages_s=(float(age_s),) * 4)
        assert decision.replicas >= 10, decision.reason


def test_a_pod_that_never_starts_is_not_waited_for() -> None:
    watch = PolicyWatch(replace(PLENTY, objective_s=60.0))
    watch.learn()
    kept = [watch.see(seconds=10.0, starting_ages_s=(10.0 * step,)).replicas for step in range(1, 30)]
    assert kept[0] == 1
    assert kept[-1] == 0


@pytest.mark.no_cover
def test_pods_go_when_the_load_is_over() -> None:
    """A clockwork's within a start-up, all but one; those of jobs that come by chance in some minutes."""
    for times_s, soon_s in ((every(1.0, 900), 75), (by_chance(1.0, 900), 300)):
        watch = PolicyWatch()
        watch.learn()
        ready = watch.follow(times_s, 900, 8).replicas
        assert ready >= 5
        left = []
        for _ in range(1800):
            ready = min(ready, watch.see(ready=ready).replicas)
            left.append(ready)
        assert left[soon_s] <= 1
        assert left[-1] == 0


@pytest.mark.parametrize(("gap_s", "service_s"), [(10.0, 0.5), (20.0, 1.0), (20.0, 5.0), (2.0, 0.01)])
def test_an_idle_pod_is_kept_if_the_next_job_comes_before_another_could_start(gap_s: float, service_s: float) -> None:
    """However short the jobs are: to let it go would cost a start, and a late job, each time."""
    watch = PolicyWatch()
    watch.learn(service_s)
    watch.follow(every(gap_s, 900), 900, 1, service_s)
    assert min(decision.replicas for decision in watch.decisions[-300:]) == 1


def test_a_flood_gets_all_the_pods_there_may_be() -> None:
    """More than they can ever do, from the first second on or after a calm time."""
    for calm_s in (1.0, 600.0):
        watch = PolicyWatch(Options(max_replicas=10))
        watch.learn()
        watch.see(1, seconds=calm_s, waiting=1, ready=0)
        waiting = 1
        for _ in range(60):
            waiting += 100
            decision = watch.see(100, waiting=waiting, ready=1, running=1)
        assert decision.replicas == 10, decision.reason
        assert "10 are the most" in decision.reason or "order 9" in decision.reason


def test_the_reason_names_its_numbers() -> None:
    watch = PolicyWatch(Options(max_replicas=10))
    watch.learn()
    watch.follow(every(0.5, 300), 300, 10)
    decision = watch.see(2, waiting=12, running=5, ready=5, starting_ages_s=(19.0,))
    assert f"12 waiting + 5 running + {decision.rate:.2g}/s x 31 s needs " in decision.reason
    assert "5 ready, 1 starting, ready in 11 s" in decision.reason
    assert f"order {decision.replicas - 6}" in decision.reason
    idle = watch.see(2, running=5, ready=10)
    assert "10 ready" in idle.reason
    assert "order" not in idle.reason
    quiet = watch.see(seconds=1000.0, ready=10)
    assert quiet.reason.startswith("0 waiting + 0 running + ")
    assert f"let {10 - quiet.replicas} go" in quiet.reason


def test_pods_are_ordered_for_waiting_jobs_if_these_can_wait_for_a_start() -> None:
    """A minute to wait, half a minute to start: two pods begin twenty jobs of 5 s in what is not kept back of it."""
    watch = PolicyWatch(Options(max_replicas=10, objective_s=60.0))
    watch.learn()
    enough = watch.see(14, waiting=12, running=2, ready=2)
    assert enough.reason == "12 waiting + 2 running, to begin within 52 s, needs 2; 2 ready"
    more = watch.see(12, waiting=24, running=2, ready=2)
    assert more.reason == "24 waiting + 2 running, to begin within 52 s, needs 3; 2 ready; order 1"
    started = watch.see(waiting=24, running=2, ready=2, starting_ages_s=(1.0,))
    assert started.replicas == 3
    assert watch.see(seconds=10.0, ready=3).replicas == 3
    assert watch.see(seconds=16.0, ready=3).replicas == 0


def test_a_known_rate_takes_the_place_of_the_forecast() -> None:
    """Nothing has come yet; in half a minute 2 jobs/s will, and by then a pod that is ordered now is ready."""
    watch = PolicyWatch()
    watch.learn()
    seen = Snapshot(watch.now_s + 1, 0, 0, 0, 0)
    assert watch.state is not None
    assert decide(seen, watch.state, PLENTY)[0].replicas == 0
    decision, _ = decide(seen, watch.state, PLENTY, lambda after_s: 2.0 if after_s >= 25 else 0.0)
    assert decision.replicas >= 2 * SERVICE_S
    assert decision.rate == pytest.approx(2.0)
    assert decide(seen, watch.state, PLENTY, lambda _: 0.0)[0].replicas == 0


@pytest.mark.parametrize("quiet_s", [0, 1, 10, 300])
def test_one_job_makes_no_rate_and_orders_one_pod(quiet_s: int) -> None:
    watch = PolicyWatch()
    for _ in range(quiet_s):
        assert watch.see().replicas == 0
    assert watch.see(1, waiting=1).replicas == 1
    for age in range(1, 30):
        assert watch.see(waiting=1, starting_ages_s=(float(age),)).replicas == 1
    assert watch.see(1, waiting=1, running=1, ready=1).replicas <= 4


def test_without_jobs_there_is_the_minimum() -> None:
    for minimum in (0, 1, 4):
        watch = PolicyWatch(Options(min_replicas=minimum, max_replicas=9))
        assert {watch.see(ready=minimum).replicas for _ in range(300)} == {minimum}


@pytest.mark.parametrize("waiting", [1, 5, 10**9])
def test_no_replica_is_wanted_if_none_is_allowed(waiting: int) -> None:
    watch = PolicyWatch(Options(max_replicas=0))
    assert {watch.see(3, waiting=waiting).replicas for _ in range(30)} == {0}
