"""What a push asks for its job: a ttl, attempts, how long it is kept, a time; and that a retry asks for the same."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from tests.workers.stream.actions import (
    EMPTY,
    accept,
    command,
    fail_one,
    finish,
    key,
    listening,
    make_due,
    new,
    see,
    sweep,
    until,
)
from workers.stream import JobOptions, Status

if TYPE_CHECKING:
    from workers.stream import Stream

HOUR_MS = 3_600_000
TTL = JobOptions(ttl_ms=HOUR_MS)


async def let_expire(stream: Stream, *job_ids: str) -> None:
    """Lets the time come until which these jobs must have been started."""
    for job_id in job_ids:
        assert await command(stream, "ZADD", key(stream, "expiring"), "XX", "CH", 1, job_id) == 1


async def test_a_job_that_nobody_starts_expires_and_counts_no_more(stream: Stream) -> None:
    ended: list[str] = []
    early, late = await accept(stream, 2, options=TTL, owner="me")
    [other] = await accept(stream)
    [scheduled] = await accept(stream, options=TTL, defer_ms=1)
    async with listening(stream.ended(ended.append, lambda: None)):
        await let_expire(stream, late, scheduled)
        await sweep(stream)
        await until(lambda: set(ended) == {late, scheduled})

    for job_id in (late, scheduled):
        view = await see(stream, job_id)
        assert (view.status, view.attempts, view.started_ms) == (Status.FAILED, 0, None)
        assert view.error == {"type": "Expired", "message": "no worker has started the job within its ttl"}
        assert view.finished_ms is not None
    assert await stream.counts() == EMPTY._replace(length=2, waiting=2, dead=2)
    assert [job.id for job in await stream.claim("w", 5)] == [early, other]
    assert await command(stream, "PTTL", key(stream, f"job:{late}")) > 0


async def test_a_job_that_is_late_is_not_started_even_before_a_sweep(stream: Stream) -> None:
    [late] = await accept(stream, options=TTL)
    await let_expire(stream, late)
    assert await stream.claim("w", 1) == []
    assert (await see(stream, late)).error == {
        "type": "Expired", "message": "no worker has started the job within its ttl"
    }  # fmt: skip
    await sweep(stream)
    assert await command(stream, "ZCARD", key(stream, "expiring")) == 0


async def test_a_job_that_was_started_in_time_runs_and_is_tried_again_whenever(stream: Stream) -> None:
    [job_id] = await accept(stream, options=TTL)
    [job] = await stream.claim("w", 1)
    await let_expire(stream, job_id)
    await sweep(stream)
    assert (await see(stream, job_id)).status is Status.PROCESSING
    await stream.defer("w", job_id, 1, 0)
    await let_expire(stream, job_id)
    await sweep(stream)
    [again] = await stream.claim("w", 1)
    assert (again.id, again.attempt) == (job.id, 2)


async def test_an_id_that_is_pushed_anew_has_nothing_of_the_ttl_of_the_job_before(stream: Stream) -> None:
    [job_id] = await accept(stream, options=TTL)
    await finish(stream, "w", await stream.claim("w", 1))
    await command(stream, "DEL", key(stream, f"job:{job_id}"))  # as when its time is over
    await stream.push_many([new(job_id)])
    await let_expire(stream, job_id)
    await sweep(stream)
    assert (await see(stream, job_id)).status is Status.QUEUED
    assert await command(stream, "ZCARD", key(stream, "expiring")) == 0


async def test_a_job_handed_back_uncounted_expires(stream: Stream) -> None:
    [job_id] = await accept(stream, options=TTL)
    await stream.claim("w", 1)
    await let_expire(stream, job_id)
    await sweep(stream)
    assert await stream.release("w", [(job_id, 1)]) == 1
    await let_expire(stream, job_id)
    await sweep(stream)
    assert (await see(stream, job_id)).status is Status.FAILED
    assert await stream.counts() == EMPTY._replace(dead=1, idle_workers=0)


async def test_a_sweep_comes_back_when_the_next_ttl_is_over(stream: Stream) -> None:
    [job_id] = await accept(stream, options=JobOptions(ttl_ms=30))
    async with asyncio.timeout(15):
        while not (await see(stream, job_id)).status.ended:
            pause_s = await stream.sweep()
            assert pause_s <= stream.sweep_interval_s
            await asyncio.sleep(pause_s)


async def test_the_ttl_of_a_scheduled_job_counts_from_when_it_is_due(stream: Stream) -> None:
    [job_id] = await accept(stream, options=TTL, defer_ms=HOUR_MS)
    view = await see(stream, job_id)
    by_ms = int(await command(stream, "ZSCORE", key(stream, "expiring"), job_id))
    assert view.due_ms is not None
    assert by_ms == view.due_ms + HOUR_MS


async def test_a_retry_asks_for_the_same_again(stream: Stream) -> None:
    options = JobOptions(timeout_s=2.5, max_attempts=2, keep_ms=7_000, ttl_ms=HOUR_MS, tag="mine")
    job_id = await fail_one(stream, options=options)
    assert 0 < await command(stream, "PTTL", key(stream, f"job:{job_id}")) <= 7_000
    assert await stream.retry(job_id) == "retried"
    assert (await see(stream, job_id)).options == options
    await let_expire(stream, job_id)
    await sweep(stream)
    [letter] = await stream.dead_letters()
    assert letter.error["type"] == "Expired"
    assert await stream.requeue(letter.entry)
    [job] = await stream.claim("w", 1)
    assert (job.id, job.options) == (job_id, options)


async def test_a_job_fails_after_as_many_attempts_as_its_push_says(stream: Stream) -> None:
    [job_id] = await accept(stream, options=JobOptions(max_attempts=1))
    await stream.claim("w", 1, max_attempts=5)
    await stream.defer("w", job_id, 1, 0)
    assert await stream.claim("w", 1, max_attempts=5) == []
    assert (await see(stream, job_id)).status is Status.FAILED


@pytest.mark.parametrize("how", ["cancel", "expire"])
async def test_an_end_without_a_worker_keeps_the_job_as_long_as_its_push_says(stream: Stream, how: str) -> None:
    [job_id] = await accept(stream, options=JobOptions(keep_ms=7_000, ttl_ms=HOUR_MS))
    if how == "cancel":
        assert await stream.cancel(job_id) == "cancelled"
    else:
        await let_expire(stream, job_id)
        await sweep(stream)
    assert 0 < await command(stream, "PTTL", key(stream, f"job:{job_id}")) <= 7_000
    assert await command(stream, "ZCARD", key(stream, "expiring")) == 0


async def test_a_job_for_a_time_is_scheduled_until_then_and_one_for_the_past_is_not(stream: Stream) -> None:
    now_ms = round(time.time() * 1000)
    later, past = new(due_ms=now_ms + HOUR_MS), new(due_ms=1)
    await stream.push_many([later, past])
    view = await see(stream, later.id)
    assert (view.status, view.due_ms) == (Status.SCHEDULED, now_ms + HOUR_MS)
    assert (await see(stream, past.id)).status is Status.QUEUED
    assert await stream.cancel(later.id) == "cancelled"
    await sweep(stream)
    assert [job.id for job in await stream.claim("w", 5)] == [past.id]


async def test_a_scheduled_job_joins_the_stream_once_however_many_sweep(stream: Stream) -> None:
    ids = await accept(stream, 5, defer_ms=HOUR_MS)
    await make_due(stream, *ids)
    await asyncio.gather(*(stream.sweep() for _ in range(8)))
    jobs = await stream.claim("w", 20)
    assert sorted(job.id for job in jobs) == sorted(ids)
    await finish(stream, "w", jobs)
    assert (await stream.counts())._replace(idle_workers=0) == EMPTY
