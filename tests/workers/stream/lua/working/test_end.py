"""Ends of jobs: finish, failure and its dead letter, retry, requeue, defer, cancel; each exactly once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal

import pytest

from tests.workers.stream.actions import (
    EMPTY,
    accept,
    age,
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
from workers.stream import Finish, Status, Stream
from workers.stream.stream import SMALL_RESULT_BYTES

if TYPE_CHECKING:
    from workers.stream import Claimed

ERROR = b'{"type":"ValueError","message":"no"}'


async def claim_one(stream: Stream, worker: str = "w") -> Claimed:
    [job] = await stream.claim(worker, 1)
    return job


def ending(
    job: Claimed, status: Literal["finished", "failed"] = "finished", body: bytes = b"1", keep_ms: int = 60_000
) -> Finish:
    return Finish(job.id, job.attempt, status, body, keep_ms)


async def test_a_finish_leaves_a_result_that_expires_and_nothing_else(stream: Stream) -> None:
    await accept(stream, owner="me")
    job = await claim_one(stream)
    assert await stream.finish("w", [ending(job, body=b'{"output": 1}')]) == [True]
    view = await see(stream, job.id)
    assert (view.status, view.owner, view.result, view.attempts) == (Status.FINISHED, "me", b'{"output": 1}', 1)
    assert view.started_ms is not None
    assert view.finished_ms is not None
    assert job.queued_ms == view.queued_ms <= view.started_ms <= view.finished_ms
    without = await stream.view(job.id)
    assert without is not None
    assert without.result is None
    assert await stream.counts() == EMPTY
    assert await command(stream, "XLEN", key(stream, "stream")) == 0
    assert 0 < await command(stream, "PTTL", key(stream, f"job:{job.id}")) <= 60_000


@pytest.mark.parametrize("status", ["finished", "failed"])
async def test_a_result_is_kept_as_long_as_told(stream: Stream, status: Literal["finished", "failed"]) -> None:
    await accept(stream, 2)
    kept, not_kept = await stream.claim("w", 2)
    ends = [ending(kept, status, ERROR, -1), ending(not_kept, status, ERROR, 0)]
    assert await stream.finish("w", ends) == [True, True]
    assert await command(stream, "PTTL", key(stream, f"job:{kept.id}")) == -1
    assert await stream.view(not_kept.id) is None
    # A failed job that leaves no record leaves its payload.
    assert (await stream.counts()).dead == (0 if status == "finished" else 2)


async def test_a_result_is_published_once_and_never_changes(stream: Stream) -> None:
    ended: list[str] = []
    [job_id] = await accept(stream)
    job = await claim_one(stream)
    async with listening(stream.ended(ended.append, lambda: None)):
        assert await stream.finish("w", [ending(job, body=b'"first"')]) == [True]
        first = await see(stream, job_id)
        # The same finish again, as after a lost reply, is recognized; any other is refused.
        assert await stream.finish("w", [ending(job, body=b'"second"'), ending(job, "failed", ERROR)]) == [True, False]
        assert await stream.finish("other", [ending(job, body=b'"second"')]) == [False]
        assert await stream.finish("w", [Finish(job_id, 2, "finished", b"2", 1)]) == [False]
        assert await stream.finish("w", [Finish("none", 1, "finished", b"2", 1)]) == [False]
        assert await stream.cancel(job_id) == "finished"
        assert await stream.retry(job_id) == "finished"
        assert await see(stream, job_id) == first
        [last] = await accept(stream)
        await stream.cancel(last)
        await until(lambda: last in ended)
    assert ended == [job_id, last]


async def test_many_finishes_are_one_message_to_those_who_wait(stream: Stream) -> None:
    ended: list[str] = []
    ids = await accept(stream, 1500)
    jobs = await stream.claim("w", 1500)
    async with listening(stream.ended(ended.append, lambda: None)):
        await finish(stream, "w", jobs)
        await until(lambda: len(ended) == 1500)
    assert ended == ids
    assert await stream.counts() == EMPTY


async def test_counters_are_exact_whatever_the_order_of_the_ends(stream: Stream) -> None:
    """The server can't tell the lag of a stream with deletions in it, unless it is helped."""
    await accept(stream, 6)
    jobs = await stream.claim("w", 4)
    left = EMPTY._replace(length=6, waiting=2, pending=4)
    for job in (jobs[3], jobs[0], jobs[2], jobs[1]):
        await finish(stream, "w", [job])
        left = left._replace(length=left.length - 1, pending=left.pending - 1)
        assert await stream.counts() == left
    await accept(stream, 1)
    assert await stream.counts() == EMPTY._replace(length=3, waiting=3)
    await finish_all(stream)
    assert (await stream.counts())._replace(idle_workers=0) == EMPTY


