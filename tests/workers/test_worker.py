"""The worker on a real server: what an arq user and an operator rely on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from arq import Retry, cron
from arq.worker import func

from workers.settings import WorkerSettings
from workers.stream import JobView, NewJob, Status, Stream
from workers.worker import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from workers.stream import StreamSettings


@pytest.fixture
def worker_settings(settings: StreamSettings) -> WorkerSettings:
    return WorkerSettings(redis_url=settings.redis_url, queue_name=settings.queue_name, lease_s=1.5, grace_s=5)


@contextlib.asynccontextmanager
async def running(settings: WorkerSettings, functions: Sequence[Any], **kwargs: Any) -> AsyncIterator[Worker]:
    """A worker that runs beside the test, and is closed after it."""
    worker = Worker(functions, settings=settings, handle_signals=False, **kwargs)
    task = asyncio.create_task(worker.async_run())
    try:
        yield worker
    finally:
        worker.handle_sig(signal.SIGTERM)
        await task
        await worker.close()


async def until_ended(stream: Stream, job_id: str, timeout_s: float = 15) -> JobView:
    async with asyncio.timeout(timeout_s):
        while True:
            view = await stream.view(job_id, with_result=True)
            if view is not None and view.status.ended:
                return view
            await asyncio.sleep(0.02)


async def until(condition: Callable[[], bool], timeout_s: float = 15) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def push(stream: Stream, function: str, args: bytes = b"[]", kwargs: bytes = b"") -> str:
    pushed = await stream.push(NewJob(uuid.uuid4().hex, args, function=function, kwargs=kwargs))
    assert pushed.outcome == "accepted"
    return pushed.id


async def test_runs_a_job_with_arqs_context_and_hooks(stream: Stream, worker_settings: WorkerSettings) -> None:
    seen: list[tuple[str, Any]] = []

    async def add(ctx: dict[str, Any], a: int, b: int) -> int:
        seen.append(("run", (ctx["job_id"], ctx["job_try"], "enqueue_time" in ctx, "redis" in ctx)))
        return a + b

    async def hook(ctx: dict[str, Any]) -> None:
        seen.append(("hook", ctx["job_id"]))

    async with running(
        worker_settings, [func(add, name="add")], on_job_start=hook, on_job_end=hook, after_job_end=hook
    ):
        job_id = await push(stream, "add", b"[1]", b'{"b":2}')
        view = await until_ended(stream, job_id)
        await until(lambda: len(seen) == 4)
    assert view.status is Status.FINISHED
    assert view.result == b"3"
    assert seen == [("hook", job_id), ("run", (job_id, 1, True, True)), ("hook", job_id), ("hook", job_id)]
    counts = await stream.counts()
    assert (counts.length, counts.waiting, counts.pending) == (0, 0, 0)


async def test_an_exception_fails_the_job_and_keeps_its_payload(
    stream: Stream, worker_settings: WorkerSettings
) -> None:
    async def broken(ctx: dict[str, Any]) -> None:
        raise ValueError("no such thing")

    async with running(worker_settings, [func(broken, name="broken")]):
        view = await until_ended(stream, await push(stream, "broken"))
    assert view.status is Status.FAILED
    assert view.error == {"type": "ValueError", "message": "no such thing"}
    assert [letter.id for letter in await stream.dead_letters()] == [view.id]


async def test_retry_runs_again_until_the_attempts_are_used_up(stream: Stream, worker_settings: WorkerSettings) -> None:
    tries: list[int] = []

    async def flaky(ctx: dict[str, Any]) -> None:
        tries.append(ctx["job_try"])
        raise Retry(defer=0.05)

    async with running(worker_settings, [func(flaky, name="flaky", max_tries=3)]):
        view = await until_ended(stream, await push(stream, "flaky"))
    assert view.status is Status.FAILED
    assert tries == [1, 2, 3]
    assert view.attempts == 3


async def test_timeout_and_unknown_function_fail_with_a_clear_error(
    stream: Stream, worker_settings: WorkerSettings
) -> None:
    async def slow(ctx: dict[str, Any]) -> None:
        await asyncio.sleep(60)

    async with running(worker_settings, [func(slow, name="slow", timeout=0.1)]):
        late = await until_ended(stream, await push(stream, "slow"))
        unknown = await until_ended(stream, await push(stream, "nothing"))
    assert late.error == {"type": "TimeoutError", "message": "timed out after 0.1 s"}
    assert unknown.error == {"type": "FunctionNotFound", "message": "function 'nothing' not found"}


async def test_cancel_stops_a_running_job(stream: Stream, worker_settings: WorkerSettings) -> None:
    started, stopped = asyncio.Event(), asyncio.Event()

    async def slow(ctx: dict[str, Any]) -> None:
        started.set()
        try:
            await asyncio.sleep(60)
        finally:
            stopped.set()

    async with running(worker_settings, [func(slow, name="slow")]):
        job_id = await push(stream, "slow")
        await asyncio.wait_for(started.wait(), 10)
        assert await stream.cancel(job_id) == "cancelled"
        await asyncio.wait_for(stopped.wait(), 10)
    view = await stream.view(job_id)
    assert view is not None
    assert view.status is Status.CANCELLED


async def test_a_job_longer_than_its_lease_runs_once(stream: Stream, worker_settings: WorkerSettings) -> None:
    runs: list[int] = []

    async def slow(ctx: dict[str, Any]) -> str:
        runs.append(ctx["job_try"])
        await asyncio.sleep(4)
        return "done"

    async with (
        running(worker_settings, [func(slow, name="slow")]),
        running(worker_settings, [func(slow, name="slow")]),
    ):
        view = await until_ended(stream, await push(stream, "slow"))
    assert view.status is Status.FINISHED
    assert runs == [1]


async def test_a_stopped_worker_hands_back_what_it_runs_uncounted(
    stream: Stream, worker_settings: WorkerSettings
) -> None:
    started = asyncio.Event()
    tries: list[int] = []

    async def first_hangs(ctx: dict[str, Any]) -> str:
        tries.append(ctx["job_try"])
        if len(tries) == 1:
            started.set()
            await asyncio.sleep(60)
        return "done"

    functions = [func(first_hangs, name="first_hangs")]
    async with running(worker_settings, functions):
        job_id = await push(stream, "first_hangs")
        await asyncio.wait_for(started.wait(), 10)
    counts = await stream.counts()
    assert (counts.released, counts.workers) == (1, 0)
    async with running(worker_settings, functions):
        view = await until_ended(stream, job_id)
    assert view.status is Status.FINISHED
    assert tries == [1, 1]


async def test_burst_mode_ends_when_no_job_is_left(stream: Stream, worker_settings: WorkerSettings) -> None:
    async def noop(ctx: dict[str, Any]) -> None: ...

    ids = [await push(stream, "noop") for _ in range(50)]
    worker = Worker([func(noop, name="noop")], settings=worker_settings, burst=True, handle_signals=False)
    await worker.async_run()
    await worker.close()
    views = await stream.view_many([(job_id, False) for job_id in ids])
    assert {view.status for view in views if view} == {Status.FINISHED}


async def test_a_cron_job_runs_once_for_all_workers(stream: Stream, worker_settings: WorkerSettings) -> None:
    runs: list[int] = []

    async def tick(ctx: dict[str, Any]) -> None:
        runs.append(1)

    every_second = set(range(60))
    jobs = [cron(tick, name="tick", second=every_second)]
    other = [cron(tick, name="tick", second=every_second)]
    async with running(worker_settings, [], cron_jobs=jobs), running(worker_settings, [], cron_jobs=other):
        await until(lambda: len(runs) >= 2)
        seen = len(runs)
        keys = await stream.redis.keys(f"{stream.prefix}:idempotency:cron:*")
    assert seen <= len(keys)


@pytest.fixture
def process(worker_settings: WorkerSettings) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m workers` with a fast model."""
    environment = {
        **os.environ,
        "REDIS_URL": worker_settings.redis_url,
        "QUEUE_NAME": worker_settings.queue_name,
        "LEASE_S": "1.5",
        "MODEL_SETUP_S": "0",
        "MODEL_PREDICT_S": "0.3",
    }
    process = subprocess.Popen([sys.executable, "-m", "workers"], env=environment)
    yield process
    process.kill()
    process.wait()


async def test_the_models_worker_answers_and_stops_on_sigterm(stream: Stream, process: subprocess.Popen[bytes]) -> None:
    view = await until_ended(stream, await push(stream, "predict", b'["hello"]'), 30)
    assert view.status is Status.FINISHED
    assert view.result is not None
    assert b'"input":"hello"' in view.result
    process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait, 20) == 0
    assert (await stream.counts()).workers == 0
