"""A worker whose server goes away: it waits and goes on, and what it holds is neither lost nor run twice."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

import pytest
from arq.worker import func

from tests.queues import opened, queue_name
from tests.servers import Server, durable_server, server_kinds
from tests.workers.service import WorkerProcess, push, running, until, until_ended
from workers.settings import WorkerSettings
from workers.stream import Status
from workers.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from workers.stream import Stream


@pytest.fixture(params=server_kinds())
def own(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server of the test's own that writes before it answers; it does not run yet."""
    server = durable_server(request.param, tmp_path)
    yield server
    server.kill()


@pytest.fixture
def own_settings(own: Server) -> WorkerSettings:
    return WorkerSettings(redis_url=own.url, queue_name=queue_name(), lease_s=20, redis_timeout_s=0.5, grace_s=5)


def patient(settings: WorkerSettings) -> WorkerSettings:
    """The same for the test itself, which does not give up soon as its worker does."""
    return settings.model_copy(update={"redis_timeout_s": 10.0})


async def test_a_restart_of_the_server_in_the_middle_of_a_job(own: Server, own_settings: WorkerSettings) -> None:
    """The function goes on; two workers could run the job twice, but its lease stands."""
    runs: list[int] = []
    started, go_on = asyncio.Event(), asyncio.Event()

    async def job(ctx: dict[str, Any]) -> str:
        runs.append(ctx["job_try"])
        started.set()
        await go_on.wait()
        return "done"

    await asyncio.to_thread(own.start)
    functions = [func(job, name="job")]
    async with running(own_settings, functions) as first, running(own_settings, functions) as second:
        async with opened(patient(own_settings)) as stream:
            job_id = await push(stream, "job")
            await asyncio.wait_for(started.wait(), 10)
        own.kill()
        await until(lambda: not any(worker.outage.available for worker in (first, second)))
        assert [first.session.ready, second.session.ready] == [False, False]
        go_on.set()  # the function returns while nobody can be told of it
        await asyncio.sleep(0.3)
        await asyncio.to_thread(own.start)
        async with opened(patient(own_settings)) as stream:
            view = await until_ended(stream, job_id)
            assert (view.status, view.result, view.attempts) == (Status.FINISHED, b'"done"', 1)
            await until(lambda: first.session.ready and second.session.ready)
            again = await until_ended(stream, await push(stream, "job"))
            assert again.status is Status.FINISHED
            counts = await stream.counts()
    assert runs == [1, 1]
    assert (counts.length, counts.waiting, counts.pending) == (0, 0, 0)


async def test_a_retry_while_the_server_is_away(own: Server, own_settings: WorkerSettings) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()
    tries: list[int] = []

    async def job(ctx: dict[str, Any]) -> None:
        tries.append(ctx["job_try"])
        if len(tries) == 1:
            started.set()
            await go_on.wait()
            raise asyncio.CancelledError  # arq tries such a job again at once

    await asyncio.to_thread(own.start)
    async with running(own_settings, [func(job, name="job")]) as worker:
        async with opened(patient(own_settings)) as stream:
            job_id = await push(stream, "job")
            await asyncio.wait_for(started.wait(), 10)
        own.kill()
        go_on.set()
        await until(lambda: not worker.outage.available)
        await asyncio.to_thread(own.start)
        async with opened(patient(own_settings)) as stream:
            view = await until_ended(stream, job_id)
    assert (view.status, tries) == (Status.FINISHED, [1, 2])


async def test_a_worker_starts_before_its_server(own: Server, own_settings: WorkerSettings) -> None:
    started: list[str] = []

    async def startup(ctx: dict[str, Any]) -> None:
        started.append("startup")

    async def noop(ctx: dict[str, Any]) -> None: ...

    async with running(own_settings, [func(noop, name="noop")], on_startup=startup) as worker:
        await until(lambda: not worker.outage.available)
        assert started == []
        await asyncio.to_thread(own.start)
        await asyncio.wait_for(worker.ready.wait(), 20)
        async with opened(patient(own_settings)) as stream:
            assert (await until_ended(stream, await push(stream, "noop"))).status is Status.FINISHED
    assert started == ["startup"]


