"""The chances of a queue, against the textbook and against chance itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.scaler.forecast.atoms import upper_tail
from workers.scaler.policy.cost.queueing import Delays, exceeds


def erlang_c(load: float, servers: int) -> float:
    """The textbook's sums, by logarithms."""
    terms = [math.exp(n * math.log(load) - math.lgamma(n + 1) - load) for n in range(servers)]
    last = math.exp(servers * math.log(load) - math.lgamma(servers + 1) - load) * servers / (servers - load)
    return last / (math.fsum(terms) + last)


@pytest.mark.parametrize("load", [0.01, 0.5, 1.0, 4.0, 37.5, 400.0])
def test_delays_are_erlangs(load: float) -> None:
    delays = Delays(load)
    for servers in range(1, math.ceil(load + 6 * math.sqrt(load)) + 2):
        expected = erlang_c(load, servers) if servers > load else 1.0
        assert delays.of(servers) == pytest.approx(expected, rel=1e-9)


def test_numbers_of_servers_may_be_left_out() -> None:
    assert Delays(7.5).of(12) == pytest.approx(erlang_c(7.5, 12))


@given(load=st.floats(1e-9, 1e4), more=st.integers(0, 3000))
def test_a_delay_is_a_chance_and_rarer_with_another_server(load: float, more: int) -> None:
    delays, servers = Delays(load), math.ceil(load) + more
    chances = [delays.of(servers), delays.of(servers + 1)]
    assert 0 <= chances[1] <= chances[0] <= 1


@pytest.mark.parametrize(
    ("level", "drift", "variance", "after_s"),
    [
        (5.0, -0.2, 1.0, 30.0),
        (5.0, 0.0, 1.0, 30.0),
        (10.0, 0.3, 2.0, 20.0),
        (2.0, -1.0, 3.0, 60.0),
        (30.0, 0.5, 4.0, 45.0),
    ],
)
def test_a_queue_is_as_often_too_long_as_a_reflected_walk(
    level: float, drift: float, variance: float, after_s: float
) -> None:
    steps, walks = 500, 10_000
    step_s = after_s / steps
    generator = np.random.default_rng(8)
    queue = np.zeros(walks)
    for _ in range(steps):
        queue = np.maximum(0.0, queue + generator.normal(drift * step_s, math.sqrt(variance * step_s), walks))
    seen = float((queue > level).mean())
    # A walk that is observed in steps is less far from its lowest point than one without: by so much.
    # (Asmussen, Glynn, Pitman: "Discretization error in simulation of one-dimensional reflecting Brownian motion".)
    beyond = level + 0.5826 * math.sqrt(variance * step_s)
    expected = exceeds(beyond, drift * after_s, math.sqrt(variance * after_s))
    assert abs(seen - expected) < 4 * math.sqrt(expected * (1 - expected) / walks) + 1e-4


def test_an_uncertain_drift_makes_a_long_queue_more_likely() -> None:
    assert exceeds(10, -3, math.sqrt(30)) < exceeds(10, -3, math.sqrt(30 + 15**2))
    # It is at least the chance that the drift is so strong.
    assert exceeds(10, -3, 15) >= upper_tail((10 + 3) / 15)


@pytest.mark.parametrize(("mean", "chance"), [(-10.0, 0.0), (4.0, 0.0), (6.0, 1.0)])
def test_a_queue_without_variance_is_arithmetic(mean: float, chance: float) -> None:
    assert exceeds(5.0, mean, 0.0) == chance


AMOUNTS = st.one_of(st.floats(0, 1e3), st.floats(0, 1e12))


@given(level=AMOUNTS, more=AMOUNTS, mean=st.floats(-1e21, 1e21), spread=AMOUNTS)
def test_a_probability_is_between_0_and_1_whatever_the_numbers(
    level: float, more: float, mean: float, spread: float
) -> None:
    chance = exceeds(level, mean, spread)
    assert 0 <= exceeds(level + more, mean, spread) <= chance + 1e-9 <= 1 + 1e-9
