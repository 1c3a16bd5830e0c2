"""A worker keeps to what a push asks for its job."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any

from arq import Retry
from arq.worker import func

from tests.workers.service import run_burst, until_ended
from workers.stream import JobOptions, NewJob, Status, Stream

if TYPE_CHECKING:
    from workers.settings import WorkerSettings


async def push(stream: Stream, function: str, **options: Any) -> str:
    """The id of a new job with these options."""
    new = NewJob(uuid.uuid4().hex, b"[]", function, options=JobOptions(**options))
    return (await stream.push(new)).id


async def test_a_worker_keeps_to_a_jobs_options(stream: Stream, worker_settings: WorkerSettings) -> None:
    async def endless(ctx: dict[str, Any]) -> None:
        await asyncio.Event().wait()

    async def again(ctx: dict[str, Any]) -> None:
        raise Retry(0)

    async def plain(ctx: dict[str, Any]) -> int:
        return 1

    long, tried, kept = (
        await push(stream, "endless", timeout_s=0.05),
        await push(stream, "again", max_attempts=2),
        await push(stream, "plain", keep_ms=7_000),
    )
    functions = [func(endless, name="endless", timeout=60), func(again, name="again"), func(plain, name="plain")]
    await run_burst(worker_settings, functions)

    view = await until_ended(stream, long)
    assert view.error == {"type": "TimeoutError", "message": "timed out after 0.05 s"}
    view = await until_ended(stream, tried)
    assert (view.status, view.attempts) == (Status.FAILED, 2)
    assert 0 < await stream.redis.pttl(f"{stream.prefix}:job:{kept}") <= 7_000
