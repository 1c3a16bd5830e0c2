"""KEDA and the HPA as they are modelled, against what their documentation and sources say."""

from __future__ import annotations

import pytest

from bench.common.arrivals import Arrival
from bench.simulation.actuation import KedaActuation
from bench.simulation.cluster import PodSpec, simulate
from bench.simulation.hpa import Behavior, Hpa, ScalingPolicy, ScalingRules
from bench.simulation.rules import JobCount, RuleDecision, View
from bench.simulation.times import constant
from bench.simulation.work import Result, work


def ticks(hpa: Hpa, current: int, metrics: list[float], since_s: float = 0.0) -> list[int]:
    """The replicas after each of the metrics, one every 15 s."""
    found = []
    for i, metric in enumerate(metrics):
        current = hpa.tick(since_s + 15 * i, current, metric)
        found.append(current)
    return found


def test_the_metric_is_divided_by_the_target_and_rounded_up() -> None:
    assert Hpa(1, 100, target=5).tick(0, 3, 18) == 4
    assert Hpa(1, 100, target=1).tick(0, 3, 3.4) == 4


@pytest.mark.parametrize(("metric", "replicas"), [(10.9, 10), (11, 10), (11.1, 12), (9.1, 10), (9, 10), (8.9, 9)])
def test_a_tenth_more_or_less_is_left_alone(metric: float, replicas: int) -> None:
    """Exactly a tenth, too: 11 where there are 10 are not had."""
    assert Hpa(1, 100, target=1, behavior=Behavior(down=FAST)).tick(0, 10, metric) == replicas


def test_without_behavior_the_number_at_most_doubles_or_becomes_four() -> None:
    assert ticks(Hpa(1, 100, target=1), 1, [60] * 6) == [4, 8, 16, 32, 60, 60]
    assert ticks(Hpa(1, 20, target=1), 1, [60] * 4) == [4, 8, 16, 20]


def test_without_behavior_it_falls_to_the_largest_number_of_five_minutes() -> None:
    found = ticks(Hpa(1, 100, target=1), 8, [8, 3, *[1] * 25])
    # The 8 was recommended at 0 s, and counts up to 300 s; the 3 at 15 s.
    assert found == [*[8] * 21, 3, *[1] * 5]


FAST = ScalingRules((ScalingPolicy("Percent", 100, 15),), 0.0)


def test_a_behavior_that_is_left_out_is_the_default_one() -> None:
    """Up: the larger of 4 pods and a doubling each 15 s; down: all, after 300 s."""
    assert ticks(Hpa(1, 100, 1, Behavior()), 1, [60] * 6) == [5, 10, 20, 40, 60, 60]
    assert ticks(Hpa(1, 100, 1, Behavior()), 8, [8, *[1] * 22])[-4:] == [8, 1, 1, 1]


def test_a_policy_holds_for_its_period() -> None:
    slow = ScalingRules((ScalingPolicy("Pods", 1, 60),), 0.0)
    assert ticks(Hpa(1, 100, 1, Behavior(up=slow)), 1, [9] * 9) == [2, 2, 2, 2, 3, 3, 3, 3, 4]
    assert ticks(Hpa(1, 100, 1, Behavior(down=slow)), 5, [1] * 6) == [4, 4, 4, 4, 3, 3]


def test_per_cent_are_of_what_there_was_when_the_period_began() -> None:
    half = ScalingRules((ScalingPolicy("Percent", 50, 30),), 0.0)
    assert ticks(Hpa(1, 100, 1, Behavior(up=half)), 10, [99] * 5) == [15, 15, 23, 23, 35]
    assert ticks(Hpa(1, 100, 1, Behavior(down=half)), 16, [1] * 5) == [8, 8, 4, 4, 2]


def test_the_policy_with_the_larger_change_counts() -> None:
    both = ScalingRules((ScalingPolicy("Pods", 2, 15), ScalingPolicy("Percent", 100, 15)), 0.0)
    assert Hpa(1, 100, 1, Behavior(up=both)).tick(0, 10, 99) == 20
    assert Hpa(1, 100, 1, Behavior(down=both)).tick(0, 10, 1) == 1


