"""The worker on a real server: functions, attempts and leases, as an arq user and an operator rely on them."""

from __future__ import annotations

import asyncio
import math
from datetime import datetime
from signal import Signals
from typing import TYPE_CHECKING, Any

import pytest
from arq import Retry
from arq.connections import ArqRedis, RedisSettings
from arq.jobs import JobStatus, SerializationError
from arq.worker import FailedJobs, async_check_health, func

from tests.workers.service import push, run_burst, running, until, until_ended
from workers.arq.job import JobFailed, StreamJob
from workers.stream import NewJob, Status, Stream
from workers.worker import Worker

if TYPE_CHECKING:
    from workers.arq.client import JobClient
    from workers.settings import WorkerSettings


async def noop(ctx: dict[str, Any]) -> None: ...


async def test_a_job_gets_arqs_context(stream: Stream, worker_settings: WorkerSettings) -> None:
    seen: dict[str, Any] = {}

    async def start(ctx: dict[str, Any]) -> None:
        ctx["made_at_startup"] = 7

    async def add(ctx: dict[str, Any], a: int, b: int) -> int:
        seen.update(ctx)
        return a + b

    job_id = await push(stream, "add", b"[1]", b'{"b":2}')
    await run_burst(worker_settings, [func(add, name="add")], on_startup=start, ctx={"mine": "own"})
    view = await until_ended(stream, job_id)
    assert (view.status, view.result, view.attempts) == (Status.FINISHED, b"3", 1)
    assert (seen["job_id"], seen["job_try"], seen["score"]) == (job_id, 1, view.queued_ms)
    assert isinstance(seen["enqueue_time"], datetime)
    assert seen["enqueue_time"].tzinfo is not None
    assert round(seen["enqueue_time"].timestamp() * 1000) == view.queued_ms
    assert isinstance(seen["redis"], ArqRedis)
    assert (seen["made_at_startup"], seen["mine"]) == (7, "own")
    counts = await stream.counts()
    assert (counts.length, counts.waiting, counts.pending) == (0, 0, 0)


async def test_an_exception_fails_the_job_and_keeps_its_payload(
    stream: Stream, worker_settings: WorkerSettings
) -> None:
    async def broken(ctx: dict[str, Any]) -> None:
        raise TypeError("no such thing")

    async with running(worker_settings, [func(broken, name="broken")]):
        view = await until_ended(stream, await push(stream, "broken"))
    assert view.status is Status.FAILED
    assert view.error == {"type": "TypeError", "message": "no such thing"}
    assert [letter.id for letter in await stream.dead_letters()] == [view.id]


async def test_results_that_cannot_be_kept(stream: Stream, worker_settings: WorkerSettings) -> None:
    async def odd(ctx: dict[str, Any]) -> object:
        return object()

    async def long(ctx: dict[str, Any], size: int) -> str:
        return "x" * size

    settings = worker_settings.model_copy(update={"max_result_bytes": 100})
    ids = [await push(stream, "odd"), await push(stream, "long", b"[99]"), await push(stream, "long", b"[98]")]
    worker = await run_burst(settings, [func(odd, name="odd"), func(long, name="long")])
    views = [await until_ended(stream, job_id) for job_id in ids]
    assert [view.status for view in views] == [Status.FAILED, Status.FAILED, Status.FINISHED]
    assert views[0].error is not None
    assert "the result can't be written as JSON" in views[0].error["message"]
    assert views[1].error == {"type": "ResultTooLarge", "message": "the result is 101 bytes of JSON, 100 are allowed"}
    assert (worker.jobs_complete, worker.jobs_failed) == (1, 2)


async def test_keep_result(stream: Stream, worker_settings: WorkerSettings) -> None:
    async def broken(ctx: dict[str, Any]) -> None:
        raise ValueError

    functions = [
        func(noop, name="default"),
        func(noop, name="not", keep_result=0),
        func(noop, name="long", keep_result=1000),
        func(noop, name="forever", keep_result_forever=True),
        func(broken, name="broken", keep_result=0),
    ]
    ids = {name: await push(stream, name) for name in ("default", "not", "long", "forever", "broken")}
    await run_burst(worker_settings.model_copy(update={"keep_result_s": 50.0}), functions)
    expiry_ms = {name: await stream.redis.pttl(f"{stream.prefix}:job:{ids[name]}") for name in ids}
    assert 0 < expiry_ms["default"] <= 50_000
    assert 50_000 < expiry_ms["long"] <= 1_000_000
    assert (expiry_ms["not"], expiry_ms["broken"], expiry_ms["forever"]) == (-2, -2, -1)
    assert await stream.view(ids["not"]) is None
    # A failed job's payload is kept all the same.
    assert [letter.id for letter in await stream.dead_letters()] == [ids["broken"]]


