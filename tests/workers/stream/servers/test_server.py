"""The stream and its server: keys, memory, kills, functions that are gone, and hands that meddle with the stream."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

import pytest
from redis.crc import key_slot

from tests.servers import free_port
from tests.workers.stream.actions import (
    EMPTY,
    accept,
    age,
    command,
    fail_one,
    finish,
    finish_all,
    key,
    keys,
    make_due,
    new,
    see,
    sweep,
)
from workers.stream import Finish, Status, Stream, StreamSettings, is_out_of_memory, is_unavailable
from workers.stream.link.connection import until_available
from workers.stream.link.errors import UNAVAILABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.servers import Server
    from workers.stream import NewJob, Pushed


def stream_of(server: Server) -> Stream:
    return Stream(StreamSettings(redis_url=server.url, lease_s=1.5, redis_timeout_s=10))


async def live(stream: Stream, hands: Stream | None = None) -> list[str]:
    """Calls every method, until every kind of key is there and all jobs have ended. Returns the finished ones' ids.

    `hands` may do what the stream's user may not.
    """
    hands = hands or stream
    await stream.open()
    await stream.register("w", 60, {"state": "idle"})
    await stream.write_health(60, "fine")
    keyed = await stream.push(new(idempotency_key="k", fingerprint="f", owner="me", kwargs=b"{}"))
    late, later = await accept(stream, 2, defer_ms=3_600_000)
    [kept] = await stream.claim("w", 1)
    assert await stream.defer("w", kept.id, 1, 3_600_000)
    await make_due(hands, late, kept.id)
    await sweep(stream, hands)
    jobs = await stream.claim("w", 5)
    assert {job.id for job in jobs} == {late, keyed.id}
    assert await stream.renew("w", [(job.id, job.attempt) for job in jobs]) == []
    assert await stream.release("w", [(jobs[0].id, jobs[0].attempt)]) == 1
    assert len(await stream.release_unknown("w", [])) == 1
    jobs = await stream.claim("w", 5)
    await age(hands, "w", *(job.entry for job in jobs))
    await sweep(stream, hands)
    await finish(stream, "w", await stream.claim("w", 5))
    retried = await fail_one(stream)
    assert await stream.retry(retried) == "retried"
    await finish(stream, "w", await stream.claim("w", 1))
    requeued = await fail_one(stream)
    [letter] = await stream.dead_letters()
    assert await stream.requeue(letter.entry)
    await finish(stream, "w", await stream.claim("w", 1))
    assert await stream.cancel(later) == "cancelled"
    await fail_one(stream)
    assert len(await stream.workers()) == 1
    await stream.leave("w")
    await stream.register("w", 60, {"state": "idle"})
    await stream.claim("w", 1)
    await sweep(stream, hands)
    await stream.prove_write()
    return [keyed.id, late, retried, requeued]


async def test_every_key_is_documented_and_whatever_belongs_to_a_job_or_a_worker_expires(stream: Stream) -> None:
    finished = await live(stream)
    found = await keys(stream)
    lasting = {name for name, ttl_ms in found.items() if ttl_ms == -1}
    # One of each a queue, however many jobs it has seen; their members go.
    indices = {"index:", "index:me"}  # one an owner, while any of its jobs has a record
    assert lasting - indices == {"stream", "dead", "idle", "workers", "swept", "owners"}
    of_each = {"job", "worker", "idempotency", "pruned", "proof", "health-check"}
    assert {name.split(":")[0] for name in found} == {"index"} | (lasting - indices) | of_each
    assert {f"job:{job_id}" for job_id in finished} <= set(found)
    assert (await stream.counts()) == EMPTY._replace(dead=1, idle_workers=1, workers=1)
    assert await command(stream, "ZRANGE", key(stream, "idle"), 0, -1) == [b"w"]


async def test_keys_expire_with_outstanding_jobs_only_kept(stream: Stream) -> None:
    waiting, running = await accept(stream, 2)
    [late] = await accept(stream, defer_ms=3_600_000)
    await stream.claim("w", 1)
    await sweep(stream)
    found = await keys(stream)
    assert [found[f"job:{job_id}"] for job_id in (waiting, running, late)] == [-1, -1, -1]


async def test_all_keys_share_a_slot(stream: Stream) -> None:
    await live(stream)
    await accept(stream, defer_ms=3_600_000)
    names = [f"{stream.prefix}:{name}" for name in await keys(stream)]
    assert len(names) > 10
    assert {key_slot(name.encode()) for name in names} == {key_slot(stream.settings.queue_name.encode())}


async def test_the_functions_run_on_a_cluster(start_server: Callable[..., Server]) -> None:
    """There a server refuses a function that touches keys of two slots."""
    server = start_server("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    stream = stream_of(server)
    await stream.redis.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    await until_available(stream.open, "waiting for the cluster")
    finished = await live(stream)
    assert [(await see(stream, job_id)).status for job_id in finished] == [Status.FINISHED] * 4
    await stream.close()


async def test_a_server_out_of_memory_refuses_pushes_and_goes_on_finishing(start_server: Callable[..., Server]) -> None:
    server = start_server("--maxmemory-policy", "noeviction")
    stream = stream_of(server)
    dead, running, doomed, retried = await accept(stream, 4)
    [job] = await stream.claim("w", 1)
    await finish(stream, "w", [job], "failed")
    [late] = await accept(stream, defer_ms=3_600_000)
    jobs = await stream.claim("w", 2)
    assert [job.id for job in jobs] == [running, doomed]
    await stream.redis.config_set("maxmemory", 1_000_000)
    for refused in (lambda: stream.push(new()), lambda: stream.retry(dead)):
        with pytest.raises(Exception, match="maxmemory") as error:
            await refused()
        assert is_out_of_memory(error.value)
        assert not is_unavailable(error.value)
    assert await stream.renew("w", [(running, 1)]) == []
    await finish(stream, "w", jobs[:1])
    assert await stream.finish("w", [Finish(doomed, 1, "failed", b'{"type":"E","message":""}', 60_000)]) == [True]
    await make_due(stream, late)
    await sweep(stream)
    jobs = await stream.claim("w", 5)
    assert [job.id for job in jobs] == [retried, late]
    assert await stream.defer("w", retried, 1, 3_600_000)
    assert await stream.cancel(retried) == "cancelled"
    assert await stream.release("w", [(late, 1)]) == 1
    await stream.register("w", 60, {"state": "busy"})
    await stream.write_health(60, "fine")
    await stream.leave("w")
    await finish_all(stream)
    assert (await see(stream, running)).status is Status.FINISHED
    assert (await see(stream, late)).status is Status.FINISHED
    assert await stream.counts() == EMPTY._replace(dead=2, idle_workers=1)

    await stream.redis.config_set("maxmemory", 0)
    assert (await stream.push(new())).outcome == "accepted"
    assert await stream.retry(dead) == "retried"
    await stream.close()


async def test_no_acknowledged_push_is_lost_when_the_server_is_killed(start_server: Callable[..., Server]) -> None:
    server = start_server("--appendonly", "yes", "--appendfsync", "always")
    stream = stream_of(server)
    await stream.open()
    acknowledged: list[str] = []
    killed = asyncio.Event()

    async def push_until_killed() -> None:
        while not killed.is_set():
            job = new()
            try:
                if (await stream.push(job)).outcome == "accepted":
                    acknowledged.append(job.id)
            except UNAVAILABLE:
                return

    pushing = [asyncio.create_task(push_until_killed()) for _ in range(20)]
    async with asyncio.timeout(30):
        while len(acknowledged) < 300:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    server.kill()
    killed.set()
    await asyncio.gather(*pushing)
    server.start()
    views = await stream.view_many([(job_id, False) for job_id in acknowledged])
    assert {view and view.status for view in views} == {Status.QUEUED}
    claimed: list[str] = []
    while jobs := await stream.claim("w", 100):
        claimed += [job.id for job in jobs]
        await finish(stream, "w", jobs)
    assert len(set(claimed)) == len(claimed)
    assert set(acknowledged) <= set(claimed)
    assert (await stream.counts())._replace(idle_workers=0) == EMPTY
    await stream.close()


@pytest.mark.parametrize("rewrite", [False, True], ids=["log", "rewritten log"])
async def test_everything_is_as_it_was_after_a_kill_of_the_server(
    start_server: Callable[..., Server], rewrite: bool
) -> None:
    """Records, leases, counters, functions: also those that the server can't deduce from the entries."""
    server = start_server("--appendonly", "yes", "--appendfsync", "always")
    stream = stream_of(server)
    finished = await live(stream)
    ids = await accept(stream, 8)
    [late] = await accept(stream, defer_ms=3_600_000)
    jobs = await stream.claim("w", 4)
    await finish(stream, "w", [jobs[3]])
    await stream.release("w", [(jobs[0].id, 1)])
    await stream.cancel(ids[5])
    ids += [late, *finished]
    before = (await stream.counts(), [await see(stream, job_id) for job_id in ids], await stream.dead_letters())
    assert before[0] == EMPTY._replace(
        length=6, waiting=3, pending=3, released=1, deferred=1, dead=1, idle_workers=0, workers=1
    )
    if rewrite:
        await stream.redis.execute_command("BGREWRITEAOF")
        async with asyncio.timeout(30):
            while (await stream.redis.info("persistence"))["aof_rewrite_in_progress"]:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    server.kill()
    server.start()

    async def after() -> tuple[object, ...]:
        return await stream.counts(), [await see(stream, job_id) for job_id in ids], await stream.dead_letters()

    assert await until_available(after, "restart") == before
    # The leases stand: a worker that only lost its connection keeps its jobs, and their results count.
    assert await stream.renew("w", [(jobs[1].id, 1), (jobs[2].id, 1)]) == []
    await finish(stream, "w", jobs[1:3])
    await finish_all(stream)
    assert (await stream.counts())._replace(idle_workers=0) == EMPTY._replace(deferred=1, dead=1, workers=1)
    await stream.close()


