"""Random jobs of three names, many within one millisecond: the pages of their lists miss no job and have none twice."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.workers.stream.actions import new
from workers.stream import NewBatch, PipelinedRedis, Stream, StreamSettings, batch_job_id
from workers.stream.link.connection import connect

if TYPE_CHECKING:
    from tests.servers import Server

OWNERS = ("", "ann", "bob")
LISTS = (None, *OWNERS)
owners = st.sampled_from(OWNERS)
# One call, whose entries mostly have the same id in each owner's index; or a batch.
calls = st.lists(st.lists(owners, min_size=1, max_size=8) | owners, max_size=8)
# Whose list the next page is of, and how many jobs it has.
turns = st.lists(st.tuples(st.sampled_from(LISTS), st.integers(1, 5)), max_size=10)


async def pushed(stream: Stream, steps: list[list[str] | str]) -> dict[str, str]:
    """Pushes jobs; the owner of each, by its id."""
    jobs: dict[str, str] = {}
    for step in steps:
        if isinstance(step, str):
            batch = NewBatch(uuid.uuid4().hex[:24], 3, owner=step)
            await stream.batches.push(batch, [b"[1]"] * 3)
            jobs |= {batch_job_id(batch.id, place): step for place in range(3)}
        else:
            several = [new(owner=owner) for owner in step]
            await stream.push_many(several)
            jobs |= {job.id: job.owner for job in several}
    return jobs


async def whole(stream: Stream, owner: str | None) -> list[str]:
    return [view.id for view in (await stream.index.page(owner, "", 1000)).jobs]


async def check(stream: Stream, jobs: dict[str, str], turns: list[tuple[str | None, int]]) -> None:
    everybody = await whole(stream, None)
    assert sorted(everybody) == sorted(jobs)
    for one in OWNERS:
        own = [job_id for job_id in jobs if jobs[job_id] == one]
        assert await whole(stream, one) == own[::-1] == [job_id for job_id in everybody if jobs[job_id] == one]

    before, rest = "", everybody
    for owner, limit in [*turns, (None, 1000)]:
        page = await stream.index.page(owner, before, limit)
        wanted = [job_id for job_id in rest if owner is None or jobs[job_id] == owner]
        assert [view.id for view in page.jobs] == wanted[:limit]
        assert bool(page.next) == (len(wanted) > limit)
        if not page.next:
            return
        before, rest = page.next, rest[rest.index(wanted[limit]) :]


def test_a_page_goes_on_where_the_one_before_ended_whichever_list_that_was_of(server: Server) -> None:
    with asyncio.Runner() as runner:
        redis = connect(server.url, 30, PipelinedRedis)

        @settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=60)
        @given(calls, turns)
        def holds(steps: list[list[str] | str], turns: list[tuple[str | None, int]]) -> None:
            async def run() -> None:
                queue = StreamSettings(redis_url=server.url, queue_name=f"lists-{uuid.uuid4().hex}", redis_timeout_s=30)
                stream = Stream(queue, redis)
                await stream.open()
                await check(stream, await pushed(stream, steps), turns)

            runner.run(run())

        try:
            holds()
        finally:
            runner.run(redis.aclose(close_connection_pool=True))
