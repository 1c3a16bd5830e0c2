"""How many replicas there must be where a job can wait for one that is ordered when it comes."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.scaler.policy import Options, Snapshot, decide, start
from workers.scaler.policy.patience import Patience, enough_for_calls
from workers.scaler.policy.situation import ServiceTerms, Situation

LEAD_S = 31.0
# Ten minutes to wait for jobs of a minute: all that wait should begin within eight and a half.
MINUTES = Patience(ServiceTerms(60.0, 0.0, 600.0, 1, 720.0), 12.0)
MINUTE = ServiceTerms(60.0, 0.0, 60.0, 1, 720.0)


def test_what_is_kept_back_is_a_tenth_of_the_wait_and_half_a_service() -> None:
    assert MINUTES.begin_s == pytest.approx(600 - 60 - 30)
    assert Patience(MINUTE, 12.0).begin_s == pytest.approx(60 - 6 - 30)


def test_the_dearer_a_late_job_the_more_is_kept_back() -> None:
    kept = [Patience(MINUTE, cost).begin_s for cost in (0.1, 1.0, 12.0, 50.0, 1000.0)]
    assert kept == sorted(kept, reverse=True)
    assert kept[0] > 57
    assert kept[-1] == 0


def test_pods_that_work_are_enough_while_no_job_waits() -> None:
    assert MINUTES.needed(0, 0, 3, (), LEAD_S) == 0
    assert MINUTES.needed(0, 2, 3, (), LEAD_S) == 2
    assert MINUTES._replace(service=MINUTES.service._replace(slots=4)).needed(0, 5, 3, (10.0,), LEAD_S) == 2


def test_a_job_whose_worker_has_died_needs_a_pod() -> None:
    assert MINUTES.needed(0, 1, 0, (), LEAD_S) == 1
    assert MINUTES.needed(0, 5, 0, (), LEAD_S) == 1


def test_a_first_job_needs_a_pod() -> None:
    assert MINUTES.needed(1, 0, 0, (), LEAD_S) == 1
    assert MINUTES.needed(1, 0, 0, (31.0,), LEAD_S) == 1


def test_pods_are_enough_as_long_as_all_jobs_begin_in_time() -> None:
    """Two pods begin seventeen jobs of a minute within 510 s; the next needs a third pod."""
    assert MINUTES.needed(17, 2, 2, (), LEAD_S) == 2
    assert MINUTES.needed(18, 2, 2, (), LEAD_S) == 3
    # One that is ordered now begins the first in 31 s, and 479 s later its ninth.
    assert MINUTES.needed(25, 2, 2, (), LEAD_S) == 3
    assert MINUTES.needed(26, 2, 2, (), LEAD_S) == 4


def test_starting_pods_count_from_when_they_are_ready() -> None:
    assert MINUTES.needed(25, 2, 2, (LEAD_S,), LEAD_S) == 3
    assert MINUTES.needed(25, 2, 2, (300.0,), LEAD_S) == 4


def test_a_pod_that_starts_for_too_long_is_not_waited_for() -> None:
    assert MINUTES.needed(1, 0, 0, (LEAD_S,), LEAD_S) == 1
    assert MINUTES.needed(1, 0, 0, (45.0,), LEAD_S) == 2


def test_a_pod_that_is_late_for_all_is_worth_one_job_of_each_slot() -> None:
    """A start of ten minutes: no order is in time any more, and none is made twice for the same job."""
    assert MINUTES.needed(20, 2, 2, (), 600.0) == 2 + 3
    assert MINUTES.needed(20, 2, 2, (600.0,) * 3, 600.0) == 2 + 3


counts = st.integers(0, 10_000)


@given(
    st.floats(1e-3, 1e4),
    st.floats(1e-3, 1e5),
    st.integers(1, 50),
    st.floats(1e-3, 1e3),
    counts,
    counts,
    st.integers(0, 1000),
    st.lists(st.floats(0, 1e4), max_size=20),
    st.floats(1e-3, 1e4),
)
def test_no_pod_is_ordered_twice_and_every_pod_has_something_to_do(
    service_s: float,
    wait_s: float,
    slots: int,
    late_cost: float,
    waiting: int,
    running: int,
    ready: int,
    coming_s: list[float],
    lead_s: float,
) -> None:
    patience = Patience(ServiceTerms(service_s, 0.0, wait_s, slots, late_cost * service_s), late_cost)
    there = ready + len(coming_s)
    needed = patience.needed(waiting, running, ready, coming_s, lead_s)
    # A job that runs without a pod has lost its worker, and needs another.
    lost = min(1, running) if there == 0 else 0
    assert needed <= max(lost, there + math.ceil(waiting / slots))
    assert needed >= (there if waiting else min(there, running // slots))
    if waiting:
        # Once it is ordered, that is enough; and with more jobs there is never less.
        ordered = [*coming_s, *[lead_s] * (needed - there)]
        assert patience.needed(waiting, running, ready, ordered, lead_s) == needed
        assert patience.needed(waiting + 1, running, ready, coming_s, lead_s) >= needed


# of a model that takes several jobs in one call

# Jobs of 5 s, eight in a call, which should begin within 10 - 0.1 * 10 - 0.5 * 5 = 6.5 s: a pod begins 10.4 in time.
EIGHT = Options(objective_s=10.0, concurrency=8, startup_guess_s=5.0)


def seen(waiting: int, running: int, ready: int) -> Snapshot:
    return Snapshot(0.0, waiting + running, waiting, running, ready)


def enough(waiting: int, running: int, ready: int, options: Options = EIGHT) -> int:
    snapshot = seen(waiting, running, ready)
    return enough_for_calls(ready, Situation.of(snapshot, start(snapshot, options), options), options)


def test_jobs_that_wait_beside_room_need_no_more_pods_than_hold_them() -> None:
    assert enough(3, 7, 2) == 1
    assert enough(3, 9, 2) == 2  # which run
    assert enough(10, 2, 3) == 1
    assert enough(11, 2, 3) == 2  # that begin in time


def test_jobs_that_wait_as_all_pods_are_full_need_all() -> None:
    assert enough(9, 8, 2) == 2
    assert enough(1, 16, 2) == 2
    assert enough(1, 4, 4, Options(objective_s=60.0)) == 4


@pytest.mark.parametrize("options", [Options(objective_s=2.0, concurrency=8), Options(objective_s=10.0)])
def test_nothing_changes_for_jobs_that_cannot_wait_or_that_are_run_one_by_one(options: Options) -> None:
    assert enough(3, 3, 4, options) == 4


def test_the_second_pod_of_a_model_that_runs_batches_is_let_go() -> None:
    """Of 1.5 jobs/s some always wait for the end of a call, with two pods as with one."""
    options = EIGHT
    now = seen(0, 0, 0)
    state = start(now, options)
    for second in range(60):
        came = 1 + 3 * second // 2
        now = Snapshot(float(second), came, 3 if second % 5 else 0, 7, 2, services_s=(5.0,))
        decision, state = decide(now, state, options)
    assert decision.replicas == 1
    assert "needs 1" in decision.reason
