"""arq's client and `Job` with the stream: right, or an error that names what is."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest
from arq.constants import default_queue_name
from arq.jobs import Job, JobStatus, SerializationError
from arq.worker import Worker as ArqsWorker
from arq.worker import func

from tests.queues import queue_name
from tests.workers.service import run_burst, running
from workers.arq.client import connect_client
from workers.arq.job import StreamJob
from workers.worker import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from workers.arq.client import JobClient
    from workers.settings import WorkerSettings


async def double(ctx: dict[str, Any], n: int) -> int:
    return 2 * n


DOUBLE = [func(double, name="double")]


@pytest.fixture
async def client(one_settings: WorkerSettings) -> AsyncIterator[JobClient]:
    """A client of the queue of `one_settings`."""
    async with connect_client(one_settings) as client:
        yield client


async def test_a_status_tells_deferred_from_queued(client: JobClient, one_settings: WorkerSettings) -> None:
    at_once, late = await client.enqueue_job("double", 1), await client.enqueue_job("double", 2, _defer_by=600)
    assert at_once is not None
    assert late is not None
    assert (await at_once.status(), await late.status()) == (JobStatus.queued, JobStatus.deferred)
    assert await late.abort()
    await run_burst(one_settings, DOUBLE)
    assert (await at_once.status(), await late.status()) == (JobStatus.complete, JobStatus.complete)
    assert await StreamJob(at_once.job_id, client).result() == 2
    with pytest.raises(asyncio.CancelledError):
        await late.result()


async def test_a_job_goes_to_the_queue_that_it_names(client: JobClient, one_settings: WorkerSettings) -> None:
    other = queue_name()
    job = await client.enqueue_job("double", 4, _queue_name=other)
    assert job is not None
    assert (await client.stream.counts()).outstanding == 0
    await run_burst(one_settings, DOUBLE, queue_name=other)
    assert await job.result(timeout=10) == 8
    assert await StreamJob(job.job_id, client, _queue_name=other).status() is JobStatus.complete
    assert await StreamJob(job.job_id, client).status() is JobStatus.not_found
    with pytest.raises(ValueError, match="queue_name: "):
        await client.enqueue_job("double", 4, _queue_name="no {braces}")


CALLS: list[Callable[[JobClient], Awaitable[Any]]] = [
    lambda client: Job("job-7", client).status(),
    lambda client: Job("job-7", client).result(),
    lambda client: Job("job-7", client).info(),
    lambda client: Job("job-7", client).result_info(),
    lambda client: Job("job-7", client).abort(),
    lambda client: client.queued_jobs(),
    lambda client: client.all_job_results(),
    lambda client: client._get_job_result(b"arq:result:job-7"),
    lambda client: client._get_job_def(b"job-7", 1),
    lambda client: client.zadd(default_queue_name, {"job-7": 1}),
    lambda client: client.zadd(client.default_queue_name, {"job-7": 1}),
    lambda client: client.zrange(client.default_queue_name.encode(), 0, -1),
    lambda client: client.keys("arq:job:*"),
    lambda client: StreamJob("job-7", client).info(),
    lambda client: StreamJob("job-7", client).result_info(),
    lambda client: ArqsWorker([double], redis_pool=client, burst=True, handle_signals=False).async_run(),
]


@pytest.mark.parametrize("call", CALLS)
async def test_what_would_look_for_jobs_where_there_are_none_says_where_they_are(
    client: JobClient, call: Callable[[JobClient], Awaitable[Any]]
) -> None:
    await client.enqueue_job("double", 1, _job_id="job-7")
    with pytest.raises(NotImplementedError, match=r"workers\.run|StreamJob|stream\.counts|view\(\)"):
        await call(client)
    assert await client.keys("arq:*") == []


async def test_a_users_own_keys_are_theirs(client: JobClient) -> None:
    key = f"mine:{queue_name()}"
    await client.set(key, "a value")
    async with client.pipeline(transaction=True) as pipe:
        pipe.get(key)
        pipe.delete(key)
        assert await pipe.execute() == [b"a value", 1]


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"_expires": 5}, ValueError, "_expires is not supported: a job waits"),
        ({"_job_try": 2}, ValueError, "_job_try is not supported: attempts count from 1"),
        (
            {"a": object()},
            SerializationError,
            'unable to serialize job "double": the arguments can\'t be written as JSON',
        ),
        ({"_defer_by": 1, "_defer_until": 1}, RuntimeError, "use either 'defer_until' or 'defer_by'"),
    ],
)
async def test_an_enqueue_that_cannot_be_done_as_asked_is_refused(
    client: JobClient, arguments: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        await client.enqueue_job("double", **arguments)
    assert (await client.stream.counts()).outstanding == 0


async def test_a_function_that_no_live_worker_has_is_told_at_its_enqueue(
    client: JobClient, one_settings: WorkerSettings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    # Nobody lives: perhaps the workers are scaled to none.
    await client.enqueue_job("double", 1)
    async with running(one_settings, DOUBLE) as worker:
        await worker.ready.wait()
        client._asked_s -= 100
        await client.enqueue_job("double", 2)
        assert caplog.text == ""
        client._asked_s -= 100
        job = await client.enqueue_job("dubble", 3)
    assert job is not None
    assert f"job {job.job_id}: no live worker of the queue {one_settings.queue_name} has the function 'dubble'" in (
        caplog.text
    )


async def test_a_worker_runs_again_after_its_end_and_after_its_close(
    client: JobClient, one_settings: WorkerSettings
) -> None:
    seen: list[str] = []

    async def shutdown(ctx: dict[str, Any]) -> None:
        seen.append("shutdown")

    worker = Worker(DOUBLE, settings=one_settings, burst=True, handle_signals=False, on_shutdown=shutdown)
    for done in (1, 2):
        await client.enqueue_job("double", done)
        assert await worker.run_check() == done
    await worker.close()
    await worker.close()
    assert seen == ["shutdown"]
    await client.enqueue_job("double", 3)
    assert await worker.run_check() == 3
    await worker.close()
    assert await client.stream.workers() == []


async def test_an_aborted_job_counts_as_failed(client: JobClient, one_settings: WorkerSettings) -> None:
    started = asyncio.Event()

    async def long(ctx: dict[str, Any]) -> None:
        started.set()
        await asyncio.sleep(60)

    job = await client.enqueue_job("long")
    assert job is not None
    async with running(one_settings, [func(long, name="long")]) as worker:
        await started.wait()
        assert await job.abort()
        await worker.runner.until_empty()
        assert (worker.jobs_complete, worker.jobs_failed, worker.jobs_retried) == (0, 1, 0)