async def test_functions_that_are_gone_are_loaded_again(stream: Stream) -> None:
    [job_id] = await accept(stream)
    await stream.redis.function_flush()  # type: ignore[misc]

    async def push(job: NewJob) -> Pushed:
        # One by one, so that all of them miss the functions at once.
        return (await stream.push_many([job]))[0]

    pushed = await asyncio.gather(*(push(new()) for _ in range(20)))
    assert {p.outcome for p in pushed} == {"accepted"}
    await stream.redis.function_flush()  # type: ignore[misc]
    assert (await see(stream, job_id)).status is Status.QUEUED
    assert (await stream.counts()).waiting == 21


async def test_an_emptied_server_is_used_like_a_new_one(start_server: Callable[..., Server]) -> None:
    server = start_server()
    stream = stream_of(server)
    assert await stream.counts() == EMPTY
    assert await stream.view("none") is None
    assert await stream.cancel("none") == "missing"
    assert await stream.dead_letters() == []
    await live(stream)
    await stream.redis.flushall()
    await stream.redis.function_flush()  # type: ignore[misc]
    assert await stream.claim("w", 1) == []
    assert await stream.release_unknown("w", [("old", 1)]) == []
    assert await stream.finish("w", [Finish("old", 1, "finished", b"1", 1)]) == [False]
    assert await stream.sweep() == await stream.sweep(60) == stream.sweep_interval_s
    await live(stream)
    await stream.close()


