"""What rules are held to."""

from __future__ import annotations

from bench.simulation.comparison import Case, one
from bench.simulation.named_rules import CLAIRVOYANT


def test_the_clairvoyant_plan_keeps_the_objective_of_jobs_that_take_longer_than_a_pods_grace() -> None:
    case = Case("constant:0.1", process="poisson", startup="20", service="exponential:40", grace_s=10.0)
    result = one(case, CLAIRVOYANT, 1)
    assert set(result.attempts) == {1}
    assert result.within(40.0) == 1