@pytest.mark.parametrize("busy", [False, True])
async def test_sigterm_while_the_server_is_away(
    own: Server, own_settings: WorkerSettings, tmp_path: Path, busy: bool
) -> None:
    """It ends all the same, with exit code 0; what it held is another's once the lease has run out."""
    await asyncio.to_thread(own.start)
    settings = own_settings.model_copy(update={"lease_s": 2.0})
    with WorkerProcess(tmp_path, settings, MODEL_PREDICT_S="600" if busy else "0", GRACE_S="1") as worker:
        await worker.says("ready: predict")
        async with opened(settings) as stream:
            if busy:
                job_id = await push(stream, "predict", b'["x"]')
                await worker.says(f"{job_id} attempt 1] job starts")
        own.kill()
        await worker.says("the server is unavailable")
        worker.terminate()
        assert await worker.code() == 0, worker.text
    assert "Traceback" not in worker.text
    if not busy:
        return
    assert "1 jobs could not be handed back: their leases will run out" in worker.text
    await asyncio.to_thread(own.start)
    with WorkerProcess(tmp_path, settings) as worker:
        async with opened(settings) as stream:
            view = await until_ended(stream, job_id)
    assert (view.status, view.attempts) == (Status.FINISHED, 2)


async def test_sigterm_before_the_server_is_there(own_settings: WorkerSettings, tmp_path: Path) -> None:
    with WorkerProcess(tmp_path, own_settings) as worker:
        await worker.says("the server is unavailable")
        worker.terminate()
        assert await worker.code() == 0, worker.text


async def test_a_claim_whose_reply_is_lost(one_stream: Stream, one_settings: WorkerSettings) -> None:
    """The job was claimed, but nobody knows: the worker hands it back and claims it again, as the same attempt."""
    tries: list[int] = []
    losses = 1

    async def job(ctx: dict[str, Any]) -> None:
        tries.append(ctx["job_try"])

    worker = Worker([func(job, name="job")], settings=one_settings, handle_signals=False)
    claim = worker.stream.claim

    async def claim_and_lose(*args: Any) -> Any:
        nonlocal losses
        claimed = await claim(*args)
        if claimed and losses:
            losses -= 1
            raise ConnectionResetError("the reply is lost")
        return claimed

    worker.stream.claim = claim_and_lose  # type: ignore[method-assign,assignment]
    task = asyncio.create_task(worker.async_run())
    view = await until_ended(one_stream, await push(one_stream, "job"))
    worker.handle_sig(signal.SIGTERM)
    await task
    await worker.close()
    assert (view.status, tries, losses) == (Status.FINISHED, [1], 0)


@pytest.mark.lease_s(1.5)
async def test_a_job_that_was_lost_is_stopped(one_stream: Stream, one_settings: WorkerSettings) -> None:
    """A worker that could not renew its lease in time stops what is another's by then."""
    tries: list[tuple[str, int]] = []
    stopped = asyncio.Event()

    def named(name: str) -> Any:
        async def job(ctx: dict[str, Any]) -> str:
            tries.append((name, ctx["job_try"]))
            try:
                await asyncio.sleep(60 if name == "slow" else 0)
            finally:
                if name == "slow":
                    stopped.set()
            return name

        return func(job, name="job")

    async with running(one_settings, [named("slow")], max_jobs=1) as slow:
        job_id = await push(one_stream, "job")
        await until(lambda: len(tries) == 1)
        renew = slow.stream.renew
        cut_off = asyncio.Event()

        async def renew_later(*args: Any) -> Any:
            await cut_off.wait()
            return await renew(*args)

        slow.stream.renew = renew_later  # type: ignore[method-assign,assignment]
        async with running(one_settings, [named("other")]):
            view = await until_ended(one_stream, job_id)
            cut_off.set()
            await asyncio.wait_for(stopped.wait(), 10)
        await until(lambda: slow.metrics.jobs["lost"] == 1)
    assert (view.result, view.attempts) == (b'"other"', 2)
    assert tries == [("slow", 1), ("other", 2)]


@pytest.mark.lease_s(1.5)
async def test_a_worker_that_gets_back_what_it_lost_runs_it_once_at_a_time(
    one_stream: Stream, one_settings: WorkerSettings
) -> None:
    """Its lease ran out, and it is the first to claim the job again: the earlier attempt is stopped."""
    tries: list[int] = []
    stopped: list[int] = []

    async def job(ctx: dict[str, Any]) -> int:
        tries.append(ctx["job_try"])
        try:
            await asyncio.sleep(60 if ctx["job_try"] == 1 else 0.1)
        finally:
            stopped.append(ctx["job_try"])
        return int(ctx["job_try"])

    async def renew_nothing(*_: Any) -> list[str]:
        return []

    async with running(one_settings, [func(job, name="job")], max_jobs=2) as worker:
        worker.stream.renew = renew_nothing  # type: ignore[method-assign,assignment]
        view = await until_ended(one_stream, await push(one_stream, "job"))
        await until(lambda: not worker.life.running and not worker.runner.held())
        assert not worker.tasks
    assert (view.result, tries, stopped) == (b"2", [1, 2], [1, 2])
