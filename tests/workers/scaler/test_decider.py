"""What is decided from what is seen, and what holds when nothing is."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.scaler.decider import Decider
from workers.scaler.jobs import JobsSeen
from workers.scaler.memory import Memory, dump, dump_decision, load
from workers.scaler.policy import Decision, Options
from workers.scaler.surroundings import ReplicasSeen

if TYPE_CHECKING:
    from collections.abc import Callable

OPTIONS = Options(max_replicas=5)


def jobs(now_s: float, arrived: int = 0, waiting: int = 0, running: int = 0) -> JobsSeen:
    return JobsSeen(now_s, round(now_s * 1000), arrived, waiting, running, ())


def busy(decider: Decider, rounds: int = 60) -> Decision:
    """Has seen a job every other second for so many seconds."""
    decision = None
    for now_s in range(1, rounds + 1):
        decider.learn(services_s=(5.0, 5.5), startups_s=(30.0,))
        decision = decider.decide(jobs(float(now_s), now_s // 2, 1, 2), ReplicasSeen(3, 2, (4.0,)))
    assert decision is not None
    return decision


def remember(decider: Decider) -> Memory:
    memory = decider.memory(7, 9, {"w1": 3})
    assert memory is not None
    return memory


def policy(monkeypatch: pytest.MonkeyPatch, decide: Callable[..., Any]) -> None:
    monkeypatch.setattr("workers.scaler.decider.decide", decide)


def test_nothing_is_decided_before_anything_is_seen() -> None:
    decider = Decider(OPTIONS)
    assert decider.hold("the stream can't be read") is None
    assert decider.memory(0, 0, {}) is None
    decision = decider.decide(jobs(1.0, 1, 1), ReplicasSeen(0, 0))
    assert decision is not None
    assert decision.replicas >= 1
    assert not decision.held


def test_last_decision_holds_and_says_why() -> None:
    decider = Decider(OPTIONS)
    before = busy(decider)
    decision = decider.hold("the stream can't be read (timed out)")
    assert decision is not None
    assert (decision.replicas, decision.held, decision.at_ms) == (before.replicas, True, before.at_ms)
    assert decision.reason == f"the stream can't be read (timed out), for 0 s now: hold {before.replicas}"


def test_last_decision_holds_within_the_limits() -> None:
    decider = Decider(OPTIONS)
    wanted = busy(decider).replicas
    narrow = Decider(Options(min_replicas=wanted + 1, max_replicas=wanted + 1), remember(decider))
    decision = narrow.hold("the pods can't be watched")
    assert decision is not None
    assert decision.replicas == wanted + 1


def test_restarted_scaler_decides_as_if_it_had_gone_on() -> None:
    decider = Decider(OPTIONS)
    busy(decider)
    memory = load(dump(remember(decider)))
    assert memory == remember(decider)
    again = Decider(OPTIONS, memory)
    for now_s in (61.0, 62.0, 90.0):
        seen = jobs(now_s, int(now_s) // 2, 3, 2), ReplicasSeen(3, 3)
        assert again.decide(*seen) == decider.decide(*seen)
    assert again.state == decider.state


def test_policy_that_fails_costs_nobody_a_worker(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    decider = Decider(OPTIONS)
    before = busy(decider)

    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    policy(monkeypatch, fail)
    decider.learn(services_s=(7.0,))
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            decision = decider.decide(jobs(61.0, 30), ReplicasSeen(2, 2))
            assert decision is not None
            assert (decision.replicas, decision.held) == (before.replicas, True)
    assert caplog.text.count("Traceback") == 1
    monkeypatch.undo()
    after = decider.decide(jobs(62.0, 30), ReplicasSeen(2, 2))
    assert after is not None
    assert not after.held
    assert decider.snapshot is not None
    assert decider.snapshot.services_s == (7.0,)


@pytest.mark.parametrize("wanted", [-3, 10**9, float("nan"), float("inf"), None, "many"])
def test_absurd_decision_is_none(monkeypatch: pytest.MonkeyPatch, wanted: Any) -> None:
    decider = Decider(OPTIONS)
    busy(decider)
    state = decider.state
    policy(monkeypatch, lambda *_: (Decision(wanted, "absurd", float("nan")), state))
    decision = decider.decide(jobs(61.0), ReplicasSeen(2, 2))
    assert decision is not None
    assert 0 <= decision.replicas <= 5
    assert orjson.loads(dump_decision(decision))["rate"] is not None


@pytest.mark.no_cover
@settings(max_examples=50, deadline=None)
@given(
    looks=st.lists(
        st.tuples(
            st.floats(0, 100),
            st.integers(0, 1000),
            st.integers(0, 10_000),
            st.integers(0, 1000),
            st.integers(0, 50),
            st.lists(st.floats(0, 1e6), max_size=5),
            st.lists(st.floats(allow_nan=True), max_size=3),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_whatever_is_seen_the_decision_is_within_the_limits(looks: list[Any]) -> None:
    decider = Decider(Options(min_replicas=1, max_replicas=7))
    now_s, arrived = time.time(), 0
    for passed_s, came, waiting, running, ready, ages_s, durations_s in looks:
        now_s, arrived = now_s + passed_s, arrived + came
        decider.learn(tuple(durations_s), tuple(durations_s))
        decision = decider.decide(jobs(now_s, arrived, waiting, running), ReplicasSeen(ready, ready, tuple(ages_s)))
        assert decision is None or 1 <= decision.replicas <= 7
    memory = decider.memory(1, 1, {})
    if memory is not None:
        assert load(dump(memory)) == memory