async def test_timeouts_fail_with_a_clear_error(stream: Stream, worker_settings: WorkerSettings) -> None:
    stopped: list[str] = []

    async def slow(ctx: dict[str, Any]) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            stopped.append(ctx["job_id"])

    async def own(ctx: dict[str, Any]) -> None:
        raise TimeoutError("of its own")

    functions = [func(slow, name="slow", timeout=0.1), func(slow, name="slower"), func(own, name="own")]
    names = ("slow", "slower", "own")
    ids = [await push(stream, name) for name in names]
    await run_burst(worker_settings, functions, job_timeout=0.2)
    errors = [(await until_ended(stream, job_id)).error for job_id in ids]
    assert errors == [
        {"type": "TimeoutError", "message": "timed out after 0.1 s"},
        {"type": "TimeoutError", "message": "timed out after 0.2 s"},
        {"type": "TimeoutError", "message": "of its own"},
    ]
    assert sorted(stopped) == sorted(ids[:2])


async def test_retry_runs_again_until_the_attempts_are_used_up(stream: Stream, worker_settings: WorkerSettings) -> None:
    tries: list[int] = []

    async def flaky(ctx: dict[str, Any]) -> None:
        tries.append(ctx["job_try"])
        try:
            raise ConnectionError("no answer")
        except ConnectionError as error:
            raise Retry(defer=0.05) from error

    job_id = await push(stream, "flaky")
    worker = await run_burst(worker_settings, [func(flaky, name="flaky", max_tries=3)])
    view = await until_ended(stream, job_id)
    assert (view.status, view.attempts, tries) == (Status.FAILED, 3, [1, 2, 3])
    assert view.error == {
        "type": "Retry",
        "message": "the function asked for another attempt: ConnectionError: no answer (attempt 3 of 3)",
    }
    assert (worker.jobs_retried, worker.jobs_failed) == (2, 1)


async def test_a_retry_waits_outside_the_stream(stream: Stream, worker_settings: WorkerSettings) -> None:
    async def later(ctx: dict[str, Any]) -> None:
        raise Retry(defer=600)

    async with running(worker_settings, [func(later, name="later")]):
        job_id = await push(stream, "later")

        async def is_deferred() -> bool:
            return (await stream.counts()).deferred == 1

        await until(is_deferred)
        view = await stream.view(job_id)
    assert view is not None
    assert (view.status, view.attempts) == (Status.QUEUED, 1)
    counts = await stream.counts()
    assert (counts.length, counts.pending, counts.deferred) == (0, 0, 1)


async def test_without_retry_jobs_a_retry_is_a_failure(stream: Stream, worker_settings: WorkerSettings) -> None:
    async def flaky(ctx: dict[str, Any]) -> None:
        raise Retry

    job_id = await push(stream, "flaky")
    await run_burst(worker_settings, [func(flaky, name="flaky")], retry_jobs=False)
    view = await until_ended(stream, job_id)
    assert (view.status, view.attempts) == (Status.FAILED, 1)


async def test_cancel_stops_a_running_job(stream: Stream, worker_settings: WorkerSettings) -> None:
    started, stopped = asyncio.Event(), asyncio.Event()

    async def slow(ctx: dict[str, Any]) -> None:
        started.set()
        try:
            await asyncio.sleep(60)
        finally:
            stopped.set()
            raise RuntimeError("what came of the cancel")

    async with running(worker_settings, [func(slow, name="slow")]) as worker:
        job_id = await push(stream, "slow")
        await asyncio.wait_for(started.wait(), 10)
        assert await stream.cancel(job_id) == "cancelled"
        await asyncio.wait_for(stopped.wait(), 10)
        await until(lambda: worker.metrics.jobs["cancelled"] == 1)
        assert not worker.tasks
    view = await stream.view(job_id)
    assert view is not None
    assert view.status is Status.CANCELLED


