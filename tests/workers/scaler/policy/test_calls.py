"""Jobs that wait for the end of a call, of a model that takes several in one."""

from __future__ import annotations

import pytest

from workers.scaler.policy import Options, Snapshot, decide, start
from workers.scaler.policy.calls import enough_for_calls
from workers.scaler.policy.situation import Situation

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
