"""The plan of somebody who knows everything in advance: it is feasible, it keeps its law, and it is cheap."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.common.arrivals import Arrival, arrivals, parse
from bench.simulation.actuation import DirectActuation
from bench.simulation.clairvoyant import plan
from bench.simulation.cluster import PodSpec, simulate
from bench.simulation.rules import DelayedOff, Fixed
from bench.simulation.times import constant, lognormal
from bench.simulation.work import work

if TYPE_CHECKING:
    from bench.simulation.clairvoyant import PodPlan
    from bench.simulation.work import Result, Work

OBJECTIVE_S = 5.0
STARTUP_S = 30.0
PODS = PodSpec(constant(STARTUP_S))


def carried_out(load: Work, todo: PodPlan, pods: PodSpec = PODS) -> Result:
    return simulate(load, pods, Fixed(0), todo, limits=(0, 1000))


@st.composite
def loads(draw: st.DrawFn) -> Work:
    gaps = draw(st.lists(st.one_of(st.just(0.0), st.floats(0, 8), st.floats(50, 200)), min_size=1, max_size=120))
    services = draw(st.lists(st.floats(0.1, 20), min_size=len(gaps), max_size=len(gaps)))
    times = np.cumsum(gaps).tolist()
    return work([Arrival(a, s) for a, s in zip(times, services, strict=True)], constant(1), None, 0)


@settings(max_examples=60, deadline=None)
@given(load=loads(), seed=st.integers(0, 99))
def test_no_job_waits_for_longer_than_the_objective_if_that_can_be_helped(load: Work, seed: int) -> None:
    result = carried_out(load, plan(load, PODS, OBJECTIVE_S, seed))
    for arrived_s, claimed_s in zip(load.arrivals_s, result.claimed_s, strict=True):
        assert claimed_s <= max(arrived_s + OBJECTIVE_S, STARTUP_S) + 1e-3
    assert result.unfinished == 0
    # Work is work, and there is at least one start.
    assert result.pod_s >= sum(load.services_s) + STARTUP_S - 1e-3


@pytest.mark.parametrize("process", ["deterministic", "poisson"])
@pytest.mark.parametrize("name", ["ramping", "spike", "ramp-steady"])
def test_it_is_cheaper_than_a_rule_that_does_as_well(name: str, process: str) -> None:
    load = work(arrivals(parse(name), 1800, process, 1), constant(5), 1800, 1)  # type: ignore[arg-type] # a literal
    result = carried_out(load, plan(load, PODS, OBJECTIVE_S))
    rule = simulate(load, PODS, DelayedOff(), DirectActuation(), limits=(0, 100))
    assert result.within(OBJECTIVE_S) >= rule.within(OBJECTIVE_S)
    assert result.pod_s < rule.pod_s
    assert result.within(OBJECTIVE_S) >= 1 - sum(a < STARTUP_S - OBJECTIVE_S for a in load.arrivals_s) / len(
        load.arrivals_s
    )


@pytest.mark.parametrize(("gap_s", "pod_s"), [(25, 30 + 5 + 15 + 5), (41, 2 * 35)])
def test_a_pod_is_kept_for_a_job_that_comes_within_a_start_up(gap_s: float, pod_s: float) -> None:
    """The first job starts at 105 s, when its time is up, and ends at 110 s; after 140 s a new pod is cheaper."""
    load = work([Arrival(100, 5), Arrival(100 + gap_s, 5)], constant(5), None, 0)
    assert carried_out(load, plan(load, PODS, OBJECTIVE_S)).pod_s == pytest.approx(pod_s, abs=0.1)


def test_it_knows_start_ups_that_vary() -> None:
    load = work(arrivals(parse("ramping"), 900, "poisson", 5), constant(5), 900, 5)
    pods = PodSpec(lognormal(30, 0.5))
    result = carried_out(load, plan(load, pods, OBJECTIVE_S, seed=5), pods)
    late = [a for a, c in zip(load.arrivals_s, result.claimed_s, strict=True) if c > a + OBJECTIVE_S + 1e-3]
    # Those before the first pods could be there; never one later.
    assert all(arrived_s < 120 for arrived_s in late)


def test_no_jobs_need_no_pods_and_several_at_once_are_not_its_business() -> None:
    empty = work([], constant(5), 60, 0)
    assert plan(empty, PODS, OBJECTIVE_S).orders == ()
    with pytest.raises(ValueError, match="one job at a time"):
        plan(empty, PodSpec(constant(30), concurrency=2), OBJECTIVE_S)