@pytest.mark.parametrize("end", ["finish", "cancel", "defer"])
async def test_counters_are_exact_after_the_newest_job_ended_before_an_older_one(stream: Stream, end: str) -> None:
    """The lag looks right until the next push: a deletion behind the last read entry is what the server can't count."""
    older, newest = await accept(stream, 2)
    jobs = await stream.claim("w", 2)
    match end:
        case "finish":
            await finish(stream, "w", jobs[1:])
        case "cancel":
            await stream.cancel(newest)
        case _:
            await stream.defer("w", newest, 1, 3_600_000)
            await stream.cancel(newest)
    assert await stream.counts() == EMPTY._replace(length=1, pending=1)
    await accept(stream)
    assert await stream.counts() == EMPTY._replace(length=2, waiting=1, pending=1)
    await finish(stream, "w", jobs[:1])
    await finish_all(stream)
    assert (await stream.counts())._replace(idle_workers=0) == EMPTY
    assert (await see(stream, older)).status is Status.FINISHED


async def test_a_failed_job_runs_again_under_its_id_with_all_its_attempts(stream: Stream) -> None:
    woken: list[str] = []
    job_id = await fail_one(stream, args=b"[7]", kwargs=b'{"a":1}', function="f", owner="me")
    view = await see(stream, job_id)
    assert (view.status, view.error, view.attempts) == (Status.FAILED, {"type": "ValueError", "message": "no"}, 1)
    await command(stream, "ZADD", key(stream, "idle"), 0, "idle")
    async with listening(stream.wakeups("idle", lambda: woken.append("idle"), lambda _: None)):
        woken.clear()
        assert await stream.retry(job_id) == "retried"
        await until(lambda: woken == ["idle"])
    assert await stream.retry(job_id) == "queued"
    assert await stream.dead_letters() == []
    view = await see(stream, job_id)
    assert (view.status, view.error, view.attempts, view.owner, view.ahead) == (Status.QUEUED, None, 0, "me", 0)
    assert view.finished_ms is None
    assert await command(stream, "PTTL", key(stream, f"job:{job_id}")) == -1
    job = await claim_one(stream)
    assert (job.id, job.attempt, job.function, job.args, job.kwargs) == (job_id, 1, "f", b"[7]", b'{"a":1}')
    assert await stream.retry(job_id) == "processing"
    await finish(stream, "w", [job])
    assert (await see(stream, job_id)).status is Status.FINISHED
    assert await stream.retry("none") == "missing"
    assert await stream.counts() == EMPTY


async def test_a_full_backlog_does_not_refuse_a_retry(stream: Stream) -> None:
    job_id = await fail_one(stream)
    full = Stream(stream.settings.model_copy(update={"max_backlog": 1}), stream.redis)
    await accept(full)
    assert (await full.push(new())).outcome == "full"
    assert await full.retry(job_id) == "retried"
    assert (await full.counts()).waiting == 2


async def test_a_dead_letter_can_be_requeued_after_its_record_expired(stream: Stream) -> None:
    job_id = await fail_one(stream, args=b"[7]", owner="me")
    await stream.redis.delete(key(stream, f"job:{job_id}"))
    assert await stream.retry(job_id) == "missing"
    [letter] = await stream.dead_letters()
    assert await stream.requeue(letter.entry) is True
    assert await stream.requeue(letter.entry) is False
    view = await see(stream, job_id)
    assert (view.status, view.owner) == (Status.QUEUED, "me")
    job = await claim_one(stream)
    assert (job.id, job.args, job.attempt) == (job_id, b"[7]", 1)
    assert await stream.counts() == EMPTY._replace(length=1, pending=1)