async def test_a_job_enqueues_waits_for_and_aborts_others(stream: Stream, worker_settings: WorkerSettings) -> None:
    """What arq's `ctx["redis"]` is used for; the jobs go to the stream, not to arq's queue."""
    seen: dict[str, Any] = {}

    async def square(ctx: dict[str, Any], n: int, *, plus: int = 0) -> int:
        if n < 0:
            raise ValueError("negative")
        return n * n + plus

    async def sleep(ctx: dict[str, Any]) -> None:
        await asyncio.sleep(60)

    async def parent(ctx: dict[str, Any]) -> int:
        redis: JobClient = ctx["redis"]
        job = await redis.enqueue_job("square", 3, plus=1, _job_id="fixed")
        assert job is not None
        seen["again"] = await redis.enqueue_job("square", 3, _job_id="fixed")
        result = int(await job.result(timeout=20, poll_delay=0.02))
        seen["status"] = await job.status()
        bad = await redis.enqueue_job("square", -1)
        assert bad is not None
        with pytest.raises(JobFailed, match="ValueError: negative"):
            await bad.result(timeout=20, poll_delay=0.02)
        late = await redis.enqueue_job("square", 1, _defer_by=600)
        assert late is not None
        seen["late"] = await late.status()
        seen["late aborted"] = await late.abort()
        slow = await redis.enqueue_job("sleep")
        assert slow is not None

        async def is_running() -> bool:
            return await slow.status() is JobStatus.in_progress

        await until(is_running)
        seen["aborted"] = await slow.abort()
        seen["missing"] = await StreamJob("missing", redis).status()
        with pytest.raises(SerializationError, match="NaN would become null, at /0/1"):
            await redis.enqueue_job("square", [1, math.nan])
        huge = await redis.enqueue_job("square", 2**64)
        assert huge is not None
        seen["huge"] = await huge.result(timeout=20)
        return result

    functions = [func(square, name="square"), func(parent, name="parent"), func(sleep, name="sleep")]
    async with running(worker_settings, functions, max_jobs=3):
        view = await until_ended(stream, await push(stream, "parent"))
    assert (view.error, view.result) == (None, b"10")
    assert seen == {
        "again": None,
        "huge": 2**128,
        "status": JobStatus.complete,
        "late": JobStatus.deferred,
        "late aborted": True,
        "aborted": True,
        "missing": JobStatus.not_found,
    }
    assert await stream.redis.keys("arq:*") == []


@pytest.mark.lease_s(2)
async def test_a_job_longer_than_its_lease_runs_once(one_stream: Stream, one_settings: WorkerSettings) -> None:
    runs: list[int] = []

    async def slow(ctx: dict[str, Any]) -> str:
        runs.append(ctx["job_try"])
        await asyncio.sleep(1.5 * one_settings.lease_s)
        return "done"

    functions = [func(slow, name="slow")]
    async with running(one_settings, functions), running(one_settings, functions):
        view = await until_ended(one_stream, await push(one_stream, "slow"))
    assert view.status is Status.FINISHED
    assert runs == [1]


async def test_no_more_jobs_at_once_than_allowed(stream: Stream, worker_settings: WorkerSettings) -> None:
    now, most = 0, 0
    three = asyncio.Event()

    async def slow(ctx: dict[str, Any]) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        if now == 3:
            three.set()
        await three.wait()
        await asyncio.sleep(0.05)
        now -= 1

    ids = [await push(stream, "slow") for _ in range(8)]
    async with running(worker_settings, [func(slow, name="slow")], max_jobs=3):
        await asyncio.wait_for(three.wait(), 10)
        counts = await stream.counts()
        assert (counts.pending, counts.waiting) == (3, 5)  # nothing is claimed ahead
        for job_id in ids:
            assert (await until_ended(stream, job_id)).status is Status.FINISHED
    assert most == 3


async def test_burst_mode_ends_when_no_job_is_left(stream: Stream, worker_settings: WorkerSettings) -> None:
    async def once_more(ctx: dict[str, Any]) -> int:
        if ctx["job_try"] == 1:
            raise Retry(defer=0.1)
        return int(ctx["job_try"])

    ids = [await push(stream, "noop") for _ in range(50)] + [await push(stream, "once_more")]
    worker = await run_burst(worker_settings, [func(noop, name="noop"), func(once_more, name="once_more")])
    views = await stream.view_many([(job_id, True) for job_id in ids])
    assert {view.status for view in views if view} == {Status.FINISHED}
    assert views[-1] is not None
    assert views[-1].result == b"2"
    assert (worker.jobs_complete, worker.jobs_retried) == (51, 1)


async def test_max_burst_jobs(stream: Stream, worker_settings: WorkerSettings) -> None:
    for _ in range(5):
        await push(stream, "noop")
    worker = await run_burst(worker_settings, [func(noop, name="noop")], max_burst_jobs=2)
    assert worker.jobs_complete == 2
    counts = await stream.counts()
    assert (counts.waiting, counts.pending) == (3, 0)


async def test_run_check(stream: Stream, worker_settings: WorkerSettings) -> None:
    async def broken(ctx: dict[str, Any], what: str) -> None:
        raise ValueError(what)

    functions = [func(noop, name="noop"), func(broken, name="broken")]

    async def check() -> int:
        worker = Worker(functions, settings=worker_settings, burst=True, handle_signals=False)
        try:
            return await worker.run_check()
        finally:
            await worker.close()

    for _ in range(3):
        await push(stream, "noop")
    assert await check() == 3
    await push(stream, "broken", b'["oh"]')
    with pytest.raises(FailedJobs) as failed:
        await check()
    assert (failed.value.count, failed.value.job_results[0].args) == (1, ("oh",))
    assert str(failed.value) == "1 job failed ValueError('oh')"


