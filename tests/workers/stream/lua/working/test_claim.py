"""Claiming: leases, attempts, who may renew, and what is handed back."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from tests.workers.stream.actions import (
    EMPTY,
    accept,
    age,
    command,
    finish,
    finish_all,
    key,
    keys,
    listening,
    see,
    sweep,
    until,
)
from workers.stream import ClaimCall, Finish, Status, Stream

if TYPE_CHECKING:
    from workers.stream import Subscription


async def test_a_claim_takes_the_oldest_jobs_and_no_more_than_asked(stream: Stream) -> None:
    ids = await accept(stream, 5)
    jobs = await stream.claim("w", 2)
    assert [job.id for job in jobs] == ids[:2]
    assert [(job.attempt, job.function, job.args, job.kwargs) for job in jobs] == [(1, "predict", b'["x"]', b"")] * 2
    counts = EMPTY._replace(length=5, waiting=3, pending=2)
    assert await stream.counts() == counts
    # It may take more, if it is told of it; nothing was prefetched.
    assert [job.id for job in await stream.claim("w", 5)] == ids[2:]
    assert await stream.counts() == EMPTY._replace(length=5, pending=5, idle_workers=1)


async def test_the_attempt_is_counted_before_the_job_runs(stream: Stream) -> None:
    before_ms = time.time() * 1000
    [job_id] = await accept(stream)
    [job] = await stream.claim("w", 1)
    view = await see(stream, job_id)
    assert (view.status, view.attempts, view.queued_ms) == (Status.PROCESSING, 1, job.queued_ms)
    assert view.started_ms is not None
    assert abs(view.started_ms - before_ms) < 10_000


async def test_workers_never_claim_the_same_job(stream: Stream) -> None:
    ids = await accept(stream, 200)
    claims = await asyncio.gather(*(stream.claim(f"w{n % 8}", 10) for n in range(30)))
    claimed = [job.id for jobs in claims for job in jobs]
    assert sorted(claimed) == sorted(ids)


async def test_an_expired_lease_is_reclaimed_and_the_late_finish_refused(stream: Stream) -> None:
    [job_id] = await accept(stream)
    [slow] = await stream.claim("slow", 1)
    await sweep(stream)
    assert await stream.claim("other", 1) == [], "the lease stands"
    await age(stream, "slow", slow.entry)
    await sweep(stream)
    assert await stream.counts() == EMPTY._replace(length=1, pending=1, released=1)
    assert (await see(stream, job_id)).status is Status.QUEUED
    assert await stream.renew("slow", [(job_id, 1)]) == [job_id]
    assert await stream.finish("slow", [Finish(job_id, 1, "finished", b'"late"', 60_000)]) == [False]

    [job] = await stream.claim("other", 1)
    assert (job.id, job.entry, job.attempt, job.queued_ms) == (slow.id, slow.entry, 2, slow.queued_ms)
    for status in ("finished", "failed"):
        assert await stream.finish("slow", [Finish(job_id, 1, status, b'"late"', 60_000)]) == [False]
    assert await stream.defer("slow", job_id, 1, 0) is False
    assert await stream.release("slow", [(job_id, 1)]) == 0
    assert await stream.release_unknown("slow", []) == []
    assert await stream.finish("other", [Finish(job_id, 2, "finished", b'"right"', 60_000)]) == [True]
    assert await stream.finish("slow", [Finish(job_id, 1, "finished", b'"late"', 60_000)]) == [False]
    view = await see(stream, job_id)
    assert (view.result, view.attempts) == (b'"right"', 2)
    assert (await stream.counts())._replace(idle_workers=0) == EMPTY


async def test_a_worker_that_claims_its_own_lost_job_again_can_not_finish_the_first_attempt(stream: Stream) -> None:
    [job_id] = await accept(stream)
    [first] = await stream.claim("w", 1)
    await age(stream, "w", first.entry)
    await sweep(stream)
    [second] = await stream.claim("w", 1)
    assert second.attempt == 2
    assert await stream.finish("w", [Finish(job_id, 1, "finished", b"1", 60_000)]) == [False]
    assert await stream.renew("w", [(job_id, 1)]) == [job_id]
    assert await stream.renew("w", [(job_id, 2)]) == []


@pytest.mark.lease_s(1)
async def test_a_lease_expires_by_the_clock_and_not_before(stream: Stream) -> None:
    """Without any trick: claimable again within one lease, once a worker stops renewing."""
    await accept(stream)
    claimed_s = time.monotonic()
    [job] = await stream.claim("w", 1)
    async with asyncio.timeout(30):
        while not (await stream.counts()).released:  # noqa: ASYNC110
            await asyncio.sleep(await stream.sweep())
    assert time.monotonic() - claimed_s > stream.settings.lease_s - 2 * stream.sweep_interval_s
    assert [j.id for j in await stream.claim("w2", 1)] == [job.id]


async def test_renewing_keeps_a_lease_and_only_its_owner_can(stream: Stream) -> None:
    mine, also_mine, others = await accept(stream, 3)
    jobs = await stream.claim("w", 2)
    [foreign] = await stream.claim("other", 1)
    for worker, entry in (("w", jobs[0].entry), ("w", jobs[1].entry), ("other", foreign.entry)):
        await age(stream, worker, entry)
    assert await stream.renew("w", [(mine, 1), (others, 1), ("no such job", 1)]) == [others, "no such job"]
    assert await stream.renew("w", [(also_mine, 2)]) == [also_mine], "another attempt's lease"
    await sweep(stream)
    assert (await stream.counts()).released == 2
    views = await stream.view_many([(mine, False), (also_mine, False), (others, False)])
    assert [view and view.status for view in views] == [Status.PROCESSING, Status.QUEUED, Status.QUEUED]


async def test_thousands_of_jobs_are_held_renewed_and_finished_in_single_steps(stream: Stream) -> None:
    await accept(stream, 2500)
    jobs = await stream.claim("w", 2500)
    assert len(jobs) == 2500
    await age(stream, "w", *(job.entry for job in jobs))
    held = [(job.id, job.attempt) for job in jobs]
    assert await stream.renew("w", held) == []
    await sweep(stream)
    assert (await stream.counts()).released == 0
    assert len(await stream.release_unknown("w", held[:100])) == 2400
    assert (await stream.counts()).released == 2400
    again = await stream.claim("w", 2500)
    assert [job.id for job in again] == [job_id for job_id, _ in held[100:]]
    await age(stream, "w", *(job.entry for job in again))
    await sweep(stream)
    assert (await stream.counts()).released == 2400
    await finish(stream, "w", jobs[:100])
    await finish_all(stream)
    assert (await stream.counts())._replace(idle_workers=0) == EMPTY


async def test_a_job_that_has_used_up_its_attempts_becomes_a_dead_letter(stream: Stream) -> None:
    [job_id] = await accept(stream, args=b"[7]", kwargs=b'{"a":1}', function="f", owner="me")
    for attempt in (1, 2):
        [job] = await stream.claim("w", 1, max_attempts=2)
        assert job.attempt == attempt
        await age(stream, "w", job.entry)
        await sweep(stream)
    ended: list[str] = []
    [other] = await accept(stream)
    async with listening(stream.ended(ended.append, lambda: None)):
        # The claim that buries it goes on to the next one.
        assert [job.id for job in await stream.claim("w", 1, max_attempts=2)] == [other]
        await until(lambda: ended == [job_id])
    view = await see(stream, job_id)
    assert (view.status, view.attempts, view.ahead) == (Status.FAILED, 2, None)
    assert view.error is not None
    assert view.error["type"] == "AttemptsExhausted"
    assert view.finished_ms is not None
    [letter] = await stream.dead_letters()
    assert (letter.id, letter.function, letter.args, letter.kwargs, letter.owner, letter.attempts) == (
        job_id, "f", b"[7]", b'{"a":1}', "me", 2,
    )  # fmt: skip
    assert letter.error == view.error
    assert 0 < await command(stream, "PTTL", key(stream, f"job:{job_id}")) <= stream.settings.keep_result_s * 1000
    assert await stream.counts() == EMPTY._replace(length=1, pending=1, dead=1)


async def test_a_function_may_have_its_own_number_of_attempts(stream: Stream) -> None:
    await accept(stream, function="fragile")
    await accept(stream, function="tough")
    jobs = await stream.claim("w", 2, max_attempts=5, attempts_of={"fragile": 1})
    await age(stream, "w", *(job.entry for job in jobs))
    await sweep(stream)
    again = await stream.claim("w", 2, max_attempts=5, attempts_of={"fragile": 1})
    assert [(job.function, job.attempt) for job in again] == [("tough", 2)]
    assert [letter.function for letter in await stream.dead_letters()] == ["fragile"]


async def test_released_jobs_are_claimed_first_and_the_attempt_does_not_count(stream: Stream) -> None:
    woken: list[str] = []
    first, second, third = await accept(stream, 3)
    jobs = await stream.claim("w", 2)
    await stream.claim("idle", 2)
    async with listening(stream.wakeups("idle", lambda: woken.append("idle"), lambda _: None)):
        woken.clear()
        assert await stream.release("w", [(job.id, job.attempt) for job in jobs] + [(third, 1), ("none", 1)]) == 2
        await until(lambda: woken == ["idle"])
    assert await stream.release("w", [(first, 1)]) == 0, "released before"
    assert (await see(stream, first)).attempts == 0
    [fourth] = await accept(stream)
    assert [(job.id, job.attempt) for job in await stream.claim("idle", 5)] == [
        (first, 1), (second, 1), (fourth, 1),
    ]  # fmt: skip


async def test_a_claim_whose_reply_was_lost_is_handed_back(stream: Stream) -> None:
    known, lost = await accept(stream, 2)
    [job] = await stream.claim("w", 1)
    [unheard] = await stream.claim("w", 1)  # the reply never came
    assert await stream.release_unknown("w", [(job.id, job.attempt)]) == [unheard.entry]
    assert (await see(stream, known)).status is Status.PROCESSING
    assert [(job.id, job.attempt) for job in await stream.claim("w", 5)] == [(lost, 1)]
    # A mark of an earlier attempt is no claim to this one.
    assert await stream.release_unknown("w", [(known, 1), (lost, 7)]) == [unheard.entry]


async def test_leaving_hands_back_everything_and_passes_a_wakeup_on(stream: Stream) -> None:
    woken: list[str] = []
    held, waiting = await accept(stream, 2)
    await stream.register("w", 60, {"state": "busy"})
    await stream.claim("w", 1)
    await stream.claim("idle", 0)
    await command(stream, "ZADD", key(stream, "idle"), 0, "idle")
    async with listening(stream.wakeups("idle", lambda: woken.append("idle"), lambda _: None)):
        woken.clear()
        await stream.leave("w")
        await until(lambda: woken == ["idle"])
    assert await stream.workers() == []
    consumers = await command(stream, "XINFO", "CONSUMERS", key(stream, "stream"), "workers")
    assert b"w" not in [consumer[1] for consumer in consumers]
    assert [(job.id, job.attempt) for job in await stream.claim("idle", 5)] == [(held, 1), (waiting, 1)]
    await stream.leave("w")


async def test_only_a_worker_with_free_capacity_is_idle(stream: Stream) -> None:
    assert await stream.claim("w", 2) == []
    assert (await stream.counts()).idle_workers == 1
    await accept(stream, 2)
    await command(stream, "ZADD", key(stream, "idle"), 0, "w")
    assert len(await stream.claim("w", 2)) == 2
    assert (await stream.counts()).idle_workers == 0
    await stream.claim("w", 1)
    await stream.claim("other", 1)
    await stream.leave("other")
    assert await command(stream, "ZRANGE", key(stream, "idle"), 0, -1) == [b"w"]


async def test_leaving_passes_on_a_wakeup_for_a_job_it_never_claimed(stream: Stream) -> None:
    woken: list[str] = []
    await accept(stream)
    await command(stream, "ZADD", key(stream, "idle"), 0, "idle")
    async with listening(stream.wakeups("idle", lambda: woken.append("idle"), lambda _: None)):
        woken.clear()
        await stream.leave("woken, but stopping")
        await until(lambda: woken == ["idle"])


async def test_a_sweep_wakes_workers_for_what_a_lost_wakeup_left_waiting(stream: Stream) -> None:
    woken: list[str] = []
    await accept(stream, 3)
    await command(stream, "ZADD", key(stream, "idle"), 0, "a", 1, "b")
    subscriptions = [stream.wakeups(n, lambda n=n: woken.append(n), lambda _: None) for n in "ab"]  # type: ignore[misc]
    async with listening(*subscriptions):
        woken.clear()
        await sweep(stream)
        await until(lambda: sorted(woken) == ["a", "b"])


async def test_a_heartbeat_is_told_whether_the_worker_would_be_woken(stream: Stream) -> None:
    await stream.claim("idle", 1)
    assert [(await stream.register(worker, 60, {})).is_idle for worker in ("idle", "other")] == [True, False]
    await accept(stream)
    assert not (await stream.register("idle", 60, {})).is_idle


@pytest.mark.parametrize(("last_ms", "is_overdue"), [(None, True), (-60_000, True), (60_000, True), (-20, False)])
async def test_a_heartbeat_is_told_that_nobody_has_swept_for_long(
    stream: Stream, last_ms: int | None, is_overdue: bool
) -> None:
    """One in the future is from before the server's clock was set back."""
    if last_ms is not None:
        await stream.redis.set(key(stream, "swept"), round(time.time() * 1000) + last_ms)
    stream = Stream(stream.settings.model_copy(update={"lease_s": 40.0}), stream.redis)
    assert (await stream.register("w", 60, {})).is_overdue == is_overdue


