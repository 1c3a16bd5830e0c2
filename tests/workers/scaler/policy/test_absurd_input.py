"""Input that can't be: the last decision stays, and the policy goes on when it makes sense again."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from tests.workers.scaler.policy.watch import PolicyWatch, every
from workers.scaler.policy import Options, Snapshot, decide, start


def settled() -> PolicyWatch:
    """Four jobs in five seconds for five minutes, and as many pods as are right for it."""
    watch = PolicyWatch(Options(max_replicas=20))
    watch.learn()
    watch.follow(every(1.25, 300), 300, 4)
    return watch


ABSURD: dict[str, dict[str, Any]] = {
    "time that goes back": {"now_s": -1.0},
    "no time": {"now_s": math.nan},
    "endless time": {"now_s": math.inf},
    "fewer jobs than before": {"arrived": 3},
    "negative arrivals": {"arrived": -3},
    "arrivals that are no number": {"arrived": math.nan},
    "endless arrivals": {"arrived": math.inf},
    "arrivals below all numbers": {"arrived": -math.inf},
    "more arrivals than there are numbers": {"arrived": 10**400},
    "negative waiting": {"waiting": -1},
    "waiting that is no number": {"waiting": math.nan},
    "endless running": {"running": math.inf},
    "running that is no number": {"running": math.nan},
    "negative ready": {"ready": -5},
    "ready that is no number": {"ready": math.nan},
    "a negative age": {"starting_ages_s": (3.0, -1.0)},
    "an age that is no number": {"starting_ages_s": (math.nan,)},
    "an endless age": {"starting_ages_s": (math.inf,)},
}


@pytest.mark.parametrize("what", ABSURD)
def test_absurd_input_repeats_the_last_decision(what: str) -> None:
    watch = settled()
    before = watch.decisions[-1].replicas
    assert watch.state is not None
    usual = Snapshot(301.0, watch.arrived, 0, 4, 4)
    state = watch.state
    decision, state = decide(replace(usual, **ABSURD[what]), state, watch.options)
    assert decision.reason.endswith(f"{before} held")
    for _ in range(5):
        # A clock or a count that goes on from another place is believed the second time.
        decision, state = decide(replace(usual, **ABSURD[what]), state, watch.options)
        assert decision.replicas == before
    # It goes on with what makes sense again, from that other place or the old one.
    since_s = 301 if what != "time that goes back" else -1
    arrived = watch.arrived if what != "fewer jobs than before" else 3
    for second in range(1, 200):
        seen = Snapshot(float(since_s + second), arrived + second * 4 // 5, 0, 4, 4)
        decision, state = decide(seen, state, watch.options)
        assert 1 <= decision.replicas <= 10
    assert "held" not in decision.reason
    assert decision.rate == pytest.approx(0.8, rel=0.1)


def test_pods_go_in_time_although_the_clock_went_back() -> None:
    """A day, and the load ends: what was needed at times that are yet to come again holds no pods."""
    watch = PolicyWatch(now_s=86_400.0)
    watch.learn()
    watch.see(50, waiting=50)
    assert watch.see(ready=10).replicas >= 10
    watch.now_s = 0.0
    ready = 10
    for _ in range(1800):
        ready = min(ready, watch.see(ready=ready).replicas)
    assert ready == 0


@pytest.mark.parametrize("what", ABSURD)
def test_a_first_snapshot_may_be_absurd(what: str) -> None:
    options = Options(max_replicas=20)
    first = replace(Snapshot(0.0, 10, 0, 4, 4), **ABSURD[what])
    state = start(first, options)
    for second in range(600):
        seen = first if second < 3 else Snapshot(float(second), 10 + second * 4 // 5, 0, 4, 4)
        decision, state = decide(seen, state, options)
        assert 0 <= decision.replicas <= 20
    assert decision.replicas in (4, 5, 6)
    assert decision.rate == pytest.approx(0.8, rel=0.05)


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0, 0.0, 5e-324, 1e300])
def test_absurd_durations_are_left_out(value: float) -> None:
    watch, other = settled(), settled()
    absurd = watch.see(services_s=(5.0, value), startups_s=(value, 30.0), running=4, ready=4)
    assert absurd == other.see(services_s=(5.0,), startups_s=(30.0,), running=4, ready=4)
    assert watch.state == other.state
