"""Pods that were ordered and get no place."""

from __future__ import annotations

from tests.workers.scaler.policy.watch import PolicyWatch


def test_they_are_neither_waited_for_nor_ordered_again() -> None:
    watch = PolicyWatch()
    watch.learn()
    ordered = watch.see(20, waiting=20).replicas
    assert ordered > 1
    for _ in range(60):
        decision = watch.see(2, waiting=40, unplaced=ordered, unplaced_why="exceeded quota")
        assert decision.replicas == ordered
    assert f"; 0 ready, {ordered} without a place (exceeded quota), not ordered again" in decision.reason
    assert "starting" not in decision.reason


def test_once_they_have_a_place_more_is_ordered_again() -> None:
    watch = PolicyWatch()
    watch.learn()
    ordered = watch.see(5, waiting=5).replicas
    held = watch.see(100, waiting=105, unplaced=ordered, unplaced_why="exceeded quota")
    assert held.replicas == ordered
    assert watch.see(0, waiting=105, ready=ordered).replicas > ordered


def test_a_negative_number_of_them_is_absurd() -> None:
    watch = PolicyWatch()
    watch.learn()
    assert watch.see(0, unplaced=-1).reason.startswith("a count is negative")
