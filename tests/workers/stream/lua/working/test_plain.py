"""Plain jobs, of which a claim and a finish say less, and entries that are deleted together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.workers.stream.actions import EMPTY, accept, age, command, finish, key, new, see, sweep
from workers.stream import AheadStart, ClaimCall, Finish, JobOptions

if TYPE_CHECKING:
    from workers.stream import Claimed, Stream


def end(job: Claimed, keep_ms: int = 60_000, notes: bytes = b"") -> Finish:
    """A result of a job."""
    return Finish(job.id, job.attempt, "finished", b'"%b"' % job.id.encode(), keep_ms, notes, job.is_plain)


async def test_a_claim_tells_plain_jobs_from_others(stream: Stream) -> None:
    jobs = [
        new("plain"),
        new("owned", owner="me"),
        new("owned-at-length", owner="me" * 50),
        new("kwargs", kwargs=b'{"a":1}'),
        new("options", options=JobOptions(tag="a")),
        new("webhook", webhook='{"url":"http://a","events":[]}'),
        new("waits", waits_at="gateway"),
    ]
    await stream.push_many(jobs)

    claimed = await stream.claim("w", 10)

    assert [(job.id, job.args, job.kwargs, job.options) for job in claimed] == [
        (job.id, job.args, job.kwargs, job.options) for job in jobs
    ]
    assert {job.id for job in claimed if job.is_plain} == {"plain", "owned", "owned-at-length"}
    assert [job.queued_ms for job in claimed] == [(await see(stream, job.id)).queued_ms for job in claimed]


async def test_an_entry_that_only_looks_plain_starts_nothing(stream: Stream) -> None:
    ended, cancelled, waiting = await accept(stream, 3)
    await finish(stream, "w", await stream.claim("w", 1))
    await stream.cancel(cancelled)
    before = [await see(stream, job_id) for job_id in (ended, cancelled)]
    for job_id in (ended, cancelled, waiting, "unknown"):
        entry = ("id", job_id, "args", '["x"]', "function", "predict")
        await command(stream, "XADD", key(stream, "stream"), "*", *entry)

    claimed = await stream.claim("w", 10)

    assert [job.id for job in claimed] == [waiting]
    assert [await see(stream, job_id) for job_id in (ended, cancelled)] == before
    assert await stream.view("unknown") is None
    await finish(stream, "w", claimed)
    assert (await stream.counts()).length == 0


async def test_a_job_is_not_plain_at_its_second_attempt(stream: Stream) -> None:
    await accept(stream)
    [first] = await stream.claim("w", 1)
    await age(stream, "w", first.entry)
    await sweep(stream)

    [second] = await stream.claim("w", 1)

    assert (first.is_plain, second.is_plain) == (True, False)
    assert await stream.finish("w", [end(first)]) == [False]
    assert await stream.finish("w", [end(second)]) == [True]


async def test_plain_jobs_end_beside_others(stream: Stream) -> None:
    await accept(stream, 4)
    await accept(stream, 1, owner="me")
    await accept(stream, 1, options=JobOptions(tag="a"))
    jobs = await stream.claim("w", 6)
    await stream.cancel(jobs[1].id)
    ends = [end(jobs[0]), end(jobs[1]), end(jobs[2], 30_000), end(jobs[3], notes=b"{}"), end(jobs[4]), end(jobs[5])]

    assert await stream.finish("w", ends) == [True, False, True, True, True, True]
    assert await stream.finish("other", ends) == [False] * 6
    assert await stream.finish("w", ends) == [True, False, True, True, True, True]

    assert [(await see(stream, job.id)).result for job in jobs[2:]] == [one.body for one in ends[2:]]
    left_ms = [await command(stream, "PTTL", key(stream, f"job:{job.id}")) for job in jobs]
    assert [ms > 30_000 for ms in left_ms[2:]] == [False, True, True, True]
    assert await stream.counts() == EMPTY._replace(workers=0)


async def test_a_plain_job_that_is_held_ahead_is_plain(stream: Stream) -> None:
    await accept(stream)
    [plain] = await accept(stream, 1, owner="me")
    [other] = await accept(stream, 1, options=JobOptions(tag="a"))
    turn = await stream.finish_and_claim("w", [], ClaimCall(1, ahead=2))
    assert [(job.id, job.is_plain) for job in turn.held] == [(plain, True), (other, False)]

    starts = [AheadStart(job.id, job.entry, 1, 0.0) for job in turn.held]
    turn = await stream.finish_and_claim("w", [end(job) for job in turn.held], starts=starts)

    assert (turn.done, turn.started) == ([True, True], [True, True])
    assert (await see(stream, plain)).result == b'"%b"' % plain.encode()


@pytest.mark.parametrize("taken", [[4, 5, 6, 7], [0, 1, 2, 3], [3, 2, 1, 0], [0, 1, 2, 3, 4, 6], range(10)])
async def test_entries_of_ended_jobs_go_and_no_others(stream: Stream, taken: list[int]) -> None:
    await accept(stream, 12)
    jobs = await stream.claim("w", 10)

    await finish(stream, "w", [jobs[place] for place in taken])

    rows = await command(stream, "XRANGE", key(stream, "stream"), "-", "+")
    left = [job.entry for place, job in enumerate(jobs) if place not in taken]
    assert [row[0].decode() for row in rows][:-2] == left
    counts = await stream.counts()
    assert (counts.length, counts.waiting, counts.pending) == (len(left) + 2, 2, len(left))
    assert len(await stream.claim("w", 10)) == 2


async def test_entries_that_wait_in_an_order_do_not_go_with_those_of_ended_jobs(stream: Stream) -> None:
    await accept(stream, 4)
    low = await accept(stream, 1, options=JobOptions(priority="low"))
    high = await accept(stream, 4, options=JobOptions(priority="high"))
    jobs = await stream.claim("w", 8)
    assert {job.id for job in jobs} > set(high)

    await finish(stream, "w", sorted(jobs, key=lambda job: job.entry))

    assert [job.id for job in await stream.claim("w", 10)] == low


async def test_a_push_names_those_that_are_not_accepted(stream: Stream) -> None:
    first, second, third = new("first"), new("second", owner="me"), new("third", function="other")

    assert [pushed.outcome for pushed in await stream.push_many([first, first, second])] == [
        "accepted", "existing", "accepted",
    ]  # fmt: skip
    assert [pushed.outcome for pushed in await stream.push_many([third, second, first])] == [
        "accepted", "existing", "existing",
    ]  # fmt: skip

    jobs = await stream.claim("w", 10)
    assert [(job.id, job.function) for job in jobs] == [
        ("first", "predict"), ("second", "predict"), ("third", "other"),
    ]  # fmt: skip
    assert [(await see(stream, job.id)).owner for job in jobs] == ["", "me", ""]