async def test_a_dead_letter_whose_job_lives_is_not_requeued(stream: Stream) -> None:
    job_id = await fail_one(stream)
    [letter] = await stream.dead_letters()
    await stream.redis.delete(key(stream, f"job:{job_id}"))
    await stream.push(new(job_id, b'["again"]'))
    for claimed in (False, True):
        assert await stream.requeue(letter.entry) is False
        if not claimed:
            [job] = await stream.claim("w", 5)
    await finish(stream, "w", [job])
    assert await stream.requeue(letter.entry) is False
    assert (await see(stream, job_id)).status is Status.FINISHED
    assert await stream.requeue("1-1") is False
    # Nor if it has failed since, with a dead letter of its own.
    await stream.redis.delete(key(stream, f"job:{job_id}"))
    await stream.push(new(job_id, b'["again"]'))
    await finish(stream, "w", await stream.claim("w", 1), "failed")
    assert await stream.requeue(letter.entry) is False
    assert (await stream.counts()).dead == 2
    assert await stream.retry(job_id) == "retried"
    [job] = await stream.claim("w", 1)
    assert job.args == b'["again"]'


async def test_dead_letters_are_listed_in_order_and_in_pages(stream: Stream) -> None:
    ids = [await fail_one(stream, args=b"[%d]" % n) for n in range(5)]
    letters = await stream.dead_letters()
    assert [letter.id for letter in letters] == ids
    assert letters[0].error == {"type": "ValueError", "message": "no"}
    page = await stream.dead_letters(count=2)
    page += await stream.dead_letters(count=2, after=page[-1].entry)
    page += await stream.dead_letters(count=2, after=page[-1].entry)
    assert page == letters


async def test_dead_letters_are_trimmed_by_number_and_age(stream: Stream) -> None:
    ids = [await fail_one(stream) for _ in range(4)]
    few = Stream(stream.settings.model_copy(update={"max_dead_letters": 2}), stream.redis)
    await sweep(few)
    assert [letter.id for letter in await stream.dead_letters()] == ids[2:]
    assert await stream.retry(ids[0]) == "gone"
    assert (await see(stream, ids[0])).status is Status.FAILED
    # An old one: its entry's id is its time.
    await stream.redis.delete(key(stream, "dead"))
    for entry in ("1-1", "*"):
        await command(
            stream, "XADD", key(stream, "dead"), entry, "id", "x", "function", "f", "args", "[]", "kwargs", "",
            "owner", "", "attempts", "1", "error", "{}",
        )  # fmt: skip
    await sweep(stream)
    [letter] = await stream.dead_letters()
    assert letter.entry != "1-1"


async def test_a_retry_at_once_comes_first_and_its_attempt_counts(stream: Stream) -> None:
    woken: list[str] = []
    first, second = await accept(stream, 2)
    job = await claim_one(stream)
    queued_ms = job.queued_ms
    await command(stream, "ZADD", key(stream, "idle"), 0, "idle")
    async with listening(stream.wakeups("idle", lambda: woken.append("idle"), lambda _: None)):
        woken.clear()
        assert await stream.defer("w", first, 1, 0) is True
        await until(lambda: woken == ["idle"])
    assert await stream.defer("w", first, 1, 0) is False
    assert (await see(stream, first)).status is Status.QUEUED
    again, _ = await stream.claim("w", 5)
    assert (again.id, again.attempt, again.queued_ms) == (first, 2, queued_ms)
    assert await stream.finish("w", [ending(job)]) == [False], "that is not this attempt's lease"
    assert (await see(stream, second)).status is Status.PROCESSING


async def test_a_retry_later_waits_outside_the_stream(stream: Stream) -> None:
    [job_id] = await accept(stream, args=b"[7]", kwargs=b'{"a":1}', function="f", owner="me")
    job = await claim_one(stream)
    assert await stream.defer("other", job_id, 1, 3_600_000) is False
    assert await stream.defer("w", job_id, 2, 3_600_000) is False
    assert await stream.defer("w", job_id, 1, 3_600_000) is True
    assert await stream.defer("w", job_id, 1, 3_600_000) is False
    assert await stream.counts() == EMPTY._replace(deferred=1)
    view = await see(stream, job_id)
    assert (view.status, view.attempts, view.queued_ms) == (Status.QUEUED, 1, job.queued_ms)
    await accept(stream, 2)
    assert (await see(stream, job_id)).ahead == 2
    await finish_all(stream)
    assert await stream.finish("w", [ending(job)]) == [False]
    assert await stream.renew("w", [(job_id, 1)]) == [job_id]
    await make_due(stream, job_id)
    await sweep(stream)
    [again] = await stream.claim("w", 1)
    assert (again.id, again.attempt, again.function, again.args, again.kwargs) == (job_id, 2, "f", b"[7]", b'{"a":1}')
    assert again.queued_ms == job.queued_ms
    await finish(stream, "w", [again])
    view = await see(stream, job_id)
    assert (view.status, view.owner, view.attempts) == (Status.FINISHED, "me", 2)
    assert (await stream.counts())._replace(idle_workers=0) == EMPTY


