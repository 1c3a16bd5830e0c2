"""Workers of one queue with different functions: each runs what it has, and hands back the rest."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest
from arq import Retry
from arq.worker import FailedJobs, func

from tests.workers.service import push, run_burst, running, until, until_ended
from tests.workers.stream.actions import make_due
from workers.stream import Status
from workers.worker import Worker

if TYPE_CHECKING:
    from workers.settings import WorkerSettings
    from workers.stream import Stream


async def noop(ctx: dict[str, Any]) -> str:
    return "done"


def named(*names: str, **options: Any) -> list[Any]:
    return [func(noop, name=name, **options) for name in names]


async def due_at_once(stream: Stream) -> None:
    """Spares a test the pauses of jobs that were put off."""
    while True:
        await make_due(
            stream, *[job_id.decode() for job_id in await stream.redis.zrange(f"{stream.prefix}:deferred", 0, -1)]
        )
        await asyncio.sleep(0.05)


async def test_each_worker_runs_its_own_functions_and_no_job_fails(
    one_stream: Stream, one_settings: WorkerSettings, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(one_settings, named("snippet"), max_jobs=100) as first:
        await first.ready.wait()
        # Nobody else is there to get it.
        ids = [await push(one_stream, "predict")]
        await until(lambda: "no function 'predict'" in caplog.text)
        async with running(one_settings, named("predict"), max_jobs=1) as second:
            await second.ready.wait()
            ids += [await push(one_stream, name) for name in ("snippet", "predict", "snippet")]
            views = [await until_ended(one_stream, job_id) for job_id in ids]
    assert {view.status for view in views} == {Status.FINISHED}
    assert {view.attempts for view in views} == {1}
    assert (first.jobs_complete, second.jobs_complete) == (2, 2)
    assert await one_stream.dead_letters() == []
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert any(first.id in line and "no function 'predict'" in line for line in errors)
    # A scaler learns nothing from a job that was handed back.
    assert first.metrics.served.count == 2


async def test_a_job_handed_to_the_wrong_worker_goes_to_the_right_one_next(
    one_stream: Stream, one_settings: WorkerSettings
) -> None:
    async with running(one_settings, named("other")) as wrong:
        await wrong.ready.wait()
        async with running(one_settings, named("mine")) as right:
            await right.ready.wait()

            async def both_idle() -> bool:
                return (await one_stream.counts()).idle_workers == 2

            await until(both_idle)
            view = await until_ended(one_stream, await push(one_stream, "mine"))
    assert (view.status, view.attempts) == (Status.FINISHED, 1)
    assert (wrong.metrics.jobs["released"], right.metrics.jobs["released"]) == (1, 0)


async def test_a_job_that_nobody_can_run_holds_up_no_other(one_stream: Stream, one_settings: WorkerSettings) -> None:
    nobodys = [await push(one_stream, f"nobodys-{number}") for number in range(50)]
    async with running(one_settings, named("mine"), max_jobs=1) as worker:
        mine = [await push(one_stream, "mine") for _ in range(3)]
        for job_id in mine:
            assert (await until_ended(one_stream, job_id)).status is Status.FINISHED

        async def all_deferred() -> bool:
            return (await one_stream.counts()).deferred == len(nobodys)

        await until(all_deferred)
        views = await one_stream.view_many([(job_id, False) for job_id in nobodys])
    assert {view.status for view in views if view} == {Status.QUEUED}
    assert worker.metrics.jobs["failed"] == 0


async def test_a_function_that_no_worker_has_had_for_long_fails_its_job(
    stream: Stream, worker_settings: WorkerSettings, caplog: pytest.LogCaptureFixture
) -> None:
    settings = worker_settings.model_copy(update={"unknown_function_s": 0.0})
    job_id = await push(stream, "nobodys")
    worker = await run_burst(settings, named("mine"))
    view = await until_ended(stream, job_id)
    assert view.error == {"type": "FunctionNotFound", "message": "function 'nobodys' not found"}
    assert [letter.id for letter in await stream.dead_letters()] == [job_id]
    assert (worker.jobs_failed, worker.metrics.jobs["failed"]) == (1, 1)
    assert f"job {job_id} failed: function 'nobodys' not found" in caplog.text


async def test_a_worker_fails_no_job_of_a_function_it_lacks_for_its_attempts(
    one_stream: Stream, one_settings: WorkerSettings
) -> None:
    """Its own jobs have one attempt, those of the other function have many."""
    tries: list[int] = []

    async def flaky(ctx: dict[str, Any]) -> int:
        tries.append(ctx["job_try"])
        if len(tries) < 4:
            raise Retry(defer=0)
        return len(tries)

    hurry = asyncio.create_task(due_at_once(one_stream))
    async with (
        running(one_settings, named("one-try"), max_tries=1),
        running(one_settings, [func(flaky, name="flaky", max_tries=9)]),
    ):
        view = await until_ended(one_stream, await push(one_stream, "flaky"))
    hurry.cancel()
    assert (view.status, view.result, tries) == (Status.FINISHED, b"4", [1, 2, 3, 4])


async def test_burst_mode_leaves_what_it_cannot_run_and_run_check_says_so(
    one_stream: Stream, one_settings: WorkerSettings
) -> None:
    job_id, _ = await push(one_stream, "nobodys", b'["an argument"]'), await push(one_stream, "mine")
    worker = Worker(named("mine"), settings=one_settings, burst=True, handle_signals=False)
    try:
        with pytest.raises(FailedJobs, match="function 'nobodys' not found") as failed:
            await worker.run_check()
    finally:
        await worker.close()
    assert (worker.jobs_complete, worker.jobs_failed, failed.value.count) == (1, 0, 1)
    assert failed.value.job_results[0].args == ("an argument",)
    view = await one_stream.view(job_id)
    assert view is not None
    assert (view.status, view.attempts) == (Status.QUEUED, 0)


async def test_a_registration_names_the_workers_functions(one_stream: Stream, one_settings: WorkerSettings) -> None:
    async with running(one_settings, named("mine", 'quoted "name"')) as worker:
        await worker.ready.wait()
        [view] = await one_stream.workers()
    assert view.fields["functions"] == r'["mine","quoted \"name\""]'


async def test_a_job_that_was_held_ahead_and_can_not_be_run_here_is_not_started(
    stream: Stream, worker_settings: WorkerSettings
) -> None:
    """A start that the server is told of would leave it with nobody until its lease is over."""
    await push(stream, "nobodys")
    jobs = await stream.claim("other", 1)
    async with running(worker_settings, named("mine"), max_jobs=1) as worker:
        await worker.ready.wait()
        worker.ahead.received(jobs)
        assert not worker.ahead.start_next(1)
        assert worker.ahead.take_starts() == []
