"""The jobs as a scaler sees them, on a real stream."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from arq.worker import Retry, func

from tests.servers import free_port
from tests.workers.scaler.tasks import until
from tests.workers.service import push, running, until_ended
from tests.workers.stream.actions import accept, command, finish, key, listening, make_due, new, sweep
from tests.workers.stream.actions import until as until_heard
from workers.scaler.jobs import JobObserver, NewServiceTimes
from workers.scaler.surroundings import ObservationError
from workers.settings import WorkerSettings
from workers.stream import Stream, StreamSettings, WorkerView

if TYPE_CHECKING:
    from workers.scaler.jobs import JobsSeen


def counted(seen: JobsSeen) -> tuple[int, int, int]:
    return seen.arrived, seen.waiting, seen.running


async def test_waiting_running_and_arrived(stream: Stream) -> None:
    jobs = JobObserver(stream)
    assert counted(await jobs.observe()) == (0, 0, 0)
    await accept(stream, 3)
    assert counted(await jobs.observe()) == (3, 3, 0)
    claimed = await stream.claim("w1", 2)
    assert counted(await jobs.observe()) == (3, 1, 2)
    # A job that was handed back waits, but has not come anew.
    await stream.release("w1", [(claimed[0].id, 1)])
    assert counted(await jobs.observe()) == (3, 2, 1)
    await finish(stream, "w1", claimed[1:])
    assert counted(await jobs.observe()) == (3, 2, 0)


async def test_busy_are_the_workers_that_hold_jobs_however_many(stream: Stream) -> None:
    jobs = JobObserver(stream)
    await accept(stream, 5)
    assert (await jobs.observe()).busy == 0
    first = await stream.claim("w1", 3)
    assert (await jobs.observe()).busy == 1
    [second] = await stream.claim("w2", 1)
    seen = await jobs.observe()
    assert (seen.busy, seen.running) == (2, 4)
    # What was handed back is held by nobody.
    await stream.release("w2", [(second.id, 1)])
    seen = await jobs.observe()
    assert (seen.busy, seen.waiting, seen.running) == (1, 2, 3)
    await finish(stream, "w1", first)
    assert (await jobs.observe()).busy == 0


async def test_deferred_and_retried_jobs_come_when_they_are_due(stream: Stream) -> None:
    jobs = JobObserver(stream)
    [job_id] = await accept(stream, defer_ms=60_000)
    assert counted(await jobs.observe()) == (0, 0, 0)
    await make_due(stream, job_id)
    await sweep(stream)
    assert counted(await jobs.observe()) == (1, 1, 0)
    [job] = await stream.claim("w1", 1)
    await stream.defer("w1", job.id, job.attempt, 60_000)
    assert counted(await jobs.observe()) == (1, 0, 0)
    await make_due(stream, job_id)
    await sweep(stream)
    assert counted(await jobs.observe()) == (2, 1, 0)


async def test_arrivals_never_go_back(stream: Stream) -> None:
    """Not when waiting jobs are cancelled, nor when the stream is lost with all that was counted."""
    jobs = JobObserver(stream)
    ids = await accept(stream, 3)
    assert (await jobs.observe()).arrived == 3
    for job_id in ids[:2]:
        await stream.cancel(job_id)
    assert counted(await jobs.observe()) == (3, 1, 0)
    await accept(stream, 1)
    assert counted(await jobs.observe()) == (4, 2, 0)
    await stream.redis.delete(key(stream, "stream"))
    assert counted(await jobs.observe()) == (4, 0, 0)
    await accept(stream, 2)
    assert counted(await jobs.observe()) == (6, 2, 0)


async def test_a_stream_that_others_touched_is_put_right(stream: Stream) -> None:
    jobs = JobObserver(stream)
    await accept(stream, 3)
    await stream.claim("w1", 1)
    entry = await command(stream, "XRANGE", key(stream, "stream"), "-", "+")
    await command(stream, "XDEL", key(stream, "stream"), entry[2][0])
    seen = await jobs.observe()
    assert (seen.waiting, seen.running) == (1, 1)


async def test_clock_is_the_servers_and_goes_on(stream: Stream) -> None:
    jobs = JobObserver(stream)
    first = await jobs.observe()
    assert first.now_s == first.at_ms / 1000
    await asyncio.sleep(0.01)
    second = await jobs.observe()
    assert second.now_s > first.now_s


async def test_service_times_come_with_the_heartbeats(
    one_stream: Stream, one_settings: StreamSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt once: of a job that ends, that fails, that asks for another. Not of one that is cancelled."""
    monkeypatch.setattr("workers.scaler.jobs._REGISTRATIONS_S", 0.0)
    go_on = asyncio.Event()

    async def work(ctx: dict[Any, Any], what: str) -> None:
        if what == "again" and ctx["job_try"] == 1:
            raise Retry(defer=0)
        if what == "fail":
            raise ValueError(what)
        if what == "long":
            await go_on.wait()

    settings = WorkerSettings(redis_url=one_settings.redis_url, queue_name=one_settings.queue_name, lease_s=1.5)
    jobs = JobObserver(one_stream)
    found: list[float] = []

    async def see(count: int) -> bool:
        found.extend((await jobs.observe()).services_s)
        return len(found) >= count

    async with running(settings, [func(work, name="work")]):
        first = await push(one_stream, "work", b'["fine"]')
        await until_ended(one_stream, first)
        await until(lambda: see(1))
        for args in (b'["fail"]', b'["again"]'):
            await until_ended(one_stream, await push(one_stream, "work", args))
        long = await push(one_stream, "work", b'["long"]')
        await until(lambda: see(4))
        await one_stream.cancel(long)
        last = await push(one_stream, "work", b'["fine"]')
        await until_ended(one_stream, last)
        await until(lambda: see(5))
    assert len(found) == 5
    assert all(0 <= seconds < 30 for seconds in found)