State = Literal["waiting", "released", "expired", "running", "deferred push", "deferred retry"]


async def bring(stream: Stream, state: State) -> tuple[str, Claimed | None]:
    """A job in the state, with the lease that was held on it."""
    [job_id] = await accept(stream, defer_ms=3_600_000 if state == "deferred push" else 0)
    if state in ("waiting", "deferred push"):
        return job_id, None
    job = await claim_one(stream)
    if state == "released":
        await stream.release("w", [(job_id, 1)])
    elif state == "expired":
        await age(stream, "w", job.entry)
        await sweep(stream)
    elif state == "deferred retry":
        await stream.defer("w", job_id, 1, 3_600_000)
    return job_id, job


@pytest.mark.parametrize("state", State.__args__)  # type: ignore[attr-defined]
async def test_a_cancelled_job_never_runs_and_has_no_result(stream: Stream, state: State) -> None:
    told: list[tuple[str, str]] = []
    job_id, job = await bring(stream, state)
    await accept(stream, 2)
    ended = stream.ended(lambda i: told.append(("ended", i)), lambda: None)
    wakeups = stream.wakeups("w", lambda: None, lambda i: told.append(("stop", i)))
    async with listening(ended, wakeups):
        assert await stream.cancel(job_id) == "cancelled"
        expected = {("ended", job_id), *([("stop", job_id)] if state == "running" else [])}
        await until(lambda: set(told) == expected)
    view = await see(stream, job_id)
    assert (view.status, view.result, view.ahead) == (Status.CANCELLED, None, None)
    assert view.finished_ms is not None
    assert view.finished_ms >= view.queued_ms
    assert 0 < await command(stream, "PTTL", key(stream, f"job:{job_id}")) <= stream.settings.keep_result_s * 1000
    assert await stream.counts() == EMPTY._replace(length=2, waiting=2)
    if job is not None:
        assert await stream.finish("w", [ending(job)]) == [False]
        assert await stream.renew("w", [(job_id, job.attempt)]) == [job_id]
        assert await stream.defer("w", job_id, job.attempt, 5) is False
    assert await stream.cancel(job_id) == "cancelled"
    assert await stream.retry(job_id) == "cancelled"
    assert await see(stream, job_id) == view
    await sweep(stream)
    assert job_id not in [j.id for j in await stream.claim("w", 5)]
    await stream.leave("w")
    await finish_all(stream)
    assert (await stream.counts())._replace(idle_workers=0) == EMPTY


async def test_cancelling_what_has_ended_or_never_was_changes_nothing(stream: Stream) -> None:
    failed = await fail_one(stream)
    before = await see(stream, failed)
    assert await stream.cancel(failed) == "failed"
    assert await see(stream, failed) == before
    assert (await stream.counts()).dead == 1
    assert await stream.cancel("none") == "missing"
    assert await stream.view("none") is None


@pytest.mark.parametrize("position", [0, 1, 2])
async def test_a_job_cancelled_anywhere_in_the_queue_is_not_counted_any_more(stream: Stream, position: int) -> None:
    ids = await accept(stream, 3)
    await stream.cancel(ids[position])
    assert await stream.counts() == EMPTY._replace(length=2, waiting=2)
    # Not only where the server finds the lag in another way than by counting.
    info = await command(stream, "XINFO", "STREAM", key(stream, "stream"))
    assert dict(zip(info[::2], info[1::2], strict=True))[b"entries-added"] == 2
    more = await accept(stream, 1)
    rest = [job_id for job_id in ids if job_id != ids[position]] + more
    assert await stream.counts() == EMPTY._replace(length=3, waiting=3)
    jobs = await stream.claim("w", 1)
    assert await stream.counts() == EMPTY._replace(length=3, waiting=2, pending=1)
    jobs += await stream.claim("w", 2)
    assert [job.id for job in jobs] == rest
    await finish(stream, "w", jobs)
    assert await stream.counts() == EMPTY


async def test_a_finish_and_a_cancel_at_once_have_one_winner(stream: Stream) -> None:
    for _ in range(20):
        [job_id] = await accept(stream)
        job = await claim_one(stream)
        [finished], cancelled = await asyncio.gather(stream.finish("w", [ending(job)]), stream.cancel(job_id))
        view = await see(stream, job_id)
        assert finished is (view.status is Status.FINISHED)
        assert cancelled == view.status
        assert (view.result is None) is not finished
    assert await stream.counts() == EMPTY