async def test_only_the_first_of_many_sweepers_works_in_an_interval(stream: Stream) -> None:
    await accept(stream)
    [job] = await stream.claim("w", 1)
    await age(stream, "w", job.entry)
    # Settings whose interval is longer than this test; and a lease that is longer than the age.
    slow, slower = (
        Stream(stream.settings.model_copy(update={"lease_s": lease_s}), stream.redis) for lease_s in (40.0, 3600.0)
    )
    await sweep(slower)
    await slow.sweep()
    assert (await stream.counts()).released == 0
    await stream.redis.delete(key(stream, "swept"))
    await slow.sweep()
    assert (await stream.counts()).released == 1


async def test_a_sweep_in_the_future_stops_no_sweep_now(stream: Stream) -> None:
    """As after the server's clock was set back."""
    await accept(stream)
    [job] = await stream.claim("w", 1)
    await age(stream, "w", job.entry)
    await stream.redis.set(key(stream, "swept"), round(time.time() * 1000) + 3_600_000)
    await stream.sweep()
    assert (await stream.counts()).released == 1


async def test_a_registration_shows_what_the_worker_does_and_expires(stream: Stream) -> None:
    await stream.register("w", 60, {"state": "starting", "pid": 7})
    [worker] = await stream.workers()
    assert (worker.id, worker.fields) == ("w", {"orders": "1", "state": "starting", "pid": "7"})
    assert 0 < await command(stream, "PTTL", key(stream, "worker:w")) <= 60_000
    await stream.claim("w", 1)
    assert (await stream.workers())[0].fields["state"] == "idle"
    [job_id] = await accept(stream)
    await stream.claim("w", 1)
    fields = (await stream.workers())[0].fields
    assert (fields["state"], fields["job"], fields["running"]) == ("busy", job_id, "1")
    assert (await stream.counts()).workers == 1

    await stream.register("w", 0.001, {})
    async with asyncio.timeout(15):
        while await stream.workers():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    # A claim does not bring it back: that registration would never expire.
    await finish_all(stream)
    await accept(stream)
    await stream.claim("w", 1)
    await stream.claim("w", 1, running=0)
    assert "worker:w" not in await keys(stream)
    await finish_all(stream)
    await stream.claim("w", 1)
    await sweep(stream)
    # Nor does a job have to come for it to be forgotten.
    assert "idle" in await keys(stream)
    assert await command(stream, "ZRANGE", key(stream, "idle"), 0, -1) == [b"finishing"]
    assert (await stream.counts()).workers == 0


