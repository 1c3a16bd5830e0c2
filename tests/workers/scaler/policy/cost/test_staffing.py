"""How many replicas are worth their cost."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.scaler.forecast.arrivals import Forecast
from workers.scaler.forecast.atoms import Atom, Burst
from workers.scaler.policy.cost.backlog import Backlog
from workers.scaler.policy.cost.staffing import Staffing, hold_s, keep_ahead_s, numbers
from workers.scaler.policy.situation import ServiceTerms

LEAD_S = 31.0
CLOCK, POISSON = 0.005, 1.0


@dataclass(frozen=True)
class StaffingCase:
    """Jobs of always the same length, at one rate, with an objective of one of them unless it is said."""

    rate: float
    dispersion: float = POISSON
    service_s: float = 5.0
    slots: int = 1
    late_cost: float = 10.0
    most: int = 1000
    error: float = 0.0
    wait_s: float = 5.0

    @property
    def service(self) -> ServiceTerms:
        return ServiceTerms(self.service_s, 0.0, self.wait_s, self.slots, self.late_cost * self.service_s)

    @property
    def staffing(self) -> Staffing:
        return Staffing(self.service, self.most)

    @property
    def forecast(self) -> Forecast:
        return Forecast((Atom(1.0, self.rate, self.error),), self.dispersion)

    @property
    def backlog(self) -> Backlog:
        return Backlog(self.service, self.rate)

    def drainers(self, backlog: float, startup_s: float = 30.0) -> int:
        """Beside six pods."""
        return self.backlog.drainers(backlog, 6, self.most, startup_s)


def staffing(rate: float, dispersion: float = POISSON, **what: Any) -> StaffingCase:
    return replace(StaffingCase(rate, dispersion, wait_s=what.get("service_s", 5.0)), **what)


def steady(one: StaffingCase, ahead_s: float = LEAD_S, outstanding: int | None = None) -> int:
    """With as many jobs in the system as are usual."""
    there = round(one.rate * one.service_s) if outstanding is None else outstanding
    return one.staffing.cheapest(one.forecast, ahead_s, there)


def test_no_replica_is_needed_if_no_job_is_expected() -> None:
    assert steady(staffing(0.0)) == 0


@pytest.mark.parametrize("rate", [0.2, 0.8, 1.6, 4.0, 10.0, 100.0])
def test_a_clock_needs_its_load_and_next_to_nothing_more(rate: float) -> None:
    """And not less, but for one at most: a queue that grows for ever is no saving."""
    load = rate * 5.0
    assert load - 1 <= steady(staffing(rate, CLOCK)) <= load * 1.02 + 1


@pytest.mark.parametrize("load", [4, 16, 64, 256])
def test_chance_needs_a_safety_of_about_the_load_s_square_root(load: int) -> None:
    """Where jobs should hardly wait. Where they may wait for as long as they take, many servers need little of it."""
    prompt = replace(staffing(load / 5.0), wait_s=0.2)
    assert 0.5 * math.sqrt(load) <= steady(prompt) - load <= 3 * math.sqrt(load)
    assert -1 <= steady(staffing(load / 5.0)) - load <= 2 * math.sqrt(load)


def test_the_more_unevenly_jobs_come_the_more_replicas_are_needed() -> None:
    needed = [steady(staffing(1.0, dispersion)) for dispersion in (CLOCK, 0.3, 1.0, 1.5)]
    assert all(one <= other for one, other in pairwise(needed))
    assert needed[0] < needed[2] <= needed[3]
    # Bursts beyond that are in the spread of the forecast.
    assert steady(staffing(1.0, 10.0)) == needed[3]


def test_uncertainty_and_dear_late_jobs_need_more_replicas() -> None:
    for more, less in (
        (staffing(1.0, error=0.3), staffing(1.0)),
        (staffing(1.0, late_cost=1000.0), staffing(1.0)),
        (staffing(1.0), staffing(1.0, late_cost=2.0)),
    ):
        assert steady(more) > steady(less)


def test_a_replica_that_runs_several_at_once_is_worth_as_many() -> None:
    for slots in (2, 5, 50):
        one, several = steady(staffing(10.0)), steady(staffing(10.0, slots=slots))
        assert several == pytest.approx(one / slots, abs=1)


@pytest.mark.parametrize("rate", [1.0, 10.0, 1000.0])
def test_all_replicas_are_wanted_if_the_limit_is_too_low(rate: float) -> None:
    """However many would be needed, and even if every job will be late."""
    for dispersion in (CLOCK, POISSON, 10.0):
        for outstanding in (0, 5, 50_000):
            assert steady(staffing(rate, dispersion, most=4), outstanding=outstanding) == 4


def test_a_limit_changes_nothing_below_it() -> None:
    for rate in (0.1, 0.5, 1.0, 2.0):
        free = steady(staffing(rate))
        assert steady(staffing(rate, most=free)) == free


def fluid(one: StaffingCase, outstanding: int, ready: int, coming_s: list[float], lead_s: float) -> float:
    """What `waiting_at` is told, in steps of a thousandth of a service: a pod that has no job is not busy."""
    jobs, step_s = float(outstanding), one.service_s / 1000
    for step in range(round(lead_s / step_s)):
        now_s = step * step_s
        pods = ready + sum(at_s <= now_s for at_s in coming_s)
        if now_s < lead_s - 0.5 * one.wait_s:
            jobs += one.rate * step_s
        jobs = max(0.0, jobs - step_s * min(jobs, pods * one.slots) / one.service_s)
    return jobs


@pytest.mark.parametrize(
    ("outstanding", "ready", "coming_s"),
    [(0, 0, []), (40, 0, []), (40, 5, []), (200, 5, [3.0, 10.0]), (12, 2, [1.0, 29.0, 40.0]), (3, 9, [])],
)
@pytest.mark.parametrize("slots", [1, 4])
def test_the_jobs_that_will_find_no_pod_are_those_of_a_fluid(
    outstanding: int, ready: int, coming_s: list[float], slots: int
) -> None:
    for rate in (0.0, 0.5, 3.0):
        one = staffing(rate, slots=slots)
        expected = fluid(one, outstanding, ready, coming_s, LEAD_S)
        found = one.backlog.waiting_at(outstanding, ready, coming_s, LEAD_S)
        servers = slots * (ready + sum(at_s < LEAD_S for at_s in coming_s))
        # All pods are taken to be busy from the beginning, but some have no job until half a service has passed.
        assert max(found, servers) == pytest.approx(max(expected, servers), rel=0.05, abs=0.25 * servers)


def test_jobs_far_shorter_than_a_start_up_take_no_longer_to_think_about() -> None:
    """A pod that can do twice as much has no backlog."""
    for service_s in (1.0, 0.1, 0.01, 1e-4):
        one = staffing(0.5 / service_s, service_s=service_s)
        assert one.backlog.waiting_at(0, 1, [], 300.0) == 0.0
        assert one.backlog.waiting_at(round(1000 / service_s), 1, [], 300.0) == pytest.approx(850 / service_s, rel=0.02)


def test_pods_that_will_be_ready_in_time_count() -> None:
    one = staffing(0.0)
    waiting = [one.backlog.waiting_at(60, 1, coming_s, LEAD_S) for coming_s in ([], [20.0], [5.0], [5.0, 5.0], [50.0])]
    assert waiting[0] > waiting[1] > waiting[2] > waiting[3]
    # Later than what is ordered now it helps nobody.
    assert waiting[4] == waiting[0]


def test_jobs_that_can_begin_at_once_need_no_more_replicas() -> None:
    assert staffing(1.0).drainers(6.0) == 0
    assert staffing(1.0, slots=3).drainers(18.0) == 0


def test_a_backlog_is_worth_some_more_but_not_a_pod_for_each_job() -> None:
    extra = staffing(1.0).drainers(100.0)
    assert 0 < extra < 94
    # The longer a start takes, the fewer; the more a late job costs, the more.
    assert staffing(1.0).drainers(100.0, 300.0) < extra
    assert staffing(1.0, late_cost=100.0).drainers(100.0) > extra
    assert staffing(1.0, late_cost=0.01).drainers(100.0) == 0


@given(
    rate=st.one_of(st.floats(0, 20), st.floats(0, 1e6)),
    error=st.floats(0, 100),
    dispersion=st.floats(0.005, 1e3),
    service_s=st.floats(1e-3, 1e3),
    wait_s=st.floats(1e-3, 1e3),
    slots=st.integers(1, 100),
    late_cost=st.floats(1e-3, 1e3),
    most=st.integers(0, 50),
    outstanding=st.one_of(st.integers(0, 20), st.integers(0, 10**9)),
    ready=st.integers(0, 50),
    coming_s=st.lists(st.floats(0, 1e4), max_size=5).map(sorted),
    lead_s=st.floats(1e-3, 1e4),
)
def test_the_number_is_always_within_the_limit(
    rate: float,
    error: float,
    dispersion: float,
    service_s: float,
    wait_s: float,
    slots: int,
    late_cost: float,
    most: int,
    outstanding: int,
    ready: int,
    coming_s: list[float],
    lead_s: float,
) -> None:
    service = ServiceTerms(service_s, 0.0, wait_s, slots, late_cost * service_s)
    forecast = Forecast((Atom(0.3, rate / 2, 0.0), Atom(0.7, rate, error)), dispersion)
    staffed = Staffing(service, most).cheapest(forecast, lead_s, outstanding, lead_s)
    assert 0 <= staffed <= most
    coming = Backlog(service, rate)
    backlog = coming.waiting_at(outstanding, ready, coming_s, lead_s)
    assert 0 <= backlog <= outstanding + rate * lead_s + 1
    assert 0 <= coming.drainers(backlog, ready, most, lead_s) <= max(0, most - ready)


@given(
    rate=st.floats(0, 20),
    service_s=st.floats(0.1, 100),
    wait_s=st.floats(0.1, 100),
    slots=st.integers(1, 8),
    late_cost=st.floats(0.1, 100),
    base=st.integers(0, 20),
    waiting=st.integers(0, 2000),
    startup_s=st.floats(1, 600),
)
def test_for_a_backlog_one_more_would_not_pay_and_one_fewer_would(
    rate: float,
    service_s: float,
    wait_s: float,
    slots: int,
    late_cost: float,
    base: int,
    waiting: int,
    startup_s: float,
) -> None:
    backlog = Backlog(ServiceTerms(service_s, 0.0, wait_s, slots, late_cost * service_s), rate)

    extra = backlog.drainers(waiting, base, 100_000, startup_s)

    costs_s = [
        (extra + other) * startup_s + backlog.late_cost_s(waiting, base + extra + other)
        for other in (-1, 0, 1)
        if extra + other >= 0
    ]
    assert costs_s[-2] <= costs_s[-1] * (1 + 1e-9)
    assert costs_s[-2] <= costs_s[0] * (1 + 1e-9)


@pytest.mark.parametrize("startup_s", [5.0, 30.0, 120.0])
def test_a_backlog_that_lasts_for_many_start_ups_is_worked_off_by_all_that_are_allowed(startup_s: float) -> None:
    """5000 jobs of 1 s: six pods need a quarter of an hour for them, one pod more than an hour."""
    # The same if more come than one pod can work off, and if more come than all can.
    for rate in (0.0, 2.0, 50.0):
        one = staffing(rate, service_s=1.0, most=6)
        assert one.backlog.drainers(5000.0, 1, 6, startup_s) == 5


def test_a_rate_that_is_only_possible_counts_by_its_probability() -> None:
    """1 job/s for sure, and 4 jobs/s with a growing probability."""
    needed = [
        staffing(1.0).staffing.cheapest(Forecast((Atom(1 - p, 1.0, 0.1), Atom(p, 4.0, 0.1)), POISSON), LEAD_S, 5)
        for p in (0.0, 0.01, 0.1, 0.5, 1.0)
    ]
    assert needed == sorted(needed)
    assert needed[1] < 10
    assert needed[3] > 19


def test_a_pod_for_rare_jobs_is_kept_if_starts_cost_more_than_it_does() -> None:
    """One job of 5 s a minute: a late job is 60 pod-seconds, a start 30; one in ten minutes is not worth a pod."""
    minutely, rare = (staffing(rate, late_cost=10.0) for rate in (1 / 60, 1 / 600))
    assert minutely.staffing.cheapest(minutely.forecast, 46.0, 0, 30.0) == 1
    assert rare.staffing.cheapest(rare.forecast, 46.0, 0, 30.0) == 0


def test_numbers_rise_by_one_and_later_by_a_fiftieth() -> None:
    tried = list(numbers(1, 10_000))
    assert tried[:99] == list(range(1, 100))
    assert tried[-1] == 10_000
    assert len(tried) < 350
    assert all(later - before <= before / 50 + 1 for before, later in pairwise(tried))


def test_chance_is_kept_against_for_longer_than_a_clock() -> None:
    assert [keep_ahead_s(31.0, 61.0, dispersion) for dispersion in (0.0, 0.125, 0.25, 9.0)] == [31.0, 46.0, 61.0, 61.0]


def test_less_than_what_was_ordered_is_not_kept() -> None:
    one = staffing(1.0)
    best = steady(one)
    assert one.staffing.cheapest(one.forecast, LEAD_S, 5, 30.0, best + 3) == best + 3
    assert one.staffing.cheapest(one.forecast, LEAD_S, 5, 30.0, 1) == best
    assert staffing(0.0).staffing.cheapest(staffing(0.0).forecast, LEAD_S, 0, 30.0, 2) == 2


def test_for_a_burst_there_are_as_many_as_begin_its_jobs_in_time_if_it_comes_often() -> None:
    """30 jobs of 5 s that may wait for as long: 15 pods begin two each."""

    def with_bursts(per_s: float) -> int:
        forecast = Forecast((Atom(1.0, 30 * per_s, 0.0),), POISSON, bursts=(Burst(per_s, 30.0),))
        return staffing(1.0).staffing.cheapest(forecast, LEAD_S, 0)

    assert with_bursts(0.02) == 15
    assert with_bursts(0.0002) < 3


def test_what_was_needed_is_held_for_longer_if_jobs_come_by_chance() -> None:
    assert hold_s(30.0, 0.0, 0.005) == pytest.approx(0.06)
    assert hold_s(30.0, 0.0, 1.0) == hold_s(30.0, 0.0, 50.0) == pytest.approx(12.0)


def test_what_is_let_go_late_anyway_is_held_for_less() -> None:
    assert hold_s(30.0, 7.5, 1.0) == pytest.approx(8.25)
    assert hold_s(1.0, 7.5, 1.0) == 0.0
