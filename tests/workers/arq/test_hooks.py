"""The worker's hooks and side tasks: when they are called, and what happens if they fail."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from arq import Retry
from arq.worker import func

from tests.workers.service import push, run_burst, running, until, until_ended
from workers.stream import Status
from workers.worker import Worker

if TYPE_CHECKING:
    from workers.settings import WorkerSettings
    from workers.stream import Stream


async def noop(ctx: dict[str, Any]) -> str:
    return "done"


async def fail(ctx: dict[str, Any]) -> NoReturn:
    raise OSError("the hook is broken")


async def test_order_of_the_hooks(one_stream: Stream, one_settings: WorkerSettings) -> None:
    seen: list[str] = []

    async def startup(ctx: dict[str, Any]) -> None:
        seen.append("startup")

    async def shutdown(ctx: dict[str, Any]) -> None:
        seen.append("shutdown")

    async def job_start(ctx: dict[str, Any]) -> None:
        seen.append(f"start {ctx['job_try']}")
        ctx["told by the first hook"] = True

    async def status_of(ctx: dict[str, Any]) -> str:
        view = await one_stream.view(ctx["job_id"])
        assert ctx["told by the first hook"]
        return "" if view is None else view.status

    async def job_end(ctx: dict[str, Any]) -> None:
        seen.append(f"end {await status_of(ctx)}")

    async def after_job_end(ctx: dict[str, Any]) -> None:
        seen.append(f"after {await status_of(ctx)}")

    async def twice(ctx: dict[str, Any]) -> None:
        seen.append("run")
        if ctx["job_try"] == 1:
            # Long enough for the hooks of the first attempt, however busy the machine is.
            raise Retry(defer=1)

    await push(one_stream, "twice")
    await run_burst(
        one_settings,
        [func(twice, name="twice")],
        on_startup=startup,
        on_shutdown=shutdown,
        on_job_start=job_start,
        on_job_end=job_end,
        after_job_end=after_job_end,
    )
    first = ["start 1", "run", "end processing", "after queued"]
    second = ["start 2", "run", "end processing", "after finished"]
    assert seen == ["startup", *first, *second, "shutdown"]


async def test_on_job_start_that_fails_once(one_stream: Stream, one_settings: WorkerSettings) -> None:
    """The job has not run, so it is tried again."""
    runs: list[int] = []

    async def job_start(ctx: dict[str, Any]) -> None:
        if ctx["job_try"] == 1:
            raise OSError("not yet")

    async def job(ctx: dict[str, Any]) -> None:
        runs.append(ctx["job_try"])

    job_id = await push(one_stream, "job")
    await run_burst(one_settings, [func(job, name="job")], on_job_start=job_start)
    assert (await until_ended(one_stream, job_id)).status is Status.FINISHED
    assert runs == [2]


@pytest.mark.parametrize("retry_jobs", [True, False])
async def test_on_job_start_that_always_fails(
    one_stream: Stream, one_settings: WorkerSettings, retry_jobs: bool
) -> None:
    job_id = await push(one_stream, "noop")
    await run_burst(
        one_settings,
        [func(noop, name="noop")],
        on_job_start=fail,
        max_tries=2 if retry_jobs else 5,
        retry_jobs=retry_jobs,
    )
    view = await until_ended(one_stream, job_id)
    assert view.status is Status.FAILED
    assert view.error is not None
    assert view.error["type"] == "JobHookFailed"
    assert view.error["message"].startswith("on_job_start failed: OSError: the hook is broken")
    assert [letter.id for letter in await one_stream.dead_letters()] == [job_id]


async def test_on_job_start_that_hangs(one_stream: Stream, one_settings: WorkerSettings) -> None:
    async def hang(ctx: dict[str, Any]) -> None:
        await asyncio.sleep(60)

    job_id = await push(one_stream, "noop")
    await run_burst(one_settings, [func(noop, name="noop")], on_job_start=hang, job_timeout=0.1, max_tries=1)
    view = await until_ended(one_stream, job_id)
    assert view.error is not None
    assert "on_job_start failed: TimeoutError: timed out after 0.1 s" in view.error["message"]


@pytest.mark.parametrize("hook", ["on_job_end", "after_job_end"])
async def test_a_later_hook_that_fails_changes_no_outcome(
    one_stream: Stream, one_settings: WorkerSettings, hook: str, caplog: pytest.LogCaptureFixture
) -> None:
    hooks: dict[str, Any] = {hook: fail}
    ids = [await push(one_stream, "noop") for _ in range(3)]
    await run_burst(one_settings, [func(noop, name="noop")], **hooks)
    for job_id in ids:
        view = await until_ended(one_stream, job_id)
        assert (view.status, view.attempts, view.result) == (Status.FINISHED, 1, b'"done"')
    assert f"job {ids[0]}: {hook} failed; the outcome stands" in caplog.text


async def test_on_job_end_that_hangs_holds_nothing_up(one_stream: Stream, one_settings: WorkerSettings) -> None:
    async def hang(ctx: dict[str, Any]) -> None:
        await asyncio.sleep(60)

    job_id = await push(one_stream, "noop")
    await run_burst(one_settings, [func(noop, name="noop")], on_job_end=hang, job_timeout=0.1)
    assert (await until_ended(one_stream, job_id)).status is Status.FINISHED


@pytest.mark.parametrize("how", ["task", "stop", "shutdown"])
async def test_no_cancel_loses_an_outcome(one_stream: Stream, one_settings: WorkerSettings, how: str) -> None:
    """The function has returned, and its job is cancelled while `on_job_end` runs."""
    in_hook, go_on = asyncio.Event(), asyncio.Event()

    async def job_end(ctx: dict[str, Any]) -> None:
        in_hook.set()
        await go_on.wait()

    async with running(one_settings, [func(noop, name="noop")], on_job_end=job_end) as worker:
        job_id = await push(one_stream, "noop")
        await asyncio.wait_for(in_hook.wait(), 10)
        if how == "task":
            task = worker.tasks[job_id]
            task.cancel()
            await asyncio.wait([task])
        elif how == "stop":
            worker.runner.stop(job_id, "lost")
        else:
            worker.runner.stop_all("shutdown")
        go_on.set()
        view = await until_ended(one_stream, job_id)
    assert (view.status, view.result) == (Status.FINISHED, b'"done"')


async def test_on_startup_that_fails(one_stream: Stream, one_settings: WorkerSettings) -> None:
    seen: list[str] = []

    async def shutdown(ctx: dict[str, Any]) -> None:
        seen.append("shutdown")

    await push(one_stream, "noop")
    with pytest.raises(OSError, match="the hook is broken"):
        await run_burst(one_settings, [func(noop, name="noop")], on_startup=fail, on_shutdown=shutdown)
    assert seen == ["shutdown"]
    counts = await one_stream.counts()
    assert (counts.waiting, counts.pending, counts.workers) == (1, 0, 0)


async def test_a_dead_side_task_stops_the_worker(one_stream: Stream, one_settings: WorkerSettings) -> None:
    """Its job is handed back at once."""
    started = asyncio.Event()

    async def slow(ctx: dict[str, Any]) -> None:
        started.set()
        await asyncio.sleep(60)

    async def side() -> None:
        await started.wait()
        raise LookupError("side task")

    async def startup(ctx: dict[str, Any]) -> None:
        ctx["worker"].watch(side(), "side")

    await push(one_stream, "slow")
    with pytest.raises(LookupError, match="side task"):
        await run_burst(one_settings, [func(slow, name="slow")], on_startup=startup)
    counts = await one_stream.counts()
    assert (counts.released, counts.pending, counts.workers) == (1, 1, 0)


async def test_a_side_task_that_ends_stops_the_worker(one_stream: Stream, one_settings: WorkerSettings) -> None:
    async def side() -> None: ...

    worker = Worker([func(noop, name="noop")], settings=one_settings, handle_signals=False)
    worker.watch(side(), "short")
    with pytest.raises(RuntimeError, match="the worker's short task ended"):
        await worker.async_run()
    await worker.close()


async def test_close_stops_what_runs(one_stream: Stream, one_settings: WorkerSettings) -> None:
    """As arq's `close`, without a signal before it."""
    started = asyncio.Event()

    async def slow(ctx: dict[str, Any]) -> None:
        started.set()
        await asyncio.sleep(60)

    worker = Worker([func(slow, name="slow")], settings=one_settings, handle_signals=False)
    task = asyncio.create_task(worker.async_run())
    await push(one_stream, "slow")
    await asyncio.wait_for(started.wait(), 10)
    await worker.close()
    await task
    assert (await one_stream.counts()).released == 1
    await until(lambda: not worker.tasks)
