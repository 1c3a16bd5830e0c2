"""What the account of a run with faults lets pass, and what it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench.common.runs import Run
from bench.faults.place import Fault, Queue
from bench.faults.run import Evidence
from bench.faults.verdict import verdict
from bench.load.account import UserJob
from bench.load.generator import Generator
from bench.load.plan import LoadPlan

if TYPE_CHECKING:
    from collections.abc import Sequence

EMPTY = Queue(0, 0, 0, 0, 0)
WORKER = Fault("worker", "a worker was killed", 1)


def after(entered: int | None = 2, lag: int = 0) -> Queue:
    return Queue(lag, lag, 0, 0, entered)


def wrong(
    jobs: Sequence[UserJob],
    faults: Sequence[Fault] = (),
    queue: Queue | None = None,
    complaints: Sequence[str] = (),
    interrupted: bool = False,
) -> list[str]:
    """Of a run with these jobs."""
    generator = Generator(LoadPlan("constant:1", duration_s=1))
    if interrupted:
        generator.interrupt()
    for job in jobs:
        outcome, job.outcome = job.outcome, ""
        generator.account.jobs.append(job)
        if outcome:
            generator.account.end(job, outcome, job.ended_s)
    run = Run("load", "test", 1.0)
    return verdict(Evidence(generator, run, faults, EMPTY, queue or after(), complaints)).wrong


def ended(number: int, attempts: int = 1, outcome: str = "finished") -> UserJob:
    return UserJob(
        number, number, sent_s=number, accepted_s=number, ended_s=number + 1, outcome=outcome, attempts=attempts,
        id=f"id-{number}",
    )  # fmt: skip


def refused(code: int | None) -> UserJob:
    return UserJob(2, 2, sent_s=2, ended_s=3, outcome="refused", status_code=code)


def test_all_finished_at_once() -> None:
    assert wrong([ended(1), ended(2)]) == []


def test_a_kill_explains_another_attempt() -> None:
    jobs = [ended(1), ended(2, attempts=2)]
    assert wrong(jobs, [WORKER._replace(began_s=2.5, ended_s=2.6)]) == []
    assert wrong(jobs, [Fault("gateway", "", 0, 2.5, 2.6)]) == [
        "1 attempts more than the kills can have cost",
        "job id-2 took 2 attempts, with 0 kills in its life that could cost one",
    ]


def test_a_job_may_be_handed_to_a_worker_that_was_killed_a_moment_ago() -> None:
    assert wrong([ended(1), ended(2, attempts=2)], [WORKER._replace(began_s=1.7, ended_s=1.8)]) == []


def test_a_kill_at_another_time_explains_nothing() -> None:
    jobs = [ended(1), ended(2, attempts=2)]
    told = ["job id-2 took 2 attempts, with 0 kills in its life that could cost one"]
    assert wrong(jobs, [WORKER._replace(began_s=1.0, ended_s=1.5)]) == told
    assert wrong(jobs, [WORKER._replace(began_s=3.5, ended_s=4.0)]) == told


@pytest.mark.parametrize("outcome", ["lost", "duplicated", "failed", "cancelled", "given up"])
def test_outcomes_that_no_kill_explains(outcome: str) -> None:
    assert wrong([ended(1), ended(2, outcome=outcome)]) == [f"1 jobs: {outcome}: id-2"]


def test_users_of_an_interrupted_run_may_give_up() -> None:
    assert wrong([ended(1), ended(2, outcome="given up")], interrupted=True) == []


def test_a_job_without_an_outcome() -> None:
    assert wrong([ended(1), ended(2, outcome="")]) == ["1 jobs have no outcome"]


def test_refusals() -> None:
    assert wrong([ended(1), refused(503)]) == []
    assert wrong([ended(1), refused(500)]) == ["1 pushes were refused with 500"]
    assert wrong([ended(1), refused(None)]) == ["1 pushes were never answered"]


def test_a_stream_that_is_not_empty() -> None:
    told = wrong([ended(1), ended(2)], queue=after(lag=1))
    assert told == ["the stream is not empty: length 1, lag 1, pending 0, deferred 0"]


def test_entries_and_ids() -> None:
    jobs = [ended(1), ended(2)]
    assert wrong(jobs, queue=after(3)) == ["1 entries are in the stream's count that no user pushed"]
    assert wrong(jobs, queue=after(1)) == ["1 ids that users were given never were in the stream"]
    assert wrong(jobs, queue=after(None)) == []
    assert wrong([ended(1), refused(503)], queue=after(2)) == [], "a refused push may have been accepted all the same"


def test_complaints_are_passed_on() -> None:
    assert wrong([ended(1), ended(2)], complaints=["worker-1: Traceback"]) == ["worker-1: Traceback"]
