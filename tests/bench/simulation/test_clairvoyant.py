"""The plan of somebody who knows everything in advance: it is feasible, it keeps its law, and it is cheap."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.common.arrivals import Arrival, arrivals, parse
from bench.simulation.actuation import Direct
from bench.simulation.clairvoyant import plain, plan
from bench.simulation.cluster import Pods
from bench.simulation.improvement import Draft, Law, Search
from bench.simulation.rules import Count, DelayedOff
from bench.simulation.simulate import simulate, work
from bench.simulation.times import Constant, Lognormal

if TYPE_CHECKING:
    from bench.simulation.clairvoyant import Plan
    from bench.simulation.simulate import Result, Work

OBJECTIVE_S = 5.0
STARTUP_S = 30.0
PODS = Pods(Constant(STARTUP_S))


def carried_out(load: Work, todo: Plan, pods: Pods = PODS) -> Result:
    return simulate(load, pods, Count(waiting=False, running=False), todo, limits=(0, 1000))


@st.composite
def loads(draw: st.DrawFn) -> Work:
    gaps = draw(st.lists(st.one_of(st.just(0.0), st.floats(0, 8), st.floats(50, 200)), min_size=1, max_size=120))
    services = draw(st.lists(st.floats(0.1, 20), min_size=len(gaps), max_size=len(gaps)))
    times = np.cumsum(gaps).tolist()
    return work([Arrival(a, s) for a, s in zip(times, services, strict=True)], Constant(1), None, 0)


@settings(max_examples=60, deadline=None)
@given(load=loads(), seed=st.integers(0, 99))
def test_no_job_waits_for_longer_than_the_objective_if_that_can_be_helped(load: Work, seed: int) -> None:
    result = carried_out(load, plan(load, PODS, OBJECTIVE_S, seed, rounds=10))
    for arrived_s, claimed_s in zip(load.arrivals_s, result.claimed_s, strict=True):
        assert claimed_s <= max(arrived_s + OBJECTIVE_S, STARTUP_S) + 1e-3
    assert result.unfinished == 0
    # Work is work, and there is at least one start.
    assert result.pod_s >= load.busy_s + STARTUP_S - 1e-3


@settings(max_examples=40, deadline=None)
@given(load=loads(), seed=st.integers(0, 99))
def test_what_the_search_believes_is_what_it_costs(load: Work, seed: int) -> None:
    """However many of its small steps it took."""
    generator = np.random.default_rng(seed)
    # One pod for each job is always a plan.
    ready = [(max(arrived_s, STARTUP_S), STARTUP_S) for arrived_s in load.arrivals_s]
    ends_s = sorted(r + s for (r, _), s in zip(ready, load.services_s, strict=True))
    law = Law(load.arrivals_s, load.services_s, OBJECTIVE_S, [Draft(ready, ends_s)])
    search = Search.of(law, Draft(ready, ends_s))
    assert search is not None
    costs = [search.cost_s]
    search.improve()
    costs.append(search.cost_s)
    for _ in range(10):
        search = search.disturbed(generator, [STARTUP_S] * 10)
        costs.append(search.cost_s)
    assert all(later <= before + 1e-6 for before, later in pairwise(costs))
    fresh = Search.of(law, Draft(search.pods, search.stops_s))
    assert fresh is not None
    assert fresh.cost_s == pytest.approx(search.cost_s)


@pytest.mark.parametrize("process", ["deterministic", "poisson"])
@pytest.mark.parametrize("name", ["ramping", "spike", "ramp-steady"])
def test_it_is_cheaper_than_a_rule_that_does_as_well(name: str, process: str) -> None:
    load = work(arrivals(parse(name), 1800, process, 1), Constant(5), 1800, 1)  # type: ignore[arg-type] # a literal
    result = carried_out(load, plan(load, PODS, OBJECTIVE_S, rounds=0))
    rule = simulate(load, PODS, DelayedOff(), Direct(), limits=(0, 100))
    assert result.within(OBJECTIVE_S) >= rule.within(OBJECTIVE_S)
    assert result.pod_s < rule.pod_s
    assert result.within(OBJECTIVE_S) >= 1 - sum(a < STARTUP_S - OBJECTIVE_S for a in load.arrivals_s) / len(
        load.arrivals_s
    )


def test_a_pod_is_held_for_the_next_job_only_as_long_as_a_start_would_cost() -> None:
    for gap_s, pod_s in ((20, 30 + 5 + 15 + 5), (60, 2 * 35)):
        load = work([Arrival(100, 5), Arrival(100 + gap_s, 5)], Constant(5), None, 0)
        # The second may wait: to hold for less than the gap, and then to take it late, is what saves the most.
        result = carried_out(load, plan(load, PODS, OBJECTIVE_S))
        assert result.pod_s <= pod_s + 0.1


def test_it_knows_start_ups_that_vary() -> None:
    load = work(arrivals(parse("ramping"), 900, "poisson", 5), Constant(5), 900, 5)
    pods = Pods(Lognormal(30, 0.5))
    result = carried_out(load, plan(load, pods, OBJECTIVE_S, seed=5), pods)
    late = [a for a, c in zip(load.arrivals_s, result.claimed_s, strict=True) if c > a + OBJECTIVE_S + 1e-3]
    # Those before the first pods could be there; never one later.
    assert all(arrived_s < 120 for arrived_s in late)


def test_a_plain_plan_keeps_the_objective_too_and_the_search_is_worth_its_while() -> None:
    load = work(arrivals(parse("ramping"), 1800, "poisson", 3), Constant(5), 1800, 3)
    simple, searched = (carried_out(load, made(load, PODS, OBJECTIVE_S)) for made in (plain, plan))
    assert simple.within(OBJECTIVE_S) == searched.within(OBJECTIVE_S)
    assert searched.pod_s < simple.pod_s < 1.5 * searched.pod_s


def test_no_jobs_need_no_pods_and_several_at_once_are_not_its_business() -> None:
    empty = work([], Constant(5), 60, 0)
    for made in (plain, plan):
        assert made(empty, PODS, OBJECTIVE_S).orders == ()
        with pytest.raises(ValueError, match="one job at a time"):
            made(empty, Pods(Constant(30), concurrency=2), OBJECTIVE_S)


def test_with_time_to_catch_up_it_is_cheaper_and_only_the_first_jobs_are_later() -> None:
    load = work(arrivals(parse("constant:1"), 1800, "deterministic", 0), Constant(5), 1800, 0)
    strict = carried_out(load, plan(load, PODS, OBJECTIVE_S))
    calm = carried_out(load, plan(load, PODS, OBJECTIVE_S, catch_up_s=60))
    assert calm.pod_s < strict.pod_s
    assert calm.peak < strict.peak
    for arrived_s, claimed_s in zip(load.arrivals_s, calm.claimed_s, strict=True):
        assert claimed_s <= arrived_s + (OBJECTIVE_S if arrived_s >= STARTUP_S + 60 else STARTUP_S) + 1e-3


@pytest.mark.parametrize("count", [31, 32, 33, 64])
def test_any_number_of_jobs_will_do(count: int) -> None:
    load = work([Arrival(10 * i, 5) for i in range(count)], Constant(5), None, 0)
    assert carried_out(load, plan(load, PODS, OBJECTIVE_S)).unfinished == 0