@pytest.mark.lease_s(1)
async def test_dead_workers_leave_the_group_once_they_hold_nothing(stream: Stream) -> None:
    async def names() -> set[bytes]:
        return {c[1] for c in await command(stream, "XINFO", "CONSUMERS", key(stream, "stream"), "workers")}

    await accept(stream, 2)
    await stream.register("alive", 60, {"state": "idle"})
    await stream.register("dead", 0.001, {"state": "idle"})
    await stream.claim("alive", 1)
    [job] = await stream.claim("dead", 1)
    assert await stream.claim("alive", 1) == []
    await command(stream, "ZADD", key(stream, "idle"), 0, "dead")
    assert await names() == {b"alive", b"dead"}
    await age(stream, "dead", job.entry)
    async with asyncio.timeout(30):
        while b"dead" in await names():
            await asyncio.sleep(stream.sweep_interval_s)
            await sweep(stream)
    # "alive" is quiet for longer than a lease too, but registered.
    assert b"alive" in await names()
    counts = await stream.counts()
    assert (counts.released, counts.workers, counts.idle_workers) == (2, 1, 0)


async def test_a_claim_of_large_payloads_ends_early_and_wakes_somebody_for_the_rest(stream: Stream) -> None:
    woken: list[str] = []
    ids = await accept(stream, 210, args=b'["' + b"x" * 100_000 + b'"]')
    async with listening(stream.wakeups("w", lambda: woken.append("w"), lambda _: None)):
        woken.clear()
        jobs = await stream.claim("w", 210)
        assert [job.id for job in jobs] == ids[:100]
        await until(lambda: woken == ["w"])
        await finish(stream, "w", jobs)
        jobs = await stream.claim("w", 5)
        assert [job.id for job in jobs] == ids[100:105]
        assert (await stream.counts()).idle_workers == 0


async def test_a_worker_that_is_idle_calls_back_what_another_holds_and_not_its_own(stream: Stream) -> None:
    heard: list[str] = []

    def holding(worker: str) -> Subscription:
        nothing = (lambda: None, lambda _id: None)
        return stream.wakeups(worker, *nothing, on_call_back=lambda: heard.append(worker))

    await accept(stream, 4)
    async with listening(holding("v"), holding("w")):
        await stream.finish_and_claim("w", [], ClaimCall(0, ahead=2))
        await stream.finish_and_claim("v", [], ClaimCall(0, ahead=1))
        await stream.claim("u", 1)

        assert await stream.claim("w", 1) == []
        await until(lambda: bool(heard))
        assert await stream.claim("u", 1) == []
        await until(lambda: len(heard) == 2)

    assert heard == ["v", "w"]
