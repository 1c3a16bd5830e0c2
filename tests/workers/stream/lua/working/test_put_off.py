"""Jobs that a worker hands back because it lacks their function."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.workers.stream.actions import accept, command, finish, key, make_due, see, sweep
from workers.stream import Status

if TYPE_CHECKING:
    from workers.stream import Stream

HOUR_S = 3600.0


async def put_off(stream: Stream, worker: str, patience_s: float = HOUR_S) -> int:
    """Claims a job and puts it off; the ms it has to wait."""
    [job] = await stream.claim(worker, 1)
    return await stream.put_off(worker, job.id, job.attempt, 1, 30, patience_s)


async def again(stream: Stream, job_id: str) -> None:
    """Lets a job that was put off come due."""
    await make_due(stream, job_id)
    await sweep(stream)


async def set_back(stream: Stream, job_id: str, seconds: int) -> None:
    """Makes it as if the job had been put off first so long ago."""
    record = key(stream, f"job:{job_id}")
    attempts, since_ms = (await command(stream, "HGET", record, "unserved")).split()
    await command(stream, "HSET", record, "unserved", b"%b %d" % (attempts, int(since_ms) - 1000 * seconds))


async def test_a_job_that_is_put_off_waits_outside_the_stream_with_its_attempt_uncounted(stream: Stream) -> None:
    behind, job_id = "job-behind", ""
    [job_id] = await accept(stream, function="f", kwargs=b'{"a":1}')
    await accept(stream, job_id=behind)

    assert await put_off(stream, "without-f") == 1000

    view = await see(stream, job_id)
    assert (view.status, view.attempts) == (Status.QUEUED, 0)
    assert [job.id for job in await stream.claim("without-f", 5)] == [behind]
    await again(stream, job_id)
    [job] = await stream.claim("with-f", 1)
    assert (job.id, job.attempt, job.args, job.kwargs) == (job_id, 1, b'["x"]', b'{"a":1}')


async def test_it_waits_for_as_long_as_it_has_been_put_off_within_bounds(stream: Stream) -> None:
    [job_id] = await accept(stream, function="f")
    waits_ms = []
    for seconds in (0, 7, 60):
        if seconds:
            await again(stream, job_id)
            await set_back(stream, job_id, seconds)
        waits_ms.append(await put_off(stream, "without-f"))
    assert waits_ms[0] == 1000
    assert 7000 <= waits_ms[1] < 30_000
    assert waits_ms[2] == 30_000


async def test_it_fails_once_no_live_worker_has_had_the_function_for_long(stream: Stream) -> None:
    [job_id] = await accept(stream, function="f")
    await put_off(stream, "without-f")
    await again(stream, job_id)
    await set_back(stream, job_id, 3600)

    assert await put_off(stream, "without-f") == 0

    view = await see(stream, job_id)
    assert (view.status, view.attempts) == (Status.FAILED, 0)
    assert view.error == {"type": "FunctionNotFound", "message": "function 'f' not found"}
    assert [letter.id for letter in await stream.dead_letters()] == [job_id]
    assert (await stream.counts()).outstanding == 0
    # Requeued, it has all its time again.
    assert await stream.retry(job_id) == "retried"
    assert await put_off(stream, "without-f") == 1000


async def test_it_does_not_fail_while_a_worker_lives_that_has_the_function_or_may_have_it(stream: Stream) -> None:
    [job_id] = await accept(stream, function='"f"\\')
    await stream.register("with-f", 60, {"state": "busy", "functions": '["g", "\\"f\\"\\\\"]'})
    await stream.register("without-f", 60, {"state": "idle", "functions": '["g"]'})
    assert await put_off(stream, "without-f", 0) == 1000
    await again(stream, job_id)
    await stream.leave("with-f")
    await stream.register("of-an-older-release", 60, {"state": "busy"})
    assert await put_off(stream, "without-f", 0) > 0
    await again(stream, job_id)
    await stream.leave("of-an-older-release")
    assert await put_off(stream, "without-f", 0) == 0


async def test_an_attempt_in_between_starts_the_patience_anew(stream: Stream) -> None:
    [job_id] = await accept(stream, function="f")
    await put_off(stream, "without-f")
    await again(stream, job_id)
    await set_back(stream, job_id, 3600)
    [job] = await stream.claim("with-f", 1)
    assert await stream.defer("with-f", job_id, job.attempt, 0)
    assert await put_off(stream, "without-f") == 1000


async def test_only_who_holds_a_job_puts_it_off(stream: Stream) -> None:
    [job_id] = await accept(stream, function="f")
    [job] = await stream.claim("with-f", 1)
    assert await stream.put_off("without-f", job_id, 1, 1, 30, 0) == -1
    assert await stream.put_off("with-f", job_id, 2, 1, 30, 0) == -1
    await finish(stream, "with-f", [job])
    assert await stream.put_off("with-f", job_id, 1, 1, 30, 0) == -1
    assert (await see(stream, job_id)).status is Status.FINISHED


async def test_a_job_whose_entry_was_deleted_fails_instead(stream: Stream) -> None:
    [job_id] = await accept(stream, function="f")
    [job] = await stream.claim("without-f", 1)
    await command(stream, "XDEL", key(stream, "stream"), job.entry)
    assert await stream.put_off("without-f", job_id, 1, 1, 30, HOUR_S) == 0
    view = await see(stream, job_id)
    assert view.error is not None
    assert (view.status, view.error["type"]) == (Status.FAILED, "PayloadMissing")
