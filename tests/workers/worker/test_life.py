"""A worker's states: which follow which, and what is said of them."""

from __future__ import annotations

import pytest

from workers.worker.life import Life, WorkerState


def test_it_is_ready_once_it_has_started_and_has_a_model() -> None:
    life = Life(capacity=2)
    life.set_capacity(0)
    life.start()
    assert (life.state, life.registered_state, life.ready_since_ms) == (WorkerState.STARTING, "starting", 0)

    life.set_capacity(1)

    assert (life.state, life.registered_state) == (WorkerState.READY, "idle")
    assert life.ready_since_ms >= life.starting_since_ms


def test_a_model_that_loads_while_the_worker_starts_does_not_make_it_ready() -> None:
    life = Life(capacity=2)
    life.set_capacity(0)
    life.set_capacity(2)
    assert not life.ready

    life.start()

    assert life.ready


def test_without_its_model_it_is_as_one_that_starts() -> None:
    life = Life(capacity=1)
    life.start()
    first_ms = life.starting_since_ms
    life.changed.clear()
    life.news.clear()

    life.set_capacity(0)

    assert (life.registered_state, life.ready_since_ms, life.changed.is_set(), life.news.is_set()) == (
        "starting",
        0,
        True,
        True,
    )
    assert life.starting_since_ms >= first_ms


def test_a_busy_worker_is_busy_until_it_is_told_to_stop() -> None:
    life = Life(capacity=1)
    life.start()
    life.running = 1
    assert life.registered_state == "busy"

    life.stop()

    assert (life.registered_state, life.stopping.is_set(), life.ready) == ("stopping", True, False)


@pytest.mark.parametrize("told", [True, False])
def test_nothing_brings_a_stopped_worker_back(told: bool) -> None:
    life = Life(capacity=1)
    life.start()
    if told:
        life.stop()
    life.end()

    life.set_capacity(0)
    life.set_capacity(1)
    life.start()
    life.stop()
    life.end()

    assert (life.state, life.registered_state) == (WorkerState.STOPPED, "stopping")
