"""The policy in the simulator: seeded and exact, so that what is found is the same on every machine.

Pods start in 30 s and jobs take 5 s, unless a test says otherwise; decisions are carried out at once. The objective is
that a job waits for no longer than it takes. Costs are pod-seconds over those of the clairvoyant plan.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from bench.common.arrivals import Arrival, arrivals, parse
from bench.simulation.actuation import DirectActuation
from bench.simulation.clairvoyant import PodPlan, plan
from bench.simulation.cluster import PodSpec, simulate
from bench.simulation.rules import Brief, Fixed, StartupAware
from bench.simulation.times import constant
from bench.simulation.work import work

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.common.arrivals import Process
    from bench.simulation.work import Result, Work

SERVICE_S, STARTUP_S = 5.0, 30.0
PODS = PodSpec(constant(STARTUP_S))
SEEDS = (1, 2, 3)


def load_of(
    text: str,
    process: Process = "deterministic",
    seed: int = 0,
    *,
    duration_s: float = 1800.0,
    service_s: float = SERVICE_S,
) -> Work:
    return work(arrivals(parse(text), duration_s, process, seed), constant(service_s), duration_s, seed)


def jobs_at(times_s: Iterable[float], duration_s: float) -> Work:
    return work([Arrival(at_s) for at_s in times_s], constant(SERVICE_S), duration_s, 0)


def ours(
    load: Work,
    *,
    pods: PodSpec = PODS,
    most: int = 1000,
    seed: int = 0,
    sample_s: float | None = None,
    objective_s: float | None = None,
) -> Result:
    rule = StartupAware(Brief(objective_s, limits=(0, most)))
    return simulate(load, pods, rule, DirectActuation(), limits=(0, most), seed=seed, sample_s=sample_s)


def carried_out(load: Work, clairvoyant: PodPlan, *, pods: PodSpec = PODS, seed: int = 0) -> Result:
    return simulate(load, pods, Fixed(0), clairvoyant, limits=(0, 1000), seed=seed)


@dataclass(frozen=True)
class Found:
    """p95 in seconds, the share within the objective, and the cost."""

    p95_s: float
    within: float
    cost: float


def found(text: str, process: Process, seed: int) -> Found:
    load = load_of(text, process, seed)
    result = ours(load, seed=seed)
    best = carried_out(load, plan(load, PODS, SERVICE_S, seed), seed=seed)
    assert result.unfinished == best.unfinished == 0
    return Found(result.percentile_s(95), result.within(SERVICE_S), result.pod_s / best.pod_s)


@pytest.mark.parametrize(
    ("text", "p95_s", "within", "cost"),
    [
        # When this was written: 7.8 s, 99.5 % and 1.06; 5.2 s, 99.6 % and 1.03; 11.8 s, 94.5 % and 1.06.
        pytest.param("ramping", 8.0, 0.99, 1.06, id="ramping"),
        pytest.param("ramp-steady", 5.5, 0.99, 1.04, id="ramp-steady"),
        pytest.param("spike", 14.5, 0.935, 1.06, id="spike"),
    ],
)
def test_the_old_loads_are_served_in_time_for_hardly_more_than_they_must_cost(
    text: str, p95_s: float, within: float, cost: float
) -> None:
    figures = found(text, "deterministic", 0)
    assert figures.p95_s <= p95_s
    assert figures.within >= within
    assert figures.cost <= cost


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "p95_s", "within", "cost"),
    [
        # When this was written there were, with these seeds, 10.1 s, 94.0 % and 1.02 (six others: 9.4 s, 96.2 %, 1.04),
        pytest.param("ramping", 11.5, 0.935, 1.06, id="ramping"),
        # 8.4 s, 97.6 % and 1.04 (8.5 s, 97.2 %, 1.05),
        pytest.param("ramp-steady", 9.5, 0.96, 1.07, id="ramp-steady"),
        # 16.8 s, 90.3 % and 1.10 (14.6 s, 91.6 %, 1.13): there are 380 jobs, and the first 30 s have 1 in 12.
        pytest.param("spike", 18.0, 0.895, 1.14, id="spike"),
    ],
)
def test_their_poisson_versions_too_with_some_safety(text: str, p95_s: float, within: float, cost: float) -> None:
    figures = [found(text, "poisson", seed) for seed in SEEDS]
    assert statistics.median(one.p95_s for one in figures) <= p95_s
    assert statistics.fmean(one.within for one in figures) >= within
    assert statistics.fmean(one.cost for one in figures) <= cost


@pytest.mark.slow
@pytest.mark.parametrize("process", ["deterministic", "poisson"])
def test_with_start_ups_of_five_minutes_a_ramp_is_still_served_in_time(process: Process) -> None:
    """The first guess of a start-up is a tenth of it. When this was written: 98 %, and 1.5 and 2.0 times the work."""
    load = load_of("ramping", process, 1, duration_s=5400.0)
    result = ours(load, pods=PodSpec(constant(300.0)), seed=1)
    assert result.within(SERVICE_S) > 0.95
    assert result.pod_s < 2.2 * sum(load.services_s)


def test_a_run_is_the_same_again() -> None:
    load = load_of("ramping", "poisson", 4, duration_s=300.0)
    first, second = (ours(load, sample_s=1.0) for _ in range(2))
    assert first.run("", {}) == second.run("", {})
    assert first.reasons == second.reasons


def test_every_second_has_its_reason() -> None:
    result = ours(load_of("spike", duration_s=120.0), sample_s=1.0)
    assert len(result.reasons) > 120
    assert all(" x " in why and "needs" in why for _, why in result.reasons)


def test_after_the_last_job_all_pods_go_and_stay_away() -> None:
    """A single job, and half an hour."""
    result = ours(jobs_at([10.5], 1800.0), sample_s=1.0)
    assert result.finished_s[0] < 50
    assert result.starts <= 2
    assert [time_s for time_s, why in result.reasons if "; order" in why] == [11.0]


def test_rare_jobs_cost_a_start_each() -> None:
    """One in ten minutes; nothing starts in between."""
    result = ours(jobs_at([100 + 600 * job for job in range(6)], 3600.0))
    assert max(result.latencies_s) < STARTUP_S + SERVICE_S + 2
    assert result.starts <= 8
    assert result.pod_s < 6 * 150


@pytest.mark.slow
@pytest.mark.parametrize("process", ["deterministic", "poisson"])
def test_who_has_patience_pays_less_and_is_served_as_he_wishes(process: Process) -> None:
    """Where a job may wait for longer there are fewer pods, and no more starts: about what the plain plan costs.

    There were 33 starts at most, by chance and with the shortest wait; 95.4 % were in time, and with three other seeds
    94.8 % to 97.5 %.
    """
    load, paid = load_of("ramping", process, 1), []
    for objective_s in (5.0, 10.0, 20.0, 40.0, 100.0):
        result = ours(load, objective_s=objective_s)
        best = carried_out(load, plan(load, PODS, objective_s))
        assert result.within(objective_s) >= 0.945
        assert result.pod_s <= 1.08 * best.pod_s
        assert result.starts <= 36
        paid.append(result.pod_s)
    assert all(later < 1.02 * before for before, later in pairwise(paid))
    assert paid[-1] < 0.95 * paid[0]


@pytest.mark.parametrize("process", ["deterministic", "poisson"])
@pytest.mark.parametrize(
    ("text", "service_s", "objective_s"),
    [
        ("burst:0.05,1,300,30", 5.0, 60.0),
        pytest.param("ramping", 60.0, 60.0, marks=pytest.mark.slow),
        pytest.param("sine:0.1,0.06,1800", 40.0, 40.0, marks=pytest.mark.slow),
        pytest.param("burst:0.2,2,600,60", 5.0, 120.0, marks=pytest.mark.slow),
    ],
)
def test_where_a_job_can_wait_for_a_start_nothing_is_ordered_ahead_nor_held_for_long(
    text: str, service_s: float, objective_s: float, process: Process
) -> None:
    """A job that comes is still in time for an order: pods follow those that wait, at the price of a plain plan."""
    load = load_of(text, process, 1, duration_s=3600.0, service_s=service_s)
    pods = PodSpec(constant(STARTUP_S), grace_s=1000.0)
    result = ours(load, pods=pods, objective_s=objective_s)
    best = carried_out(load, plan(load, pods, objective_s), pods=pods)
    assert result.within(objective_s) > 0.97
    assert result.pod_s < 1.2 * best.pod_s


@pytest.mark.parametrize("process", ["deterministic", "poisson"])
@pytest.mark.parametrize(
    ("startup_s", "service_s"),
    [
        (10.0, 60.0),
        pytest.param(2.0, 300.0, marks=pytest.mark.slow),
        pytest.param(60.0, 300.0, marks=pytest.mark.slow),
    ],
)
def test_where_jobs_last_for_longer_than_a_start_nothing_is_ordered_for_those_to_come(
    process: Process, startup_s: float, service_s: float
) -> None:
    """Four jobs at the same time, on average: it is early enough to order when one comes; no crowd is there before."""
    load = load_of(f"constant:{4 / service_s}", process, 3, duration_s=14 * service_s, service_s=service_s)
    pods = PodSpec(constant(startup_s), grace_s=1000.0)
    result = ours(load, pods=pods)
    best = carried_out(load, plan(load, pods, service_s), pods=pods)
    assert result.within(service_s) > 0.97
    assert result.starts <= len(load.arrivals_s)
    assert result.peak <= 3 * best.peak
    assert result.pod_s < 1.4 * best.pod_s


@pytest.mark.slow
def test_the_third_burst_and_all_after_it_find_their_pods_there() -> None:
    """A minute of 2 jobs/s each five minutes, where most jobs of a burst are late if pods are only held for a start."""
    load = load_of("burst:0.1,2,300,60", duration_s=3600.0)
    result = ours(load, sample_s=1.0)
    late = [
        finished_s - arrived_s > 2 * SERVICE_S + 1e-6
        for arrived_s, finished_s in zip(load.arrivals_s, result.finished_s, strict=True)
        if arrived_s > 900
    ]
    assert len(late) > 1000
    assert sum(late) < 0.02 * len(late)
    assert any("a change by then" in why for _, why in result.reasons)


@pytest.mark.parametrize("process", ["deterministic", "poisson"])
@pytest.mark.parametrize(("text", "service_s"), [("constant:0.1", 0.5), ("constant:5", 0.01)])
def test_short_jobs_that_keep_coming_find_a_pod(text: str, service_s: float, process: Process) -> None:
    """One pod does them all: to stop it between them costs a start each time, and jobs that wait for it.

    In the first minutes nobody knows that they keep coming: with two jobs in 14 s and then none for 54 s it is let go.
    """
    load = load_of(text, process, 1, duration_s=900.0, service_s=service_s)
    result = ours(load, most=10, seed=1)
    late = [
        finished_s - arrived_s > service_s + SERVICE_S
        for arrived_s, finished_s in zip(load.arrivals_s, result.finished_s, strict=True)
        if arrived_s > 120
    ]
    assert sum(late) < 0.01 * len(late)
    assert result.within(SERVICE_S) > 0.92
    assert result.starts <= 15
    assert result.pod_s < 1.7 * 900


def test_a_clockwork_of_many_jobs_is_served_by_as_many_pods_as_it_needs() -> None:
    """Fifty, of which none comes or goes once the first jobs, which waited for them, are done."""
    load = load_of("constant:10", duration_s=900.0)
    result = ours(load, sample_s=5.0)
    wanted = [count for time_s, count in zip(result.samples.t_s, result.samples.wanted, strict=True) if time_s > 400]
    assert result.within(SERVICE_S) > 0.9
    assert result.starts <= 1.1 * result.peak
    assert 49 <= statistics.median(count or 0 for count in wanted[: len(wanted) // 2]) <= 53


@pytest.mark.parametrize("text", ["step:30,0@30", "step:0.2,30@300,0@330"])
def test_a_flood_gets_all_the_pods_there_may_be(text: str) -> None:
    """Thirty jobs a second, where ten pods do two."""
    load = load_of(text, duration_s=360.0)
    result = ours(load, most=10)
    assert result.peak == 10
    assert result.unfinished == 0
    # They work all the time: from the flood's first seconds, and a start-up.
    assert result.end_s < load.arrivals_s[-1] + sum(load.services_s) / 10 + 2 * STARTUP_S


def test_pods_that_fail_to_start_in_time_are_ordered_once() -> None:
    """A start-up takes ten times as long as anybody thought: what is ordered is still counted."""
    result = ours(jobs_at([10.5 + second for second in range(5)], 600.0), pods=PodSpec(constant(300.0)), most=100)
    assert result.unfinished == 0
    assert result.starts <= 10