async def test_two_releases_of_the_functions_share_a_queue(
    stream: Stream, settings: StreamSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await accept(stream, 2)
    [old] = await stream.claim("old", 1)
    monkeypatch.setattr("workers.stream.library.LIBRARY", f"leadtime_{uuid.uuid4().hex[:12]}")
    [job] = await stream.claim("new", 1)
    await finish(stream, "old", [old])
    monkeypatch.undo()
    await finish(stream, "new", [job])
    assert [(await see(stream, job_id)).status for job_id in ids] == [Status.FINISHED] * 2


async def test_the_group_exists_once_the_stream_is_open(stream: Stream) -> None:
    [group] = await command(stream, "XINFO", "GROUPS", key(stream, "stream"))
    fields = dict(zip(group[::2], group[1::2], strict=True))
    assert (fields[b"name"], fields[b"lag"], fields[b"pending"]) == (b"workers", 0, 0)
    await stream.open()


@pytest.mark.parametrize("options", [(), ("ENTRIESREAD", "0")], ids=["plain", "counted"])
async def test_a_group_that_an_operator_made_is_used(settings: StreamSettings, options: tuple[str, ...]) -> None:
    stream = Stream(settings)
    await command(stream, "XGROUP", "CREATE", key(stream, "stream"), "workers", "$", "MKSTREAM", *options)
    await accept(stream, 3)
    assert await stream.counts() == EMPTY._replace(length=3, waiting=3)
    jobs = await stream.claim("w", 2)
    assert await stream.counts() == EMPTY._replace(length=3, waiting=1, pending=2)
    await finish(stream, "w", jobs)
    await finish_all(stream)
    assert (await stream.counts())._replace(idle_workers=0) == EMPTY
    await stream.close()


async def test_a_group_that_was_destroyed_loses_no_job(stream: Stream) -> None:
    ids = await accept(stream, 4)
    jobs = await stream.claim("w", 3)
    await finish(stream, "w", jobs[:1])
    await command(stream, "XGROUP", "DESTROY", key(stream, "stream"), "workers")
    await stream.open()
    assert await stream.counts() == EMPTY._replace(length=3, waiting=3)
    again = await stream.claim("other", 5)
    assert [(job.id, job.attempt) for job in again] == [(ids[1], 2), (ids[2], 2), (ids[3], 1)]
    assert await stream.finish("w", [Finish(ids[1], 1, "finished", b"1", 60_000)]) == [False]
    await finish(stream, "other", again)
    assert (await stream.counts())._replace(idle_workers=0) == EMPTY


async def test_counters_recover_from_a_deletion_by_hand(stream: Stream) -> None:
    await accept(stream, 5)
    entries = [row[0] for row in await command(stream, "XRANGE", key(stream, "stream"), "-", "+")]
    await stream.claim("w", 1)
    await command(stream, "XDEL", key(stream, "stream"), entries[3])
    jobs = await stream.claim("w", 1)
    await stream.push(new())
    assert await stream.counts() == EMPTY._replace(length=5, waiting=3, pending=2)
    await command(stream, "XDEL", key(stream, "stream"), entries[4])
    await sweep(stream)
    assert await stream.counts() == EMPTY._replace(length=4, waiting=2, pending=2)
    await finish(stream, "w", jobs)
    assert await stream.counts() == EMPTY._replace(length=3, waiting=2, pending=1)
    # As on a replica of Redis 7.0, which is not told how much the group has read.
    [group] = await command(stream, "XINFO", "GROUPS", key(stream, "stream"))
    last = dict(zip(group[::2], group[1::2], strict=True))[b"last-delivered-id"]
    await command(stream, "XGROUP", "SETID", key(stream, "stream"), "workers", last, "ENTRIESREAD", 0)
    await sweep(stream)
    assert await stream.counts() == EMPTY._replace(length=3, waiting=2, pending=1)


async def test_an_entry_that_is_no_job_is_dropped_and_stops_nobody(stream: Stream) -> None:
    """Also one that a worker was given before it could be looked at."""
    foreign = [await command(stream, "XADD", key(stream, "stream"), "*", "hello", "world") for _ in range(2)]
    await accept(stream, 2)
    await command(stream, "XREADGROUP", "GROUP", "workers", "w", "COUNT", 1, "STREAMS", key(stream, "stream"), ">")
    assert await stream.release_unknown("w", []) == []
    await age(stream, "w", foreign[0])
    await sweep(stream)
    jobs = await stream.claim("w", 1)
    assert len(jobs) == 1
    assert await stream.counts() == EMPTY._replace(length=2, waiting=1, pending=1)
    jobs += await stream.claim("w", 1)
    await finish(stream, "w", jobs)
    assert await stream.counts() == EMPTY


async def test_a_job_whose_entry_was_deleted_while_it_ran_takes_no_other_with_it(stream: Stream) -> None:
    await accept(stream, 5)
    jobs = await stream.claim("w", 5)
    await command(stream, "XDEL", key(stream, "stream"), *(job.entry for job in jobs[:4]))
    error = b'{"type":"E","message":""}'
    ends = [
        Finish(jobs[0].id, 1, "failed", error, 60_000),
        Finish(jobs[1].id, 1, "finished", b"1", 60_000),
        Finish(jobs[4].id, 1, "failed", error, 60_000),
    ]
    assert await stream.finish("w", ends) == [True, True, True]
    assert await stream.defer("w", jobs[2].id, 1, 5) is True
    assert await stream.defer("w", jobs[3].id, 1, 0) is True
    views = [await see(stream, job.id) for job in jobs]
    assert [view.status for view in views] == ["failed", "finished", "failed", "failed", "failed"]
    assert views[2].error is not None
    assert views[2].error["type"] == "PayloadMissing"
    # Only what has a payload is a dead letter; the others can't be retried.
    assert [letter.id for letter in await stream.dead_letters()] == [jobs[4].id]
    assert await stream.retry(jobs[0].id) == "gone"
    assert await stream.counts() == EMPTY._replace(dead=1)


async def test_an_expired_lease_on_a_deleted_entry_is_given_up(stream: Stream) -> None:
    await accept(stream, 3)
    jobs = await stream.claim("w", 2)
    await command(stream, "XDEL", key(stream, "stream"), jobs[0].entry)
    await stream.release_unknown("w", [(jobs[1].id, 1)])
    await command(stream, "XDEL", key(stream, "stream"), jobs[1].entry)
    await age(stream, "w", jobs[1].entry)
    await sweep(stream)
    await finish_all(stream)
    assert (await stream.counts())._replace(idle_workers=0) == EMPTY