async def test_views_share_round_trips_and_large_results_are_read_in_parts(stream: Stream) -> None:
    async def calls() -> int:
        stats: dict[str, Any] = await stream.redis.info("commandstats")
        return int(stats["cmdstat_fcall"]["calls"])

    await accept(stream, 5)
    jobs = await stream.claim("w", 5)
    large = b'"' + b"x" * 3_000_000 + b'"'
    for job in jobs:
        assert await stream.finish("w", [ending(job, body=large)]) == [True]
    before = await calls()
    views = await asyncio.gather(*(stream.view(job.id) for job in jobs * 20))
    assert await calls() - before == 1
    assert all(view and view.status is Status.FINISHED for view in views)
    before = await calls()
    views = await stream.view_many([("none", True), *((job.id, True) for job in jobs), ("none", True)])
    assert await calls() - before == 2
    assert [view and view.result for view in views] == [None, *[large] * 5, None]


async def test_a_large_result_is_left_out_of_a_small_view_and_its_size_is_told(stream: Stream) -> None:
    await accept(stream, 2)
    small, large = await stream.claim("w", 2)
    limit_bytes = SMALL_RESULT_BYTES
    for job, size_bytes in ((small, limit_bytes - 2), (large, limit_bytes - 1)):
        finish = Finish(job.id, job.attempt, "finished", b"1" * size_bytes, 60_000, b"{}")
        assert await stream.finish("w", [finish]) == [True]

    first, second, none = await asyncio.gather(*(stream.view_small(name) for name in (small.id, large.id, "none")))

    assert first is not None
    assert (first.result, first.notes, first.unsent_bytes) == (b"1" * (limit_bytes - 2), b"{}", 0)
    assert second is not None
    assert (second.result, second.notes, second.unsent_bytes) == (None, b"", limit_bytes + 1)
    assert second.status is Status.FINISHED
    assert none is None


async def kept(stream: Stream) -> tuple[int, int]:
    """How many results are counted, and their bytes."""
    count = await command(stream, "ZCARD", key(stream, "results"))
    return count, int(await command(stream, "GET", key(stream, "results-bytes")) or 0)


async def test_results_that_may_take_so_much_memory_are_given_up_oldest_first(stream: Stream) -> None:
    limited = Stream(stream.settings.model_copy(update={"results_memory_bytes": 1000}))
    ids = await accept(limited, 5)
    jobs = await limited.claim("w", 5)
    body = b'"' + b"x" * 298 + b'"'
    for job in jobs[:3]:
        assert await limited.finish("w", [Finish(job.id, 1, "finished", body, 60_000)]) == [True]
        await asyncio.sleep(0.002)  # of those of the same millisecond any may be the oldest
    assert await kept(limited) == (3, 900)
    assert [(await see(limited, job_id)).result for job_id in ids[:3]] == [body] * 3

    ends = [Finish(jobs[3].id, 1, "finished", body, 60_000), Finish(jobs[4].id, 1, "failed", b"{}", 60_000)]
    assert await limited.finish("w", ends) == [True, True]
    assert await kept(limited) == (3, 900)
    views = [await see(limited, job_id) for job_id in ids]
    assert [view.result for view in views] == [None, body, body, body, None]
    assert [view.status for view in views] == ["finished"] * 4 + ["failed"]
    assert views[0].error is not None
    assert views[0].error["type"] == "ResultGivenUp"
    assert "1000 bytes" in views[0].error["message"]
    assert views[1].error is None
    await limited.close()


async def test_results_that_expire_are_counted_no_more(stream: Stream) -> None:
    limited = Stream(stream.settings.model_copy(update={"results_memory_bytes": 1000}))
    await accept(limited, 4)
    jobs = await limited.claim("w", 4)
    for job, keep_ms in zip(jobs, (20, 60_000, 0, -1), strict=True):
        assert await limited.finish("w", [Finish(job.id, 1, "finished", b'"xxxx"', keep_ms)]) == [True]
    assert await kept(limited) == (3, 18)
    await asyncio.sleep(0.05)
    await sweep(limited)
    assert await kept(limited) == (2, 12)
    await limited.close()


async def test_results_are_not_counted_unless_their_memory_is_limited(stream: Stream) -> None:
    await accept(stream, 1)
    await finish(stream, "w", await stream.claim("w", 1))
    assert await kept(stream) == (0, 0)
