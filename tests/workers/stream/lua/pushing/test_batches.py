"""Jobs that are pushed together: all of them or none, whoever dies meanwhile."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.workers.stream.actions import (
    EMPTY,
    accept,
    command,
    finish,
    finish_all,
    key,
    keys,
    listening,
    make_due,
    see,
    sweep,
    until,
)
from workers.stream import BatchView, JobOptions, NewBatch, Pushed, PushLimits, Status, Stream, batch_job_id

if TYPE_CHECKING:
    from collections.abc import Sequence

ID = "0123456789abcdef01234567"
INPUTS = [b"[%d]" % number for number in range(5)]


def new(size: int = 5, batch_id: str = ID, **fields: object) -> NewBatch:
    return NewBatch(batch_id, size)._replace(**fields)  # type: ignore[arg-type]


def ids(size: int = 5, batch_id: str = ID) -> list[str]:
    return [batch_job_id(batch_id, place) for place in range(size)]


async def view_of(stream: Stream, batch_id: str = ID) -> BatchView:
    view = await stream.batches.view(batch_id)
    assert view is not None
    return view


async def statuses(stream: Stream, size: int = 5) -> Sequence[Status | None]:
    return [job.status for job in await stream.batches.jobs(ID, 0, size)]


@pytest.mark.parametrize("is_staged", [False, True])
async def test_a_batch_is_pushed_in_its_order_behind_what_waits(stream: Stream, is_staged: bool) -> None:
    [first] = await accept(stream)
    if is_staged:
        await stream.batches.stage(ID, INPUTS[:2])
        await stream.batches.stage(ID, INPUTS[2:])
        assert await stream.counts() == EMPTY._replace(length=1, waiting=1)
        assert 0 < (await keys(stream))[f"staged:{ID}"] <= 30_000
    batch = new(owner="me", options=JobOptions(tag="a"))
    assert await stream.batches.push(batch, [] if is_staged else INPUTS) == Pushed("accepted", ID)

    assert await stream.counts() == EMPTY._replace(length=6, waiting=6)
    assert f"staged:{ID}" not in await keys(stream)
    view = await see(stream, ids()[2])
    assert (view.status, view.owner, view.ahead, view.options.tag) == (Status.QUEUED, "me", 3, "a")
    jobs = await stream.claim("w", 10)
    assert [(job.id, job.args) for job in jobs[1:]] == list(zip(ids(), INPUTS, strict=True))
    assert jobs[0].id == first
    await finish(stream, "w", jobs[:2])
    assert await statuses(stream) == ["finished", *["processing"] * 4]
    batch_view = await view_of(stream)
    assert (batch_view.owner, batch_view.size) == ("me", 5)


@pytest.mark.parametrize("owner", ["", "me"])
@pytest.mark.parametrize("tag", [None, "a"])
async def test_jobs_of_a_batch_that_asks_for_nothing_are_plain(stream: Stream, owner: str, tag: str | None) -> None:
    await stream.batches.push(new(owner=owner, options=JobOptions(tag=tag)), INPUTS)

    assert [(job.id, job.args, job.is_plain) for job in await stream.claim("w", 10)] == [
        (job_id, args, tag is None) for job_id, args in zip(ids(), INPUTS, strict=True)
    ]


async def test_jobs_of_a_batch_know_time_and_place_though_the_clock_was_set_back(stream: Stream) -> None:
    now_ms = round(time.time() * 1000)
    await command(stream, "XSETID", key(stream, "stream"), f"{now_ms + 86_400_000}-0")
    await stream.batches.push(new(), INPUTS)

    views = [await see(stream, job_id) for job_id in ids()]
    assert all(abs(view.queued_ms - now_ms) < 60_000 for view in views)
    assert [view.ahead for view in views] == list(range(5))


async def test_inputs_whose_gateway_died_are_no_jobs_and_do_not_become_others(stream: Stream) -> None:
    await stream.batches.stage(ID, INPUTS[:3])
    await sweep(stream)
    assert await stream.counts() == EMPTY
    assert await stream.batches.push(new()) is None
    assert await stream.batches.view(ID) is None
    assert await stream.counts() == EMPTY
    await stream.batches.unstage(ID)
    assert f"staged:{ID}" not in await keys(stream)


async def test_a_backlog_without_room_for_all_takes_none(stream: Stream) -> None:
    small = Stream(stream.settings.model_copy(update={"max_backlog": 6}))
    await accept(small, 2)
    assert await small.batches.push(new(), INPUTS) == Pushed("full", ID)
    assert await small.counts() == EMPTY._replace(length=2, waiting=2)
    assert await small.batches.push(new(4), INPUTS[:4]) == Pushed("accepted", ID)
    await small.close()


async def test_a_batch_pushed_again_is_the_same_and_another_under_its_key_is_refused(stream: Stream) -> None:
    keyed = new(idempotency_key="k", fingerprint="f")
    other_id = ID[::-1]
    assert await stream.batches.push(keyed, INPUTS) == Pushed("accepted", ID)
    assert await stream.batches.push(keyed, INPUTS) == Pushed("existing", ID)
    assert await stream.batches.push(keyed._replace(id=other_id), INPUTS) == Pushed("existing", ID)
    assert await stream.batches.push(keyed._replace(id=other_id, fingerprint="g"), INPUTS) == Pushed(
        "conflict", other_id
    )
    assert (await stream.counts()).waiting == 5


async def test_a_scheduled_batch_comes_due_together(stream: Stream) -> None:
    await stream.batches.push(new(defer_ms=3_600_000, options=JobOptions(ttl_ms=60_000)), INPUTS)
    assert await statuses(stream) == ["scheduled"] * 5
    assert await stream.counts() == EMPTY._replace(deferred=5)
    assert await command(stream, "ZCARD", key(stream, "expiring")) == 5
    await make_due(stream, *ids())
    await sweep(stream)
    assert [job.id for job in await stream.claim("w", 10)] == ids()


async def test_a_cancel_ends_those_that_have_not_ended(stream: Stream) -> None:
    ended: list[str] = []
    await stream.batches.push(new(), INPUTS)
    done, running = await stream.claim("w", 2)
    await finish(stream, "w", [done])
    async with listening(stream.ended(ended.append, lambda: None)):
        assert await stream.batches.cancel(await view_of(stream)) == 4
        await until(lambda: sorted(ended) == ids()[1:])
    assert await statuses(stream) == ["finished", *["cancelled"] * 4]
    assert await stream.renew("w", [(running.id, 1)]) == [running.id]
    assert await stream.counts() == EMPTY
    assert await stream.batches.cancel(await view_of(stream)) == 0


async def test_a_batch_goes_with_the_last_of_its_records(stream: Stream) -> None:
    async def look_at_it() -> None:
        await command(stream, "ZADD", key(stream, "batches"), "XX", 0, ID)
        await sweep(stream)

    await stream.batches.push(new(), INPUTS)
    await finish_all(stream)
    for job_id in ids()[:-1]:
        await command(stream, "DEL", key(stream, f"job:{job_id}"))
    await look_at_it()
    assert await statuses(stream) == [None] * 4 + ["finished"]
    assert (await view_of(stream)).size == 5
    await command(stream, "DEL", key(stream, f"job:{ids()[-1]}"))
    await look_at_it()
    assert await stream.batches.view(ID) is None
    assert not {name for name in await keys(stream) if "batch" in name}


async def test_a_batch_beyond_a_limit_of_its_owner_is_refused_whole(stream: Stream) -> None:
    few = PushLimits(outstanding=6)
    batch = new(owner="me", limits=few, size_bytes=20)
    other_id = ID[::-1]
    assert await stream.batches.push(batch, INPUTS) == Pushed("accepted", ID)
    refused = await stream.batches.push(batch._replace(id=other_id), INPUTS)
    assert refused is not None
    assert (refused.outcome, refused.limit) == ("limited", "outstanding")
    assert await stream.batches.push(batch._replace(id=other_id, size=1), INPUTS[:1]) == Pushed("accepted", other_id)
    assert (await stream.counts()).waiting == 6


async def test_a_batch_uses_up_what_its_owner_may_push_a_second_and_a_day(stream: Stream) -> None:
    slow = new(owner="slow", limits=PushLimits(pushes_per_s=0.001, burst=3), size_bytes=20)
    large = new(batch_id=ID[::-1], owner="large", limits=PushLimits(bytes_per_day=30), size_bytes=20)
    for batch, limit in ((slow, "pushes_per_s"), (large, "bytes_per_day")):
        assert await stream.batches.push(batch, INPUTS) == Pushed("accepted", batch.id)
        refused = await stream.batches.push(batch._replace(id="0" * 24), INPUTS)
        assert refused is not None
        assert (refused.outcome, refused.limit) == ("limited", limit)
        assert refused.retry_ms > 0
