"""In which order jobs are claimed that have priorities, or names that take turns; what the counters say meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.workers.stream.actions import age, command, finish, key, keys, new, see, sweep
from workers.stream import AheadStart, ClaimCall, Finish, JobOptions, NewBatch, PushLimits, Stream

if TYPE_CHECKING:
    from workers.stream import Priority

HIGH, LOW = JobOptions(priority="high"), JobOptions(priority="low")
HOUR_MS = 3_600_000
MANY = 30


async def push(stream: Stream, *names: str, priority: Priority | None = None, **fields: Any) -> None:
    """Pushes jobs with these ids, each by an owner with the letter that its id starts with."""
    options = JobOptions(priority=priority)
    pushed = await stream.push_many([new(name, owner=name[0], options=options, **fields) for name in names])
    assert [one.outcome for one in pushed] == ["accepted"] * len(names)


async def claimed(stream: Stream, count: int = 1, worker: str = "w") -> list[str]:
    """Claims so many jobs, each by a call of its own; their ids."""
    return [job.id for _ in range(count) for job in await stream.claim(worker, 1)]


async def outstanding(stream: Stream) -> tuple[int, int]:
    """What KEDA reads: the lag of the group, and how many entries are pending."""
    groups = await stream.redis.xinfo_groups(key(stream, "stream"))
    pending = await stream.redis.xpending(key(stream, "stream"), "workers")
    return next(group["lag"] for group in groups if group["name"] == b"workers"), pending["pending"]


@pytest.fixture
def fair(stream: Stream) -> Stream:
    """The same queue, its names taking turns."""
    stream.settings = stream.settings.model_copy(update={"fair_turns": True})
    stream.batches._settings = stream.settings
    return stream


async def test_high_jobs_are_claimed_first_and_low_ones_last(stream: Stream) -> None:
    await push(stream, "a1")
    await push(stream, "l1", "l2", priority="low")
    await push(stream, "a2")
    await push(stream, "h1", "h2", priority="high")

    assert await claimed(stream, 7) == ["h1", "h2", "a1", "a2", "l1", "l2"]
    assert await claimed(stream) == []


async def test_many_are_claimed_in_one_call_in_that_order(stream: Stream) -> None:
    await push(stream, "l1", priority="low")
    await push(stream, *(f"a{n}" for n in range(8)))
    await push(stream, "h1", priority="high")

    jobs = await stream.claim("w", 20)

    assert [job.id for job in jobs] == ["h1", *(f"a{n}" for n in range(8)), "l1"]


async def test_one_in_ten_claims_takes_a_low_job(stream: Stream) -> None:
    await push(stream, *(f"l{n}" for n in range(3)), priority="low")
    await push(stream, *(f"a{n:02}" for n in range(MANY)))

    order = "".join(job_id[0] for job_id in await claimed(stream, MANY + 3))

    assert order == "aaaaaaaaal" * 3 + "aaa"


async def test_lag_and_pending_are_the_jobs_that_want_a_worker(stream: Stream) -> None:
    await push(stream, "a1", "a2")
    await push(stream, "l1", priority="low")
    await push(stream, "h1", priority="high")
    assert await outstanding(stream) == (4, 0)
    [high] = await stream.claim("w", 1)
    assert await outstanding(stream) == (3, 1)
    await stream.cancel("l1")
    assert await outstanding(stream) == (2, 1)
    await push(stream, "a3")
    assert await outstanding(stream) == (3, 1)
    await finish(stream, "w", [high])
    assert await outstanding(stream) == (3, 0)
    jobs = await stream.claim("w", 9)
    assert await outstanding(stream) == (0, 3)
    await finish(stream, "w", jobs)
    await push(stream, "a4")
    assert await outstanding(stream) == (1, 0)


async def test_a_queue_is_as_before_once_nothing_waits(stream: Stream) -> None:
    await push(stream, "h1", priority="high")
    await push(stream, "a1")
    await finish(stream, "w", await stream.claim("w", 9))

    groups = await stream.redis.xinfo_groups(key(stream, "stream"))

    assert [group["name"] for group in groups] == [b"workers"]
    assert not {name for name in await keys(stream) if name.startswith(("turns", "lane"))}
    await push(stream, "a2")
    assert await claimed(stream) == ["a2"]


async def test_a_high_job_that_is_handed_back_goes_to_its_place(stream: Stream) -> None:
    await push(stream, "h1", "h2", priority="high")
    await push(stream, "l1", priority="low")
    await push(stream, "a1")
    [first] = await stream.claim("w", 1)
    await stream.release("w", [(first.id, first.attempt)])
    assert await outstanding(stream) == (4, 0)
    assert await claimed(stream, 3) == ["h1", "h2", "a1"]
    [low] = await stream.claim("w", 1)
    await push(stream, "a2")
    await stream.defer("w", low.id, low.attempt, 0)

    assert await claimed(stream, 2) == ["a2", "l1"]


async def test_a_dead_workers_low_job_waits_for_the_others_again(stream: Stream) -> None:
    await push(stream, "l1", priority="low")
    [low] = await stream.claim("dead", 1)
    await push(stream, "a1")
    await age(stream, "dead", low.entry)
    await sweep(stream)

    jobs = await stream.claim("w", 2)

    assert [(job.id, job.attempt) for job in jobs] == [("a1", 1), ("l1", 2)]


async def test_a_normal_job_that_is_handed_back_comes_behind_high_ones_and_before_its_like(stream: Stream) -> None:
    await push(stream, "a1", "a2")
    [first] = await stream.claim("w", 1)
    await push(stream, "h1", priority="high")
    await stream.release("w", [(first.id, first.attempt)])

    assert await claimed(stream, 3) == ["h1", "a1", "a2"]


async def test_a_scheduled_job_keeps_its_priority(stream: Stream) -> None:
    await push(stream, "h1", priority="high", defer_ms=HOUR_MS)
    await push(stream, "a1", "a2")
    await stream.redis.zadd(key(stream, "deferred"), {"h1": 0})
    await sweep(stream)

    assert await claimed(stream, 3) == ["h1", "a1", "a2"]


async def test_a_dead_letter_that_is_requeued_keeps_its_priority(stream: Stream) -> None:
    await push(stream, "h1", priority="high")
    await finish(stream, "w", await stream.claim("w", 1), "failed")
    await push(stream, "a1")
    [letter] = await stream.dead_letters()
    assert await stream.requeue(letter.entry)

    assert await claimed(stream, 2) == ["h1", "a1"]


async def test_the_jobs_of_a_batch_have_its_priority(stream: Stream) -> None:
    await push(stream, "a1")
    for batch_id, options in (("c" * 24, LOW), ("b" * 24, HIGH)):
        await stream.batches.push(NewBatch(batch_id, 2, options=options), [b"[1]", b"[2]"])

    order = [job_id[0] + job_id[-1] for job_id in await claimed(stream, 5)]

    assert order == ["b0", "b1", "a1", "c0", "c1"]


async def test_jobs_that_were_cancelled_deleted_or_expired_are_in_nobodys_way(stream: Stream) -> None:
    for name in ("h1", "h2", "h3", "h4"):
        await push(stream, name, priority="high")
    ttl = JobOptions(priority="high", ttl_ms=HOUR_MS)
    await stream.push_many([new("h5", options=ttl)])
    await push(stream, "a1")
    await stream.cancel("h1")
    await stream.index.delete(["h2"])
    await stream.redis.zadd(key(stream, "expiring"), {"h5": 0})
    await sweep(stream)

    assert await stream.redis.zcard(key(stream, "lane:0:")) == 2
    assert await claimed(stream, 4) == ["h3", "h4", "a1"]


async def test_a_job_says_how_many_are_ahead_of_it(stream: Stream) -> None:
    await push(stream, "a1", "a2")
    await push(stream, "l1", "l2", priority="low")
    await push(stream, "a3")
    await push(stream, "h1", "h2", priority="high")

    ahead = {name: (await see(stream, name)).ahead for name in ("h1", "h2", "a3", "l1", "l2")}

    assert ahead["l1"] == 5
    assert ahead["l2"] == 6
    # At most one low job is claimed in between.
    assert (ahead["h1"], ahead["h2"], ahead["a3"]) == (1, 2, 5)


async def test_a_worker_holds_nothing_ahead_while_the_order_counts(stream: Stream) -> None:
    await push(stream, "a1", "a2", "a3", "a4", "a5")
    [first] = await stream.claim("w", 1)
    end = Finish(first.id, first.attempt, "finished", b"1", 60_000)
    turn = await stream.finish_and_claim("w", [end], ClaimCall(1, ahead=1))
    assert [[job.id for job in jobs] for jobs in (turn.claimed, turn.held)] == [["a2"], ["a3"]]
    await push(stream, "h1", priority="high")

    [second], [held] = turn.claimed, turn.held
    end = Finish(second.id, second.attempt, "finished", b"1", 60_000)
    start = AheadStart(held.id, held.entry, 1, 0.0)
    turn = await stream.finish_and_claim("w", [end], ClaimCall(1, ahead=3, held=0), [start])

    assert turn.started == [True]
    assert [[job.id for job in jobs] for jobs in (turn.claimed, turn.held)] == [["h1"], []]


async def test_names_take_turns(fair: Stream) -> None:
    await push(fair, *(f"a{n}" for n in range(4)))
    await push(fair, "b1", "b2")
    await push(fair, "c1")

    assert await claimed(fair, 7) == ["a0", "a1", "b1", "c1", "a2", "b2", "a3"]


async def test_names_take_turns_within_a_priority(fair: Stream) -> None:
    await push(fair, "a1", "a2", "a3", priority="high")
    await push(fair, "b1", priority="high")
    await push(fair, "c1")

    order = await claimed(fair, 5)

    assert order.index("b1") < 3
    assert order[-1] == "c1"


async def test_without_turns_names_come_in_the_order_of_their_pushes(stream: Stream) -> None:
    await push(stream, "h1", priority="high")
    await push(stream, "a1", "a2", "b1", "a3", "b2")

    assert await claimed(stream, 6) == ["h1", "a1", "a2", "b1", "a3", "b2"]


async def test_scheduled_jobs_take_turns_when_they_are_due(fair: Stream) -> None:
    await push(fair, "b0", "b1")
    await claimed(fair, 2)
    await push(fair, *(f"a{n}" for n in range(3)), defer_ms=HOUR_MS)
    await fair.redis.zadd(key(fair, "deferred"), {f"a{n}": 0 for n in range(3)})
    await sweep(fair)
    await push(fair, "b2")

    assert (await claimed(fair, 4)).index("b2") < 3


async def test_a_name_that_fills_its_share_of_the_backlog_keeps_nobody_else_out(stream: Stream) -> None:
    limits = PushLimits(backlog_share=2 / stream.settings.max_backlog)
    await push(stream, "a1", "a2", limits=limits)
    [refused] = await stream.push_many([new("a3", owner="a", limits=limits)])
    assert (refused.outcome, refused.limit, refused.retry_ms) == ("limited", "backlog_share", 1000)
    await push(stream, "b1", limits=limits)

    await finish(stream, "w", await stream.claim("w", 1))
    await push(stream, "a3", limits=limits)
    await stream.cancel("a2")
    await push(stream, "a4", limits=limits, defer_ms=HOUR_MS)

    [refused] = await stream.push_many([new("a5", owner="a", limits=limits)])
    assert refused.outcome == "limited"
    await finish(stream, "w", await stream.claim("w", 9), "failed")
    await push(stream, "a5", limits=limits)


async def test_a_share_that_another_release_has_left_full_is_looked_through(stream: Stream) -> None:
    limits = PushLimits(backlog_share=1 / stream.settings.max_backlog)
    await push(stream, "a1", limits=limits)
    await finish(stream, "w", await stream.claim("w", 1))
    await command(stream, "SADD", key(stream, "share:a"), "a1")

    await push(stream, "a2", limits=limits)


async def push_as_before(stream: Stream, name: str) -> None:
    """What a release that knows no order does."""
    entry = await command(
        stream, "XADD", key(stream, "stream"), "*", "id", name, "function", "predict", "args", "[1]"
    )  # fmt: skip
    await command(stream, "HSET", key(stream, f"job:{name}"), "seq", 1, "entry", entry)


async def test_what_an_older_gateway_pushes_is_a_normal_job(stream: Stream) -> None:
    await push(stream, "l1", priority="low")
    await push_as_before(stream, "a1")
    await push(stream, "h1", priority="high")
    await push_as_before(stream, "a2")

    assert await claimed(stream, 5) == ["h1", "a1", "a2", "l1"]
    assert await outstanding(stream) == (0, 4)


async def test_older_workers_get_the_next_jobs_and_no_running_ones(stream: Stream) -> None:
    await command(stream, "HSET", key(stream, "worker:old"), "state", "idle")
    await command(stream, "ZADD", key(stream, "workers"), 9e15, "old")
    await push(stream, "a1", "a2")
    await push(stream, "l1", priority="low")
    await push(stream, "h1", priority="high")
    assert await claimed(stream) == ["h1"]

    await sweep(stream)

    released = await command(
        stream, "XPENDING", key(stream, "stream"), "workers", "-", "+", 9, "released"
    )  # fmt: skip
    assert len(released) == 3
    unread = await stream.redis.xreadgroup("workers", "old", {key(stream, "stream"): ">"})
    assert not unread
    assert await outstanding(stream) == (0, 4)
    assert await claimed(stream, 4) == ["a1", "a2", "l1"]
    assert await claimed(stream) == []


async def test_each_queue_has_an_order_of_its_own(stream: Stream) -> None:
    settings = stream.settings.model_copy(update={"queue_name": f"{stream.settings.queue_name}-other"})
    other = Stream(settings, stream.redis)
    await other.open()
    await push(stream, "a1")
    await push(other, "a1")
    await push(other, "h1", priority="high")

    assert await claimed(stream, 2) == ["a1"]
    assert await claimed(other, 3) == ["h1", "a1"]
    await stream.redis.delete(*[f"{other.prefix}:{name}" for name in await keys(other)])
