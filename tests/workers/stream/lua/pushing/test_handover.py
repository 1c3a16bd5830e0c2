"""A push hands its job to an idle worker that listens: what that worker is told, and when it is not."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import pytest

from tests.workers.stream.actions import (
    EMPTY,
    accept,
    age,
    command,
    finish,
    finish_all,
    key,
    listening,
    new,
    see,
    sweep,
    until,
)
from workers.stream import LIBRARY, Claimed, Finish, JobOptions, Pushed, Status, Stream, StreamSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.servers import Server

LARGE = b'["' + b"x" * 65_536 + b'"]'


class Idle:
    """A worker that listens, and what it heard: wake-ups by "", jobs that it was handed, those held ahead."""

    def __init__(self, stream: Stream, name: str, ready_ms: int = 0) -> None:
        self.stream, self.name, self.ready_ms = stream, name, ready_ms
        self.heard: list[Claimed | str] = []
        self.held: list[Claimed] = []
        self.subscription = stream.wakeups(
            name,
            lambda: self.heard.append(""),
            lambda job_id: self.heard.append(f"cancel {job_id}"),
            self.heard.append,
            lambda: None,
            on_held=self.held.extend,
        )

    async def wait(self, takes: str = LIBRARY) -> None:
        """Registers, and finds nothing to claim."""
        await self.stream.register(self.name, 60, {"state": "starting", "takes": takes, "running": 0})
        assert await self.stream.claim(self.name, 1, ready_ms=self.ready_ms) == []

    @property
    def jobs(self) -> list[Claimed]:
        """What it was handed."""
        return [one for one in self.heard if isinstance(one, Claimed)]

    async def handed(self) -> Claimed:
        """The one job that it is handed, and nothing else."""
        await until(lambda: len(self.heard) == 1)
        assert self.jobs == self.heard
        return self.jobs[0]


@pytest.fixture
async def idle(stream: Stream) -> AsyncIterator[Idle]:
    """A worker that waits for a job."""
    worker = Idle(stream, "idle")
    async with listening(worker.subscription):
        await worker.wait()
        yield worker


async def fields_of(stream: Stream, worker: str) -> dict[str, str]:
    return next(view.fields for view in await stream.workers() if view.id == worker)


@pytest.mark.parametrize("kwargs", [b"", b'{"n":"\\u0000 \xc3\xa9"}'])
async def test_the_worker_is_told_what_a_claim_would_tell_it(stream: Stream, idle: Idle, kwargs: bytes) -> None:
    before_ms = time.time() * 1000
    job_id = "an id of ü, 7 8 9\n"
    pushed = new(job_id, b'["\xc3\xbc \xff 12", 3]', function="a function", kwargs=kwargs, owner="me")
    if kwargs:
        pushed = pushed._replace(idempotency_key="k", fingerprint="f")
    assert (await stream.push(pushed)) == Pushed("accepted", job_id)
    job = await idle.handed()
    assert (job.id, job.function, job.args, job.kwargs, job.attempt) == (
        job_id, "a function", pushed.args, kwargs, 1,
    )  # fmt: skip
    # The attempt is counted before the job runs, and the worker holds it.
    view = await see(stream, job_id)
    assert (view.status, view.attempts, view.queued_ms, view.owner) == (Status.PROCESSING, 1, job.queued_ms, "me")
    assert view.started_ms is not None
    assert abs(view.started_ms - before_ms) < 10_000
    assert await stream.counts() == EMPTY._replace(length=1, pending=1, workers=1)
    fields = await fields_of(stream, "idle")
    assert (fields["state"], fields["job"], fields["running"]) == ("busy", job_id, "1")

    assert await stream.push(pushed) == Pushed("existing", job_id)
    assert await stream.renew("idle", [(job_id, 1)]) == []
    assert await stream.claim("other", 1) == []
    assert await stream.finish("other", [Finish(job_id, 1, "finished", b"1", 60_000)]) == [False]
    await finish(stream, "idle", [job])
    assert await stream.counts() == EMPTY._replace(idle_workers=1, workers=1)
    assert idle.heard == [job]


async def test_a_job_is_handed_over_with_its_options(stream: Stream, idle: Idle) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    options = JobOptions(timeout_s=2.5, max_attempts=1, keep_ms=60_000, ttl_ms=60_000, tag="ü 7", traceparent=trace)
    await stream.push(new("job-7", b"[7]", kwargs=b'{"n":7}')._replace(options=options))
    job = await idle.handed()
    assert (job.args, job.kwargs, job.options, job.traceparent) == (b"[7]", b'{"n":7}', options, trace)
    view = await see(stream, "job-7")
    assert (view.status, view.attempts, view.options) == (Status.PROCESSING, 1, options)
    await finish(stream, "idle", [job])
    assert idle.heard == [job]


async def test_it_is_handed_the_next_one_when_it_is_idle_again(stream: Stream, idle: Idle) -> None:
    for number in range(1, 6):
        [job_id] = await accept(stream)
        await until(lambda n=number: len(idle.jobs) == n)  # type: ignore[misc]
        assert idle.jobs[-1].id == job_id
        await finish(stream, "idle", [idle.jobs[-1]])
        assert await stream.claim("idle", 1) == []
    assert await stream.counts() == EMPTY._replace(idle_workers=1, workers=1)


async def test_a_worker_that_has_a_job_is_handed_no_other(stream: Stream, idle: Idle) -> None:
    """It may have room for more, but no time to look: whoever is first to claim has the time."""
    [first] = await accept(stream)
    await until(lambda: len(idle.heard) == 1)
    [second] = await accept(stream)
    assert await stream.counts() == EMPTY._replace(length=2, waiting=1, pending=1, workers=1)
    assert [job.id for job in await stream.claim("idle", 2, running=1)] == [second]
    [third] = await accept(stream)
    await until(lambda: len(idle.heard) == 2)
    assert [job.id for job in idle.jobs] == [first]
    assert idle.heard[1] == ""
    assert (await see(stream, third)).status is Status.QUEUED


@pytest.mark.parametrize("takes", ["", "leadtime_0123456789ab"], ids=["takes none", "another release"])
async def test_a_worker_that_takes_none_is_woken(stream: Stream, idle: Idle, takes: str) -> None:
    await idle.wait(takes)
    [job_id] = await accept(stream)
    await until(lambda: idle.heard == [""])
    assert await stream.counts() == EMPTY._replace(length=1, waiting=1, workers=1)
    assert [job.id for job in await stream.claim("idle", 1)] == [job_id]


async def test_a_worker_whose_registration_has_expired_is_woken(stream: Stream, idle: Idle) -> None:
    await stream.redis.delete(key(stream, "worker:idle"))
    await accept(stream)
    await until(lambda: idle.heard == [""])
    assert await command(stream, "EXISTS", key(stream, "worker:idle")) == 0


@pytest.mark.parametrize("field", ["args", "kwargs"])
async def test_a_large_payload_is_to_be_asked_for(stream: Stream, idle: Idle, field: str) -> None:
    large = LARGE if field == "args" else b'{"a":' + LARGE + b"}"
    fields = {"args": b"[]", "kwargs": b"", field: large}
    await stream.push_many([new(**fields), new()])  # type: ignore[arg-type]
    await until(lambda: idle.heard == [""])
    # Nor is what comes behind it handed over before it.
    first, _ = await stream.claim("idle", 2)
    assert getattr(first, field) == large


async def test_what_waits_comes_first(stream: Stream, idle: Idle) -> None:
    [first] = await accept(stream)
    await idle.handed()
    [second] = await accept(stream)
    await finish(stream, "idle", idle.jobs)
    # As if the worker had not looked since.
    await command(stream, "ZADD", key(stream, "idle"), 0, "idle")
    await command(stream, "HSET", key(stream, "worker:idle"), "running", 0)
    [third] = await accept(stream)
    await until(lambda: len(idle.heard) == 2)
    assert ([job.id for job in idle.jobs], idle.heard[1]) == ([first], "")
    assert [job.id for job in await stream.claim("idle", 5)] == [second, third]


async def test_what_was_handed_back_comes_first(stream: Stream, idle: Idle) -> None:
    [first] = await accept(stream)
    job = await idle.handed()
    assert await stream.release("idle", [(first, 1)]) == 1
    await command(stream, "ZADD", key(stream, "idle"), 0, "idle")
    await command(stream, "HSET", key(stream, "worker:idle"), "running", 0)
    [second] = await accept(stream)
    await until(lambda: len(idle.heard) == 2)
    assert idle.heard == [job, ""]
    assert [(job.id, job.attempt) for job in await stream.claim("idle", 5)] == [(first, 1), (second, 1)]


async def test_of_several_workers_the_longest_ready_that_listens_is_handed_the_first(stream: Stream) -> None:
    workers = [Idle(stream, f"w{ready_ms}", ready_ms) for ready_ms in (30, 10, 20)]
    gone = Idle(stream, "gone", 5)
    async with listening(*(worker.subscription for worker in workers)):
        for worker in (gone, *workers):
            await worker.wait()
        [first] = await accept(stream)
        await until(lambda: bool(workers[1].heard))
        assert (await stream.counts()).idle_workers == 2
        pushed = [new(), new(defer_ms=3_600_000), new(), new()]
        await stream.push_many(pushed)
        await until(lambda: all(worker.heard for worker in workers))
    assert [[job.id for job in worker.jobs] for worker in workers] == [[pushed[2].id], [first], [pushed[0].id]]
    assert await stream.counts() == EMPTY._replace(length=4, waiting=1, pending=3, deferred=1, workers=4)


async def test_a_woken_worker_and_one_that_is_not_needed(stream: Stream) -> None:
    """Of two jobs the first wakes one that takes none; then the queue is not empty, and the second wakes another."""
    workers = [Idle(stream, "first", 1), Idle(stream, "second", 2), Idle(stream, "third", 3)]
    async with listening(*(worker.subscription for worker in workers)):
        for worker in workers:
            await worker.wait("" if worker.name == "first" else LIBRARY)
        ids = await accept(stream, 2)
        await until(lambda: bool(workers[0].heard and workers[1].heard))
        assert [worker.heard for worker in workers] == [[""], [""], []]
        assert [job.id for job in await stream.claim("second", 5)] == ids
        assert await stream.counts() == EMPTY._replace(length=2, pending=2, idle_workers=2, workers=3)


async def test_nobody_listens(stream: Stream) -> None:
    unserved: list[str] = []
    async with listening(stream.unserved(lambda: unserved.append("job"))):
        unserved.clear()
        for name in ("a", "b"):
            await Idle(stream, name).wait()
        [job_id] = await accept(stream)
        await until(lambda: unserved == ["job"])
    assert (await see(stream, job_id)).status is Status.QUEUED
    assert await stream.counts() == EMPTY._replace(length=1, waiting=1, workers=2)


async def test_a_push_that_adds_nothing_hands_nothing_over(stream: Stream, idle: Idle) -> None:
    small = Stream(stream.settings.model_copy(update={"max_backlog": 1}), stream.redis)
    late = new(idempotency_key="k", fingerprint="f", defer_ms=3_600_000)
    assert [p.outcome for p in await small.push_many([late, late, new()])] == ["accepted", "existing", "full"]
    assert (await stream.counts()).idle_workers == 1
    [job_id] = await accept(stream)
    assert (await idle.handed()).id == job_id


async def test_a_message_that_was_lost_is_found_by_release_unknown(stream: Stream, idle: Idle) -> None:
    [job_id] = await accept(stream)
    job = await idle.handed()
    assert await stream.release_unknown("idle", [(job_id, 1)]) == []
    assert await stream.release_unknown("idle", []) == [job.entry]
    assert await stream.finish("idle", [Finish(job_id, 1, "finished", b"1", 60_000)]) == [False]
    view = await see(stream, job_id)
    assert (view.status, view.attempts) == (Status.QUEUED, 0)
    assert [(job.id, job.attempt) for job in await stream.claim("other", 1)] == [(job_id, 1)]


async def test_a_message_that_was_lost_costs_a_lease_at_most(stream: Stream, idle: Idle) -> None:
    [job_id] = await accept(stream)
    job = await idle.handed()
    await sweep(stream)
    assert (await stream.counts()).released == 0
    await age(stream, "idle", job.entry)
    await sweep(stream)
    assert [(job.id, job.attempt) for job in await stream.claim("other", 1)] == [(job_id, 2)]
    assert await stream.renew("idle", [(job_id, 1)]) == [job_id]


async def test_leaving_and_cancelling(stream: Stream, idle: Idle) -> None:
    [cancelled] = await accept(stream)
    await idle.handed()
    assert await stream.cancel(cancelled) == "cancelled"
    await until(lambda: idle.heard[1:] == [f"cancel {cancelled}"])
    await stream.claim("idle", 1)
    [handed] = await accept(stream)
    await until(lambda: len(idle.heard) == 3)
    await stream.leave("idle")
    assert [(job.id, job.attempt) for job in await stream.claim("other", 5)] == [(handed, 1)]


async def test_a_clock_that_was_set_back(stream: Stream, idle: Idle) -> None:
    now_ms = time.time() * 1000
    await command(stream, "XSETID", key(stream, "stream"), f"{round(now_ms) + 86_400_000}-0")
    [job_id] = await accept(stream)
    job = await idle.handed()
    assert abs(job.queued_ms - now_ms) < 60_000
    assert (await see(stream, job_id)).queued_ms == job.queued_ms


async def test_counters_are_right_after_a_kill_of_the_server(start_server: Callable[..., Server]) -> None:
    server = start_server("--appendonly", "yes", "--appendfsync", "always")
    stream = Stream(StreamSettings(redis_url=server.url, lease_s=30, redis_timeout_s=10))
    idle = Idle(stream, "idle")
    async with listening(idle.subscription):
        for _ in range(3):
            await idle.wait()
            await accept(stream)
        await until(lambda: len(idle.jobs) == 3)
    await finish(stream, "idle", idle.jobs[:1])
    before = await stream.counts()
    assert before == EMPTY._replace(length=2, pending=2, workers=1)
    server.kill()
    server.start()
    with contextlib.suppress(Exception):
        await stream.prove_write()
    assert await stream.counts() == before
    assert await stream.renew("idle", [(job.id, 1) for job in idle.jobs[1:]]) == []
    await accept(stream)
    assert (await stream.counts()).waiting == 1
    await finish(stream, "idle", idle.jobs[1:])
    await finish_all(stream)
    assert (await stream.counts())._replace(idle_workers=0, workers=0) == EMPTY
    await stream.close()
