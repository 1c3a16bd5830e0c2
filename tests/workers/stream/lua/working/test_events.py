"""What a job tells while it runs: kept in order and within bounds, by who holds the job, until the record expires."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.workers.stream.actions import accept, age, command, fail_one, finish, key, see, sweep
from workers.stream import Finish, JobEvent, Stream, Telling, is_entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.stream import Claimed, PipelinedRedis, StreamSettings

DAY_MS = 86_400_000
PARTIALS = [("partial", b'"a"'), ("log", b'"line"'), ("partial", b"[1,2]")]
HALF = b'{"fraction":0.5,"text":""}'


async def running(stream: Stream, worker: str = "w") -> Claimed:
    """A job that was just claimed."""
    await accept(stream)
    (job,) = await stream.claim(worker, 1)
    return job


async def tell(
    stream: Stream, job: Claimed, events: Sequence[tuple[str, bytes]] = PARTIALS, first: int = 1, worker: str = "w"
) -> bool:
    (held,) = await stream.tell(worker, [Telling(job.id, job.attempt, first, events)])
    return held


def shown(events: Sequence[JobEvent]) -> list[tuple[int, str, bytes]]:
    return [(event.number, event.kind, event.value) for event in events]


def bounded(stream: Stream, redis: PipelinedRedis, **bounds: int) -> Stream:
    return Stream(stream.settings.model_copy(update=bounds), redis)


async def test_events_are_read_in_order_and_in_pages(stream: Stream) -> None:
    job, other = await running(stream), await running(stream)
    assert await stream.events(job.id) == []
    tellings = [Telling(job.id, 1, 1, PARTIALS), Telling(other.id, 1, 1, [("log", b'"of the other"')])]
    assert await stream.tell("w", tellings) == [True, True]
    assert await tell(stream, job, [("partial", b"3")], 4)

    expected = [(0, "begin", b"1"), *((n, *event) for n, event in enumerate([*PARTIALS, ("partial", b"3")], 1))]
    everything = await stream.events(job.id)
    assert shown(everything) == expected
    assert all(is_entry(event.entry) for event in everything)
    first = await stream.events(job.id, count=2)
    rest = await stream.events(job.id, after=first[-1].entry)
    assert first + rest == everything
    assert await stream.events(job.id, after=rest[-1].entry) == []
    assert shown(await stream.events(other.id)) == [(0, "begin", b"1"), (1, "log", b'"of the other"')]


async def test_a_call_that_is_repeated_adds_nothing(stream: Stream) -> None:
    job = await running(stream)
    for _ in range(2):
        assert await tell(stream, job)
    before = await stream.events(job.id)
    assert len(before) == 4
    assert await tell(stream, job, [*PARTIALS, ("log", b'"new"')])
    assert [event.value for event in await stream.events(job.id, before[-1].entry)] == [b'"new"']


async def test_only_who_holds_the_job_can_tell(stream: Stream) -> None:
    job = await running(stream)
    assert not await tell(stream, job, worker="another")
    assert not await tell(stream, job._replace(attempt=2))
    assert not await tell(stream, job._replace(id="none"))
    assert await stream.events(job.id) == []
    await finish(stream, "w", [job])
    assert not await tell(stream, job)
    assert await stream.events(job.id) == []
    assert await command(stream, "EXISTS", key(stream, f"events:{job.id}")) == 0


@pytest.mark.parametrize("how", ["lease", "released", "deferred"])
async def test_another_run_begins_the_stream_anew(stream: Stream, how: str) -> None:
    job = await running(stream)
    assert await tell(stream, job, [*PARTIALS, ("progress", HALF)])
    before = await stream.events(job.id)
    if how == "lease":
        await age(stream, "w", job.entry)
        await sweep(stream)
    elif how == "released":
        await stream.release("w", [(job.id, job.attempt)])
    else:
        await stream.defer("w", job.id, job.attempt, 0)
    assert await stream.events(job.id) == before, "until the next one tells something"

    (again,) = await stream.claim("other", 1)
    assert again.attempt == (1 if how == "released" else 2)
    assert (await see(stream, job.id)).progress is None
    assert not await tell(stream, job, first=5)
    assert await tell(stream, again, [("partial", b"9")], worker="other")
    anew = await stream.events(job.id)
    assert shown(anew) == [(0, "begin", b"%d" % again.attempt), (1, "partial", b"9")]
    assert await stream.events(job.id, after=before[-1].entry) == anew, "who has read the first run goes on"


async def test_a_run_that_tells_nothing_does_not_leave_the_events_of_another(stream: Stream) -> None:
    job = await running(stream)
    await tell(stream, job)
    await stream.defer("w", job.id, job.attempt, 0)
    await finish(stream, "w", await stream.claim("w", 1))
    assert shown(await stream.events(job.id)) == [(0, "begin", b"2"), (1, "end", b'"finished"')]


async def test_the_end_is_told_and_the_events_expire_with_the_record(stream: Stream) -> None:
    ended: dict[str, Claimed] = {}
    for status in ("finished", "failed", "cancelled"):
        job = ended[status] = await running(stream)
        await tell(stream, job)
        assert DAY_MS - 60_000 < await command(stream, "PTTL", key(stream, f"events:{job.id}")) <= DAY_MS
        if status == "cancelled":
            await stream.cancel(job.id)
        else:
            await finish(stream, "w", [job._replace(is_plain=False)], status)
    for status, job in ended.items():
        assert shown(await stream.events(job.id))[-1] == (4, "end", b'"%s"' % status.encode())
        record, events = [await command(stream, "PTTL", key(stream, f"{name}:{job.id}")) for name in ("job", "events")]
        assert abs(record - events) < 5000
    gone = await running(stream)
    await tell(stream, gone)
    await stream.finish("w", [Finish(gone.id, 1, "finished", b"1", 0)])
    assert await command(stream, "EXISTS", key(stream, f"events:{gone.id}")) == 0


async def test_a_failed_job_that_is_retried_has_no_events(stream: Stream) -> None:
    job = await running(stream)
    await tell(stream, job)
    await finish(stream, "w", [job], "failed")
    assert await stream.retry(job.id) == "retried"
    assert await stream.events(job.id) == []
    silent = await fail_one(stream)
    assert await stream.events(silent) == []


async def test_attempts_that_are_used_up_end_the_stream(stream: Stream) -> None:
    job = await running(stream)
    await tell(stream, job)
    await stream.defer("w", job.id, 1, 0)
    assert await stream.claim("w", 1, max_attempts=1) == []
    assert (await stream.events(job.id))[-1].value == b'"failed"'


async def test_of_too_many_events_the_last_are_kept(stream: Stream) -> None:
    job = await running(stream)
    few = bounded(stream, stream.redis, max_events=20)
    for first in range(1, 101, 10):
        await tell(few, job, [("partial", b"%d" % n) for n in range(first, first + 10)], first)
        assert int(await command(stream, "XLEN", key(stream, f"events:{job.id}"))) <= 20
    numbers = [event.number for event in await stream.events(job.id)]
    assert numbers == list(range(101 - len(numbers), 101))
    assert len(numbers) >= 18

    other = await running(stream)
    small = bounded(stream, stream.redis, max_events_bytes=5000)
    for first in range(1, 41):
        await tell(small, other, [("partial", b'"%s"' % (b"x" * 1000))], first)
    numbers = [event.number for event in await stream.events(other.id)]
    assert numbers == [37, 38, 39, 40]
    await tell(small, other, [("partial", b'"%s"' % (b"x" * 9000))], 41)
    assert [event.number for event in await stream.events(other.id)] == [41], "the last one stays, whatever its size"


async def test_the_record_has_the_last_progress_while_the_job_runs(stream: Stream) -> None:
    job = await running(stream)
    assert (await see(stream, job.id)).progress is None
    await tell(stream, job, [("progress", b'{"fraction":0.25,"text":""}'), ("log", b'"x"'), ("progress", HALF)])
    await tell(stream, job, [("log", b'"y"')], 4)
    assert (await see(stream, job.id)).progress == {"fraction": 0.5, "text": ""}
    await finish(stream, "w", [job])
    assert (await see(stream, job.id)).progress is None


async def test_a_reader_waits_for_the_next_event(stream: Stream) -> None:
    (job_id,) = await accept(stream)
    assert await stream.events(job_id, wait_s=0.01) == []
    waiting = asyncio.create_task(stream.events(job_id, wait_s=30))
    (job,) = await stream.claim("w", 1)
    await tell(stream, job)
    async with asyncio.timeout(30):
        found = await waiting
    assert found == (await stream.events(job_id))[: len(found)]
    last = (await stream.events(job_id))[-1].entry
    waiting = asyncio.create_task(stream.events(job_id, last, wait_s=30))
    await stream.defer("w", job.id, 1, 0)
    (again,) = await stream.claim("w", 1)
    await tell(stream, again)
    async with asyncio.timeout(30):
        assert (await waiting)[0].kind == "begin"


async def test_results_that_are_given_up_take_their_events_with_them(stream: Stream, settings: StreamSettings) -> None:
    few = Stream(settings.model_copy(update={"results_memory_bytes": 500}), stream.redis)
    first, second = await running(few), await running(few)
    for job, keep_ms in ((first, 60_000), (second, 61_000)):
        await tell(few, job, [("partial", b'"%s"' % (b"x" * 300))])
        await few.finish("w", [Finish(job.id, 1, "finished", b"1", keep_ms)])
    assert await stream.events(first.id) == []
    assert (await see(stream, first.id)).error is not None
    assert len(await stream.events(second.id)) == 3


async def test_a_page_has_bounds(stream: Stream) -> None:
    job = await running(stream)
    await tell(stream, job, [("partial", b"%d" % n) for n in range(350)])
    assert [event.number for event in await stream.events(job.id, count=250)] == list(range(250))
    assert len(await stream.events(job.id)) == 351
    assert len(await stream.events(job.id, most_bytes=5)) == 5
    assert await stream.events(job.id, count=0) == []
