"""What rules are held to."""

from __future__ import annotations

from dataclasses import replace

from bench.simulation.comparison import Case, one
from bench.simulation.named_rules import CLAIRVOYANT


def test_the_clairvoyant_plan_keeps_the_objective_of_jobs_that_take_longer_than_a_pods_grace() -> None:
    case = Case("constant:0.1", process="poisson", startup="20", service="exponential:40", grace_s=10.0)
    result = one(case, CLAIRVOYANT, 1)
    assert set(result.attempts) == {1}
    assert result.within(40.0) == 1


def test_idle_time_before_a_load_delays_its_jobs_and_what_is_told_of_it() -> None:
    at_once = Case("ramping", process="poisson", duration_s=300.0)
    later = replace(at_once, idle_s=600.0)

    jobs, delayed = at_once.work(3), later.work(3)

    assert delayed.duration_s == 900.0
    assert delayed.arrivals_s == tuple(at_s + 600.0 for at_s in jobs.arrivals_s)
    assert delayed.services_s == jobs.services_s
    told, told_later = at_once.brief.rate, later.brief.rate
    assert told
    assert told_later
    assert (told_later(599.0), told_later(750.0)) == (0.0, told(150.0))
