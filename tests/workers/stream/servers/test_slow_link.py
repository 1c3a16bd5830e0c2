"""Payloads and results that take the link to the server longer than REDIS_TIMEOUT_S."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from arq.worker import func
from redis.exceptions import TimeoutError as RedisTimeoutError

from tests.proxy import TcpProxy
from tests.queues import opened, queue_name
from tests.workers.service import push, running, until_ended
from tests.workers.stream.actions import accept, command, finish, new
from workers.settings import WorkerSettings
from workers.stream import Finish, Stream, StreamSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.servers import Server

BIG_BYTES = 1_500_000
BYTES_PER_S = 1_000_000
TIMEOUT_S = 0.5


@contextlib.asynccontextmanager
async def far_and_near(server: Server) -> AsyncIterator[tuple[TcpProxy, Stream, Stream]]:
    """A stream over a link that takes 1.5 s for a big payload, and the same queue without it."""
    queue = queue_name()
    async with TcpProxy(server.port, BYTES_PER_S) as link:
        far = StreamSettings(redis_url=link.url, queue_name=queue, redis_timeout_s=TIMEOUT_S)
        near = StreamSettings(redis_url=server.url, queue_name=queue)
        async with opened(near) as near_stream, opened(far) as far_stream:
            yield link, far_stream, near_stream


async def test_whatever_moves_is_no_silence_and_holds_up_nothing_small(valkey: Server) -> None:
    big = b'["' + b"x" * BIG_BYTES + b'"]'
    async with far_and_near(valkey) as (_, far, near):
        await accept(far, 2)
        [held] = await far.claim("w", 1)

        async def beside(transfer: asyncio.Future[Any]) -> int:
            """How many short calls of each kind were answered while `transfer` was under way."""
            rounds = 0
            while not transfer.done():
                assert await far.renew("w", [(held.id, 1)]) == []
                assert await far.view(held.id) is not None
                assert (await far.push(new())).outcome == "accepted"
                rounds += 1
            return rounds

        pushing = asyncio.ensure_future(far.push(new("big", big)))
        assert await beside(pushing) > 5
        assert (await pushing).outcome == "accepted"

        assert await far.finish("w", [Finish(held.id, 1, "finished", big, 60_000)]) == [True]
        done = held.id

        [held] = await far.claim("w", 1)
        showing = asyncio.ensure_future(far.view(done, with_result=True))
        assert await beside(showing) > 5
        view = await showing
        assert view is not None
        assert view.result == big

        while (job := (await near.claim("near", 1))[0]).id != "big":
            await finish(near, "near", [job])
        await near.release("near", [(job.id, 1)])
        claiming = asyncio.ensure_future(far.claim("w", 1))
        assert await beside(claiming) > 5
        assert [job.args for job in await claiming] == [big]


async def test_a_big_finish_holds_up_neither_renewals_nor_other_finishes(
    valkey: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.stream.link.pipeline.SLOWEST_BYTES_PER_S", 1e12)  # only what is seen to move counts
    async with far_and_near(valkey) as (_, far, _near):
        await accept(far, 12)
        jobs = await far.claim("w", 12)
        big = Finish(jobs[0].id, 1, "finished", b'"' + b"x" * BIG_BYTES + b'"', 60_000)
        finishing = asyncio.ensure_future(far.finish("w", [big]))
        for job in jobs[1:]:
            assert await far.renew("w", [(jobs[0].id, 1)]) == []
            assert await far.finish("w", [Finish(job.id, 1, "finished", b"1", 60_000)]) == [True]
        assert not finishing.done()
        assert await finishing == [True]


@pytest.mark.parametrize("big", [False, True], ids=["short call", "transfer"])
async def test_a_link_on_which_nothing_moves_is_silent(valkey: Server, big: bool) -> None:
    async with far_and_near(valkey) as (link, far, near):
        job = new("big", b'["' + b"x" * BIG_BYTES + b'"]') if big else new()
        await command(far, "PING")
        link.bytes_per_s = 0.001
        await far.view("none")  # what is read now is the last for hours
        with pytest.raises(RedisTimeoutError):
            await asyncio.wait_for(far.push(job), 10)
        assert (await near.counts()).length == 0


async def test_a_worker_goes_on_while_a_big_result_is_on_its_way(valkey: Server) -> None:
    """Its other jobs are claimed, run and finished, and its lease on the big one stands."""
    queue = queue_name()

    async def job(ctx: dict[str, Any], size: int) -> str:
        return "x" * size * int(ctx["job_try"])

    async with TcpProxy(valkey.port, BYTES_PER_S) as link:
        settings = WorkerSettings(
            redis_url=link.url, queue_name=queue, redis_timeout_s=TIMEOUT_S, lease_s=1, max_result_bytes=10_000_000
        )
        async with (
            opened(StreamSettings(redis_url=valkey.url, queue_name=queue)) as near,
            running(settings, [func(job, name="job")], max_jobs=4),
        ):
            big = await push(near, "job", f"[{2 * BIG_BYTES}]".encode())
            for _ in range(5):
                ended = await until_ended(near, await push(near, "job", b"[1]"))
                assert ended.result == b'"x"'
            view = await near.view(big)
            assert view is not None
            assert view.status == "processing"
            view = await until_ended(near, big)
            assert (view.status, view.attempts) == ("finished", 1)