def test_arqs_run_needs_no_loop(worker_settings: WorkerSettings) -> None:
    """`Worker(...).run()` as in arq's documentation, on a loop of its own."""
    ran: list[str] = []

    async def job(ctx: dict[str, Any]) -> None:
        ran.append(ctx["job_id"])

    async def push_one() -> None:
        stream = Stream(worker_settings)
        await stream.push(NewJob("one", b"[]", function="job"))
        await stream.close()

    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(push_one())
        asyncio.set_event_loop(loop)
        Worker([func(job, name="job")], settings=worker_settings, burst=True, handle_signals=False).run()
    finally:
        asyncio.set_event_loop(None)
        loop.close()
    assert ran == ["one"]


@pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning")  # arq's own
async def test_arqs_health_check(stream: Stream, worker_settings: WorkerSettings) -> None:
    redis = RedisSettings.from_dsn(worker_settings.redis_url)
    async with running(worker_settings, [noop], health_check_interval=1) as worker:
        key = worker.health_check_key

        async def is_healthy() -> bool:
            return await async_check_health(redis, key) == 0

        await until(is_healthy)
        line = await stream.redis.get(key)
        assert b"j_complete=0 j_failed=0 j_retried=0 j_ongoing=0 queued=0" in line
        assert 0 < await stream.redis.pttl(key) <= 2000
        async with running(worker_settings, [noop], health_check_key=f"{stream.prefix}:mine"):
            key = f"{stream.prefix}:mine"
            await until(is_healthy)
            key = worker.health_check_key
        assert await async_check_health(redis, key) == 0  # another worker is left
    assert await async_check_health(redis, key) == 1


@pytest.mark.lease_s(3)
async def test_registration(one_stream: Stream, one_settings: WorkerSettings) -> None:
    go_on, loaded = asyncio.Event(), asyncio.Event()

    async def start(ctx: dict[str, Any]) -> None:
        await loaded.wait()

    async def wait(ctx: dict[str, Any]) -> None:
        await go_on.wait()

    async def fields() -> dict[str, str]:
        views = await one_stream.workers()
        return views[0].fields if views else {}

    async def state_is(state: str) -> bool:
        return (await fields()).get("state") == state

    async with running(one_settings, [func(wait, name="wait")], on_startup=start) as worker:
        await until(lambda: state_is("starting"))
        before = await fields()
        assert int(before["starting_since"]) > 0
        assert (before["ready_since"], before["running"], before["job"]) == ("0", "0", "")
        loaded.set()
        await until(lambda: state_is("idle"))
        job_id = await push(one_stream, "wait")
        await until(lambda: state_is("busy"))
        busy = await fields()
        assert (busy["job"], busy["running"]) == (job_id, "1")
        assert int(busy["ready_since"]) >= int(busy["starting_since"]) == int(before["starting_since"])
        # It expires a little later than the next heartbeat is due, and lives on with it.
        expiry_ms = await one_stream.redis.pttl(f"{one_stream.prefix}:worker:{worker.id}")
        assert 0 < expiry_ms < one_settings.lease_s * 1000 * 1.2

        async def is_renewed() -> bool:
            nonlocal expiry_ms
            before_ms, expiry_ms = expiry_ms, await one_stream.redis.pttl(f"{one_stream.prefix}:worker:{worker.id}")
            return bool(expiry_ms > before_ms)

        await until(is_renewed)
        assert (await fields())["job"] == job_id
        go_on.set()
        await until(lambda: state_is("idle"))
        assert (await fields())["job"] == ""
        worker.set_capacity(0)  # as when a model has crashed
        await until(lambda: state_is("starting"))
        reloading = await fields()
        assert reloading["ready_since"] == "0"
        assert int(reloading["starting_since"]) > int(before["starting_since"])
        worker.set_capacity(1)
        await until(lambda: state_is("idle"))
    assert await one_stream.workers() == []
    assert before["pid"].isdecimal()


async def test_only_a_worker_with_room_is_woken(stream: Stream, worker_settings: WorkerSettings) -> None:
    """A wake-up for one that can't claim would be another's loss."""
    go_on = asyncio.Event()

    async def wait(ctx: dict[str, Any]) -> None:
        await go_on.wait()

    async def idle_is(count: int) -> bool:
        return (await stream.counts()).idle_workers == count

    async with running(worker_settings, [func(wait, name="wait")], max_jobs=2) as worker:
        await until(lambda: idle_is(1))
        worker.set_capacity(0)
        await until(lambda: idle_is(0))
        worker.set_capacity(2)
        await until(lambda: idle_is(1))
        await push(stream, "wait")
        await until(lambda: worker.life.running == 1)
        await until(lambda: idle_is(1))  # there is room for one more
        worker.handle_sig_wait_for_completion(Signals.SIGTERM)
        await until(lambda: idle_is(0))
        assert worker.life.running == 1
        go_on.set()
