"""What tests of the stream share: jobs, raw commands, leases made old, queues checked to be empty."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from typing import TYPE_CHECKING, Any

from workers.stream import Counts, Finish, JobView, NewJob, Stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from workers.stream import Claimed
    from workers.stream.link.subscription import Subscription

EMPTY = Counts(0, 0, 0, 0, 0, 0, 0, 0)
OLD_MS = 60_000
_RAW = "#!lua flags=allow-oom,allow-cross-slot-keys\nreturn redis.call(unpack(ARGV))"


def new(job_id: str = "", args: bytes = b'["x"]', **fields: Any) -> NewJob:
    """A job with an id of its own."""
    return NewJob(job_id or uuid.uuid4().hex, args, **fields)


async def command(stream: Stream, *args: str | bytes | float) -> Any:
    """Sends one raw command and returns its raw reply, which the client would otherwise rearrange."""
    return await stream.redis.execute_command("EVAL", _RAW, 0, *args)


def key(stream: Stream, suffix: str) -> str:
    """A key of the queue, such as {q}:dead."""
    return f"{stream.prefix}:{suffix}"


async def keys(stream: Stream) -> dict[str, int]:
    """All keys of the queue, without its prefix, by their ms to live (-1: for ever)."""
    found = [name.decode() async for name in stream.redis.scan_iter(match=f"{stream.prefix}*", count=1000)]
    return {name.removeprefix(stream.prefix + ":"): await command(stream, "PTTL", name) for name in found}


async def accept(stream: Stream, count: int = 1, **fields: Any) -> list[str]:
    """Pushes jobs in one step; their ids, oldest first."""
    pushed = await stream.push_many([new(**fields) for _ in range(count)])
    assert {p.outcome for p in pushed} == {"accepted"}
    return [p.id for p in pushed]


async def see(stream: Stream, job_id: str) -> JobView:
    """A job's record with its result; there is one."""
    view = await stream.view(job_id, with_result=True)
    assert view is not None
    return view


async def finish(stream: Stream, worker: str, jobs: Sequence[Claimed], status: str = "finished") -> None:
    """Ends claimed jobs, all of which the worker still holds."""
    body = b'"done"' if status == "finished" else b'{"type":"ValueError","message":"no"}'
    ends = [Finish(job.id, job.attempt, status, body, 60_000, b"", job.is_plain) for job in jobs]  # type: ignore[arg-type]
    assert all(await stream.finish(worker, ends))


async def fail_one(stream: Stream, **fields: Any) -> str:
    """Pushes a job and fails it; its id."""
    [job_id] = await accept(stream, **fields)
    await finish(stream, "failing", await stream.claim("failing", 1), "failed")
    return job_id


async def age(stream: Stream, worker: str, *entries: str) -> None:
    """Makes the worker's leases on these entries as old as if it had not renewed them for a minute."""
    await command(
        stream, "XCLAIM", key(stream, "stream"), "workers", worker, 0, *entries, "IDLE", OLD_MS, "JUSTID"
    )  # fmt: skip


async def sweep(stream: Stream, hands: Stream | None = None) -> float:
    """Sweeps now, however recent the last sweep is. `hands` may do what the stream's user may not."""
    await (hands or stream).redis.delete(key(stream, "swept"), key(stream, "pruned"))
    return await stream.sweep()


async def make_due(stream: Stream, *job_ids: str) -> None:
    """Lets the time come that deferred jobs wait for."""
    for job_id in job_ids:
        await command(stream, "ZADD", key(stream, "deferred"), "XX", 0, job_id)


async def finish_all(stream: Stream) -> None:
    """Claims and finishes what waits."""
    while jobs := await stream.claim("finishing", 1000):
        await finish(stream, "finishing", jobs)


@contextlib.asynccontextmanager
async def listening(*subscriptions: Subscription) -> AsyncIterator[None]:
    """Runs subscriptions, from when all are subscribed."""
    tasks = [asyncio.create_task(subscription.run()) for subscription in subscriptions]
    try:
        async with asyncio.timeout(15):
            for subscription in subscriptions:
                await subscription.subscribed.wait()
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def until(condition: Callable[[], bool], timeout_s: float = 15) -> None:
    """Waits for messages to arrive."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
