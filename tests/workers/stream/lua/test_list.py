"""Lists of an owner's jobs, jobs that are forgotten, and the index that goes with them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.workers.stream.actions import (
    EMPTY,
    accept,
    command,
    fail_one,
    finish,
    finish_all,
    key,
    keys,
    listening,
    new,
    sweep,
    until,
)
from workers.stream import Finish, JobOptions, NewBatch, Status, Stream, Telling, batch_job_id

BATCH_ID = "0123456789abcdef01234567"


async def listed(stream: Stream, owner: str | None = "", limit: int = 3, **wanted: Any) -> list[str]:
    """The ids of all pages."""
    ids: list[str] = []
    before = ""
    while True:
        page = await stream.index.page(owner, before, limit, **wanted)
        assert len(page.jobs) <= limit
        ids += [view.id for view in page.jobs]
        before = page.next
        if not before:
            return ids


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_a_list_has_an_owners_jobs_once_and_newest_first(stream: Stream, limit: int) -> None:
    first = await accept(stream, 3, owner="me")
    await accept(stream, 2, owner="other")
    await stream.push_many([new("mine", owner="me"), new("theirs", owner="other")])
    await stream.batches.push(NewBatch(BATCH_ID, 4, owner="me"), [b"[1]"] * 4)
    last = await accept(stream, owner="me", defer_ms=60_000)
    await finish_all(stream)

    expected = [*first, "mine", *(batch_job_id(BATCH_ID, place) for place in range(4)), *last]
    assert await listed(stream, "me", limit) == expected[::-1]
    assert len(await listed(stream, "other", limit)) == 3
    assert await listed(stream, "nobody") == []


async def test_a_list_is_of_a_status_and_of_a_tag(stream: Stream) -> None:
    failed = await fail_one(stream)
    done, running, waiting = await accept(stream, 3)
    [tagged] = await accept(stream, options=JobOptions(tag="a"))
    [later] = await accept(stream, defer_ms=60_000)
    await finish(stream, "w", await stream.claim("w", 1))
    await stream.claim("w", 1)

    by_status = {status: await listed(stream, status=status) for status in Status}
    assert by_status == {
        Status.SCHEDULED: [later], Status.QUEUED: [tagged, waiting], Status.PROCESSING: [running],
        Status.FINISHED: [done], Status.FAILED: [failed], Status.CANCELLED: [],
    }  # fmt: skip
    assert await listed(stream, tag="a") == [tagged]
    assert await listed(stream, tag="a", status=Status.FAILED) == []
    assert await listed(stream, tag="b") == []
    with pytest.raises(ValueError, match="next"):
        await stream.index.page("", "nonsense", 1)


async def test_a_long_search_comes_in_pages_that_may_be_empty(stream: Stream) -> None:
    [oldest] = await accept(stream, options=JobOptions(tag="a"))
    await accept(stream, 1500)
    page = await stream.index.page("", "", 10, None, "a")
    assert page.jobs == []
    page = await stream.index.page("", page.next, 10, None, "a")
    assert ([view.id for view in page.jobs], page.next) == ([oldest], "")


@pytest.mark.parametrize("state", ["waiting", "running", "released", "scheduled", "retried", "finished", "failed"])
async def test_a_deleted_job_leaves_nothing(stream: Stream, state: str) -> None:
    """Of a job in any state, with events, a ttl and a result that is counted."""
    limited = Stream(stream.settings.model_copy(update={"results_memory_bytes": 1000}))
    defer_ms = 60_000 if state == "scheduled" else 0
    [job_id] = await accept(limited, options=JobOptions(ttl_ms=60_000), defer_ms=defer_ms)
    if state not in ("waiting", "scheduled"):
        await limited.claim("w", 1)
        assert await limited.tell("w", [Telling(job_id, 1, 1, [("log", b"1")])]) == [True]
    if state == "released":
        await limited.release("w", [(job_id, 1)])
    if state == "retried":
        await limited.defer("w", job_id, 1, 60_000)
    if state in ("finished", "failed"):
        await limited.finish("w", [Finish(job_id, 1, state, b"12", 60_000)])  # type: ignore[arg-type]
    ended: list[str] = []

    async with listening(limited.ended(ended.append, lambda: None)):
        assert await limited.index.delete([job_id]) == 1
        if state not in ("finished", "failed"):
            await until(lambda: ended == [job_id])

    assert await limited.view(job_id) is None
    assert await limited.counts() == EMPTY
    left = await keys(limited)
    assert not {name for name in left if name.startswith(("job:", "events:", "expiring", "deferred"))}
    assert int(await command(limited, "GET", key(limited, "results-bytes")) or 0) == 0
    assert await limited.finish("w", [Finish(job_id, 1, "finished", b"1", 60_000)]) == [False]
    assert await limited.index.delete([job_id]) == 0
    await sweep(limited)
    assert not {name for name in await keys(limited) if name.startswith(("index", "owners"))}
    await limited.close()


async def test_only_jobs_of_the_status_are_deleted(stream: Stream) -> None:
    ids = await accept(stream, 3)
    [running] = await stream.claim("w", 1)
    assert await stream.index.delete(ids, Status.QUEUED) == 2
    assert await listed(stream) == [running.id]
    assert await stream.counts() == EMPTY._replace(length=1, pending=1)


async def test_an_entry_of_the_index_goes_with_its_jobs_and_not_before(stream: Stream) -> None:
    async def entries() -> int:
        return int(await command(stream, "XLEN", key(stream, "index:")))

    [kept] = await accept(stream)
    for _ in range(30):
        await accept(stream, 2)
    assert await entries() == 31
    gone = [job_id for job_id in await listed(stream, limit=1000) if job_id != kept]
    await stream.index.delete(gone[1:])
    for _ in range(5):
        await sweep(stream)
    assert await entries() == 2, "the oldest is kept, and the newest has a job"
    assert await listed(stream) == [gone[0], kept]
    await stream.index.delete([gone[0], kept])
    await sweep(stream)
    assert "index:" not in await keys(stream)


async def test_a_dead_letter_without_a_record_is_listed_again_once_it_is_requeued(stream: Stream) -> None:
    job_id = await fail_one(stream, owner="me")
    await command(stream, "DEL", key(stream, f"job:{job_id}"))
    await sweep(stream)
    assert await listed(stream, "me") == []
    [letter] = await stream.dead_letters()
    assert await stream.requeue(letter.entry)
    assert await listed(stream, "me") == [job_id]


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_a_list_of_all_owners_has_each_job_once_and_newest_first(stream: Stream, limit: int) -> None:
    # In one call, so that the entries of several owners have the same id.
    await stream.push_many(
        [new(f"{owner}-{number}", owner=owner) for owner in ("", "ann", "bob") for number in range(2)]
    )
    ids = []
    for number in range(12):
        ids += await accept(stream, owner=("ann", "bob", "")[number % 3], options=JobOptions(tag="a"))
    await stream.batches.push(NewBatch(BATCH_ID, 3, owner="bob"), [b"[1]"] * 3)
    ids += [batch_job_id(BATCH_ID, place) for place in range(3)]

    found = await listed(stream, None, limit)

    assert found == await listed(stream, None, 1000)
    assert sorted(found) == sorted(
        [*ids, *(f"{owner}-{number}" for owner in ("", "ann", "bob") for number in range(2))]
    )
    assert found[:3] == ids[:-4:-1]
    for owner in ("", "ann", "bob"):
        own = await listed(stream, owner, 100)
        assert [job_id for job_id in found if job_id in own] == own
    assert sorted(await listed(stream, None, limit, tag="a")) == sorted(ids[:12])


async def test_a_list_of_very_many_owners_has_the_newest_jobs(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.stream.job_index._OWNERS_AT_ONCE", 10)
    monkeypatch.setattr("workers.stream.job_index._LOOKS", 20)
    # More than a hash keeps in a list, so that it is read in parts.
    for first in range(0, 700, 350):
        await stream.push_many([new(f"{number}", owner=f"{number:03}") for number in range(first, first + 350)])
    last: list[str] = []
    for number in range(5):
        await asyncio.sleep(0.002)  # of what comes within a millisecond, the greatest owner's is listed first
        last += await accept(stream, owner=f"{number:03}")

    page = await stream.index.page(None, "", 8)

    assert [view.id for view in page.jobs][:5] == last[::-1]
    assert len(await listed(stream, None, 100)) == 705


async def test_a_page_of_one_list_is_a_place_in_the_other(stream: Stream) -> None:
    ids = await accept(stream, 3)
    one, everybody = await stream.index.page("", "", 1), await stream.index.page(None, "", 1)
    assert [view.id for view in (await stream.index.page(None, one.next, 9)).jobs] == ids[1::-1]
    assert [view.id for view in (await stream.index.page("", everybody.next, 9)).jobs] == ids[1::-1]