def test_only_new_service_times_are_taken() -> None:
    services = NewServiceTimes()

    def worker(name: str, served: str, served_s: str) -> WorkerView:
        return WorkerView(name, {"served": served, "served_s": served_s})

    assert services.new([worker("a", "2", "1 2"), worker("b", "0", "")]) == (1, 2)
    assert services.new([worker("a", "2", "1 2"), worker("b", "1", "9")]) == (9,)
    # More than the worker keeps.
    assert services.new([worker("a", "1000", "3 4")]) == (3, 4)
    # One that comes with a memory has counted before.
    assert NewServiceTimes(services.seen).new([worker("a", "1001", "4 5")]) == (5,)
    # Strange things in a registration are no news, and no error.
    strange = [
        WorkerView("c", {"state": "busy"}),
        worker("d", "many", "1"),
        worker("e", "1", "nan"),
        worker("f", "3", "-1"),
    ]
    assert services.new(strange) == ()


async def test_scaler_hears_of_jobs_that_nobody_is_free_for(stream: Stream) -> None:
    heard: list[str] = []
    scaler = stream.unserved(lambda: heard.append("unserved"))
    worker = stream.wakeups("w1", lambda: heard.append("w1"), lambda _: None)
    async with listening(scaler, worker):
        await until_heard(lambda: sorted(heard) == ["unserved", "w1"])  # both have subscribed
        heard.clear()
        await stream.claim("w1", 1, 0, 1)
        await accept(stream)
        await until_heard(lambda: heard == ["w1"])
        await accept(stream)
        await until_heard(lambda: heard == ["w1", "unserved"])
        await stream.push_many([new(), new()])
        await until_heard(lambda: heard == ["w1", "unserved", "unserved"])


async def test_a_server_that_is_away_is_an_observation_error() -> None:
    stream = Stream(StreamSettings(redis_url=f"redis://127.0.0.1:{free_port()}/0"))
    with pytest.raises(ObservationError, match="the stream can't be read"):
        await JobObserver(stream).observe()
    await stream.close()


async def test_memory_is_kept_for_a_week(stream: Stream) -> None:
    await stream.remember(state=b"state", decision=b"decision")
    assert await stream.remembered() == b"state"
    assert (await stream.demand()).decision == b"decision"
    left_ms = await command(stream, "PTTL", key(stream, "scaler"))
    assert 6.9 < left_ms / 86_400_000 <= 7
