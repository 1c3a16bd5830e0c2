"""Pushing: what is accepted, once, within the backlog, and in how few round trips."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from tests.queues import opened
from tests.workers.stream.actions import (
    EMPTY,
    accept,
    command,
    fail_one,
    finish,
    finish_all,
    key,
    listening,
    make_due,
    new,
    see,
    sweep,
    until,
)
from workers.stream import Pushed, Status, Stream, StreamSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from workers.stream import NewJob


@pytest.fixture
async def small(settings: StreamSettings) -> AsyncIterator[Stream]:
    """A stream whose backlog is 3 jobs."""
    async with opened(settings.model_copy(update={"max_backlog": 3})) as stream:
        yield stream


async def calls(stream: Stream) -> int:
    """FCALLs that the server has served."""
    stats = await stream.redis.info("commandstats")
    return int(stats["cmdstat_fcall"]["calls"])


async def test_a_push_is_one_entry_and_one_record_that_stays(stream: Stream) -> None:
    before_ms = time.time() * 1000
    kwargs = b'{"n":"\\ud83d\\u0000\xc3\xa9"}'
    pushed = await stream.push(new("a", b'["input"]', function="f", kwargs=kwargs, owner="me"))
    assert (pushed.outcome, pushed.id) == ("accepted", "a")
    entries = await command(stream, "XRANGE", key(stream, "stream"), "-", "+")
    assert [fields for _, fields in entries] == [
        [b"id", b"a", b"function", b"f", b"args", b'["input"]', b"kwargs", kwargs]
    ]
    view = await see(stream, "a")
    assert (view.status, view.owner, view.attempts, view.ahead) == (Status.QUEUED, "me", 0, 0)
    assert (view.started_ms, view.finished_ms, view.error, view.result) == (None, None, None, None)
    assert abs(view.queued_ms - before_ms) < 10_000
    assert await command(stream, "PTTL", key(stream, "job:a")) == -1
    assert await stream.counts() == EMPTY._replace(length=1, waiting=1)


async def test_pushing_an_id_again_changes_nothing(stream: Stream) -> None:
    first = new("same", b'["first"]')
    outcomes = await stream.push_many([first, new("same", b'["second"]')])
    outcomes.append(await stream.push(first))
    assert outcomes == [Pushed("accepted", "same"), *[Pushed("existing", "same")] * 2]
    [job] = await stream.claim("w", 5)
    assert job.args == b'["first"]'
    await finish(stream, "w", [job])
    assert (await stream.push(first)).outcome == "existing"
    assert (await see(stream, "same")).status is Status.FINISHED


async def test_concurrent_pushes_share_round_trips(stream: Stream) -> None:
    before = await calls(stream)
    pushed = await asyncio.gather(*(stream.push(new(args=b"[%d]" % n)) for n in range(300)))
    assert {p.outcome for p in pushed} == {"accepted"}
    assert await calls(stream) - before <= 3
    jobs = await stream.claim("w", 300)
    assert [job.args for job in jobs] == [b"[%d]" % n for n in range(300)]
    assert [job.id for job in jobs] == [p.id for p in pushed]


async def test_large_pushes_are_not_sent_all_at_once(stream: Stream) -> None:
    before = await calls(stream)
    large = b'["' + b"x" * 3_000_000 + b'"]'
    pushed = await asyncio.gather(*(stream.push(new(args=large)) for _ in range(6)))
    assert {p.outcome for p in pushed} == {"accepted"}
    assert await calls(stream) - before == 2


async def test_a_push_that_can_not_be_sent_fails_alone(stream: Stream) -> None:
    async def push(job: NewJob) -> Pushed:
        return await stream.push(job)

    bad = [new(owner="\ud800"), new(kwargs=b"\xff"), new("\ud800"), new(function="\ud800")]
    good = await asyncio.gather(
        *(push(job) for job in [new(), *bad, new(idempotency_key="\ud800"), new()]), return_exceptions=True
    )
    assert [isinstance(result, Exception) for result in good] == [False, *[True] * 5, False]
    assert (await stream.counts()).waiting == 2


async def test_an_idempotency_key_stands_for_its_first_push(stream: Stream) -> None:
    first, *others = await asyncio.gather(
        *(stream.push(new(idempotency_key="order 1", fingerprint="f")) for _ in range(50))
    )
    assert first.outcome == "accepted"
    assert {(p.outcome, p.id) for p in others} == {("existing", first.id)}
    other_input = await stream.push(new(idempotency_key="order 1", fingerprint="g"))
    assert other_input.outcome == "conflict"
    assert (await stream.push(new(idempotency_key="order 2", fingerprint="f"))).outcome == "accepted"
    assert await stream.view(other_input.id) is None
    assert (await stream.counts()).waiting == 2


async def test_an_idempotency_key_of_two_gateways_is_one_job(stream: Stream, settings: StreamSettings) -> None:
    gateways = [stream, *(Stream(settings) for _ in range(3))]
    pushed = await asyncio.gather(
        *(g.push(new(idempotency_key="k", fingerprint="f")) for g in gateways for _ in range(5))
    )
    assert [p.outcome for p in pushed].count("accepted") == 1
    assert len({p.id for p in pushed}) == 1
    for gateway in gateways[1:]:
        await gateway.close()


async def test_an_idempotency_key_ends_with_its_jobs_record(stream: Stream) -> None:
    first = await stream.push(new(idempotency_key="k", fingerprint="f"))
    [job] = await stream.claim("w", 1)
    await finish(stream, "w", [job])
    assert await stream.push(new(idempotency_key="k", fingerprint="f")) == Pushed("existing", first.id)
    await stream.redis.delete(key(stream, f"job:{job.id}"))

    second = await stream.push(new(idempotency_key="k", fingerprint="g"))

    assert second.outcome == "accepted"
    assert second.id != first.id
    assert await stream.push(new(idempotency_key="k", fingerprint="g")) == Pushed("existing", second.id)
    assert (await stream.push(new(idempotency_key="k", fingerprint="f"))).outcome == "conflict"
    assert (await stream.counts()).waiting == 1


async def test_an_idempotency_key_that_outlives_its_job_ends_by_itself(
    stream: Stream, settings: StreamSettings
) -> None:
    pushed = await stream.push(new(idempotency_key="k", fingerprint="f", outlives_job=True))
    [job] = await stream.claim("w", 1)
    await finish(stream, "w", [job])
    await stream.redis.delete(key(stream, f"job:{job.id}"))
    again = await stream.push(new(idempotency_key="k", fingerprint="f", outlives_job=True))
    assert again == Pushed("existing", pushed.id)
    ttl_ms = await command(stream, "PTTL", key(stream, "idempotency:k"))
    assert settings.idempotency_s * 1000 - 60_000 < ttl_ms <= settings.idempotency_s * 1000
    await stream.redis.delete(key(stream, "idempotency:k"))
    assert (await stream.push(new(idempotency_key="k", fingerprint="other"))).outcome == "accepted"


async def test_a_full_backlog_refuses_pushes_until_a_job_ends(small: Stream) -> None:
    keyed = new(idempotency_key="k", fingerprint="f")
    first = await small.push_many([keyed, new(defer_ms=3_600_000), new(), new(), new()])
    assert [p.outcome for p in first] == ["accepted", "accepted", "accepted", "full", "full"]
    [running, _] = await small.claim("w", 2)
    refused = new(idempotency_key="refused", fingerprint="f")
    assert [p.outcome for p in await small.push_many([refused, keyed, new(first[2].id)])] == [
        "full", "existing", "existing",
    ]  # fmt: skip
    await finish(small, "w", [running])
    # What was refused left nothing behind: the same push is accepted now.
    assert (await small.push(refused)).outcome == "accepted"
    assert (await small.push(new())).outcome == "full"


async def test_a_deferred_push_waits_outside_the_stream_until_it_is_due(stream: Stream) -> None:
    late = new(args=b"[1]", kwargs=b'{"a":2}', function="f", owner="me", defer_ms=3_600_000)
    await stream.push(late)
    [early] = await accept(stream)
    queued_ms = (await see(stream, late.id)).queued_ms
    assert await stream.counts() == EMPTY._replace(length=1, waiting=1, deferred=1)
    assert await stream.push(late) == Pushed("existing", late.id)
    assert await sweep(stream) == stream.sweep_interval_s
    assert [job.id for job in await stream.claim("w", 5)] == [early]
    view = await see(stream, late.id)
    assert (view.status, view.ahead, view.due_ms) == (Status.SCHEDULED, None, queued_ms + 3_600_000)

    await make_due(stream, late.id)
    await sweep(stream)
    assert (await see(stream, late.id)).status is Status.QUEUED
    assert (await stream.counts()).deferred == 0
    [job] = await stream.claim("w", 5)
    assert (job.id, job.args, job.kwargs, job.function) == (late.id, b"[1]", b'{"a":2}', "f")
    assert job.queued_ms == queued_ms
    view = await see(stream, late.id)
    assert (view.owner, view.queued_ms) == ("me", queued_ms)
    # The payload is in one place only.
    assert not await command(stream, "HEXISTS", key(stream, f"job:{late.id}"), "args")


async def test_a_job_that_is_due_soon_is_swept_in_time(stream: Stream) -> None:
    await accept(stream, defer_ms=30)
    async with asyncio.timeout(15):
        while not (await stream.counts()).waiting:
            wait_s = await stream.sweep()
            assert wait_s <= stream.sweep_interval_s
            await asyncio.sleep(wait_s)


async def test_many_jobs_that_are_due_return_in_rounds(stream: Stream) -> None:
    late = await accept(stream, 1500, defer_ms=3_600_000)
    await make_due(stream, *late)
    assert await sweep(stream) <= 0.001
    assert await stream.counts() == EMPTY._replace(length=1000, waiting=1000, deferred=500)
    await stream.sweep()
    assert await stream.counts() == EMPTY._replace(length=1500, waiting=1500)


async def test_ahead_is_an_upper_bound_that_shrinks(stream: Stream) -> None:
    first, second, third = await accept(stream, 3)
    [late] = await accept(stream, defer_ms=3_600_000)
    assert [(await see(stream, job_id)).ahead for job_id in (first, second, third, late)] == [0, 1, 2, None]
    [job] = await stream.claim("w", 1)
    assert [(await see(stream, job_id)).ahead for job_id in (first, second, third)] == [None, 0, 1]
    # What was handed back comes first again.
    await stream.release("w", [(job.id, job.attempt)])
    assert [(await see(stream, job_id)).ahead for job_id in (first, second, third)] == [0, 1, 2]
    await stream.cancel(second)
    ahead = (await see(stream, third)).ahead
    assert ahead is not None
    assert 1 <= ahead <= 2


async def test_another_group_on_the_stream_changes_no_figure(stream: Stream) -> None:
    await command(stream, "XGROUP", "CREATE", key(stream, "stream"), "audit", "0")
    first, second = await accept(stream, 2)
    await stream.claim("w", 1)
    assert await stream.counts() == EMPTY._replace(length=2, waiting=1, pending=1)
    assert (await see(stream, second)).ahead == 0
    assert (await see(stream, first)).status is Status.PROCESSING


async def test_a_push_wakes_as_many_idle_workers_as_there_are_jobs_longest_ready_first(stream: Stream) -> None:
    woken: list[str] = []
    names = ["w3", "w1", "gone", "w2"]
    for name, ready_ms in (("gone", 5), ("w1", 10), ("w2", 20), ("w3", 30)):
        assert await stream.claim(name, 1, ready_ms=ready_ms) == []
    subscriptions = [stream.wakeups(n, lambda n=n: woken.append(n), lambda _: None) for n in names if n != "gone"]  # type: ignore[misc]
    async with listening(*subscriptions):
        woken.clear()  # each was told to look when it was subscribed
        await accept(stream, 2)
        await until(lambda: len(woken) == 2)
        assert sorted(woken) == ["w1", "w2"]
        assert (await stream.counts()).idle_workers == 1
        # A worker that takes all it can is not woken; one that could take more is.
        assert len(await stream.claim("w1", 2, ready_ms=10)) == 2
        assert await stream.claim("w2", 1, ready_ms=20) == []
        await accept(stream)
        await until(lambda: len(woken) == 3)
        assert woken[2] == "w2"


async def test_a_clock_that_was_set_back_makes_no_negative_latency(stream: Stream) -> None:
    # The server takes ids from the stream's last one while its clock is behind it.
    now_ms = time.time() * 1000
    await command(stream, "XSETID", key(stream, "stream"), f"{round(now_ms) + 86_400_000}-0")
    views = [await see(stream, job_id) for job_id in [*await accept(stream, 2), *await accept(stream)]]
    assert all(abs(view.queued_ms - now_ms) < 60_000 for view in views)
    assert [view.ahead for view in views] == [0, 1, 2]
    await stream.redis.set(key(stream, "swept"), round(now_ms) + 86_400_000)
    await finish_all(stream)
    failed = await fail_one(stream)
    assert await stream.retry(failed) == "retried"
    assert abs((await see(stream, failed)).queued_ms - now_ms) < 60_000
    await finish_all(stream)
    [late, tomorrow] = await accept(stream, 2, defer_ms=3_600_000)
    # Pushed before the clock was set back.
    await command(stream, "HSET", key(stream, f"job:{tomorrow}"), "queued", round(now_ms) + 86_400_000)
    assert await stream.cancel(tomorrow) == "cancelled"
    view = await see(stream, tomorrow)
    assert view.finished_ms is not None
    assert view.finished_ms >= view.queued_ms
    await make_due(stream, late)
    await stream.sweep()
    [job] = await stream.claim("w", 1)
    assert abs(job.queued_ms - now_ms) < 60_000
    await finish(stream, "w", [job])
    view = await see(stream, late)
    assert view.finished_ms is not None
    assert 0 <= view.finished_ms - view.queued_ms < 60_000