def test_stabilization_takes_the_least_of_the_window_up_and_the_most_down() -> None:
    calm = ScalingRules((ScalingPolicy("Percent", 1000, 15),), 60.0)
    hpa = Hpa(1, 100, 1, Behavior(up=calm, down=calm))
    assert ticks(hpa, 2, [2, 9, 7, 9, 9, 9]) == [2, 2, 2, 2, 7, 7]
    assert ticks(hpa, 7, [1, 1, 1, 1, 1], since_s=90) == [7, 7, 7, 1, 1]


def test_with_no_replicas_the_hpa_is_out_of_action() -> None:
    assert Hpa(1, 9, 1).tick(0, 0, 50) == 0


def test_beyond_its_limits_it_goes_back_to_them() -> None:
    assert Hpa(2, 9, 1).tick(0, 12, 12) == 9
    assert Hpa(2, 9, 1).tick(0, 1, 1) == 2


def run(
    keda: KedaActuation, *jobs: tuple[float, float], minimum: int = 0, duration_s: float = 1000, rule: object = None
) -> Result:
    load = work([Arrival(*job) for job in jobs], constant(1), duration_s, 0)
    count = rule or JobCount(running=True)
    return simulate(load, PodSpec(constant(10)), count, keda, limits=(minimum, 20), sample_s=1000)  # type: ignore[arg-type]


def changes(result: Result) -> list[tuple[float, int | None]]:
    """When the wanted number changed, and to what."""
    samples, found = result.samples, []
    for i in range(1, len(samples.t_s)):
        if samples.wanted[i] != samples.wanted[i - 1]:
            found.append((samples.t_s[i], samples.wanted[i]))
    return found


def test_keda_wakes_one_at_its_next_poll_and_takes_the_last_after_the_cooldown() -> None:
    found = changes(run(KedaActuation(polling_s=30, cooldown_s=100, keda_phase_s=7, hpa_phase_s=2), (8, 5)))
    # Polls at 7, 37 (active; ready at 47, done at 52), 67, ...; 100 s after 37 is over at the one at 157.
    assert found == [(37, 1), (157, 0)]


def test_keda_takes_busy_pods_too_if_its_metric_says_zero() -> None:
    """A list's length says nothing of the jobs that run."""
    keda = KedaActuation(polling_s=10, cooldown_s=20, keda_phase_s=0, hpa_phase_s=5)
    result = run(keda, (1, 90), rule=JobCount(running=False))
    # Active at the poll at 10 and claimed at 20. The poll at 30 is 20 s later.
    assert changes(result)[:2] == [(10, 1), (30, 0)]
    assert result.attempts[0] > 1


def test_the_hpa_asks_by_itself_every_fifteen_seconds() -> None:
    keda = KedaActuation(target=2, polling_s=30, cooldown_s=900, keda_phase_s=1, hpa_phase_s=4, behavior=Behavior())
    assert changes(run(keda, *[(0, 50)] * 10))[:2] == [(1, 1), (4, 5)]


def test_a_scaler_that_pushes_does_not_wait_for_a_poll() -> None:
    keda = KedaActuation(polling_s=300, cooldown_s=50, push=True, keda_phase_s=100, hpa_phase_s=2)
    # Inactive at 25, when its cool-down since 9 is not over; the poll at 100 finds that it is.
    assert changes(run(keda, (8.5, 5))) == [(9, 1), (100, 0)]


def test_the_minimum_comes_with_the_first_poll_and_stays() -> None:
    keda = KedaActuation(polling_s=30, cooldown_s=60, keda_phase_s=11, hpa_phase_s=2)
    assert changes(run(keda, (500, 5), minimum=2)) == [(11, 2)]


def test_a_decision_of_replicas_is_a_metric_in_units_of_the_target() -> None:
    class Seven:
        def decide(self, view: View) -> RuleDecision:
            assert view.replicas >= 0
            return RuleDecision(7)

    keda = KedaActuation(polling_s=30, keda_phase_s=1, hpa_phase_s=4)
    assert changes(run(keda, (2, 1), duration_s=60, rule=Seven()))[:3] == [(1, 1), (4, 4), (19, 7)]
