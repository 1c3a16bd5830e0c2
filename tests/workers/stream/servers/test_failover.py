"""Another server takes over behind a fixed address, while the old one lives on as a replica."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from redis.exceptions import ReadOnlyError, ResponseError

from tests.proxy import TcpProxy
from tests.queues import opened
from tests.servers import Server, free_port
from tests.workers.stream.actions import accept, command, finish, listening, new, until
from workers.stream import Outage, StreamSettings, is_unavailable, reason

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from workers.stream import Stream

HEALED_S = 20.0  # it takes a second or two


async def demote(stream: Stream) -> None:
    """Makes a replica of the server that the pool is connected to; its primary is not there."""
    await stream.redis.execute_command("REPLICAOF", "127.0.0.1", free_port())


@pytest.fixture
def second(tmp_path: Path) -> Callable[[Server], Server]:
    """Starts another server of the same kind."""

    def start(first: Server) -> Server:
        folder = tmp_path / "second"
        folder.mkdir()
        return Server(first.binary, folder)

    return start


async def test_calls_go_on_and_messages_arrive_once_another_server_has_taken_over(
    start_server: Callable[..., Server], second: Callable[[Server], Server]
) -> None:
    first = start_server()
    other = second(first)
    other.start()
    woken = asyncio.Event()
    try:
        async with TcpProxy(first.port) as address:
            settings = StreamSettings(redis_url=address.url)
            async with opened(settings) as stream, opened(StreamSettings(redis_url=first.url)) as direct:
                await stream.register("w", 60, {"state": "idle"})
                assert await stream.claim("w", 1) == []
                subscription = stream.wakeups("w", woken.set, lambda _: None)
                async with listening(subscription):
                    # The connections stay open, and lead to what is a replica now.
                    address.target = other.port
                    await demote(direct)
                    async with asyncio.timeout(HEALED_S):
                        while True:
                            try:
                                await stream.sweep()
                                await stream.register("w", 60, {"state": "idle"})
                                assert await stream.claim("w", 1) == []  # on a connection of its own
                                break
                            except ReadOnlyError:
                                await asyncio.sleep(0.05)
                    await until(subscription.subscribed.is_set)
                    woken.clear()
                    await accept(stream)
                    await asyncio.wait_for(woken.wait(), HEALED_S)
                    await finish(stream, "w", await stream.claim("w", 1))
            assert address.opened < 40, "it connects anew a few times, not with each call"
    finally:
        other.kill()


async def test_a_server_that_is_promoted_again_is_used_again(start_server: Callable[..., Server]) -> None:
    async with opened(StreamSettings(redis_url=start_server().url)) as stream:
        await demote(stream)
        for _ in range(3):
            with pytest.raises(ReadOnlyError):
                await stream.push(new())
        await stream.redis.execute_command("REPLICAOF", "NO", "ONE")
        assert (await stream.push(new())).outcome == "accepted"


async def test_what_was_sent_before_a_reply_of_a_replica_is_answered(start_server: Callable[..., Server]) -> None:
    """The connection is given up after the replies that are still to come."""
    async with opened(StreamSettings(redis_url=start_server().url)) as stream:
        ids = await accept(stream, 5)
        await asyncio.sleep(0.6)  # only a connection of some age is given up
        await demote(stream)
        refused = asyncio.ensure_future(stream.push(new()))
        views = await asyncio.gather(*(stream.view(job_id) for job_id in ids), return_exceptions=True)
        assert [view.status for view in views if not isinstance(view, BaseException) and view] == ["queued"] * 5
        with pytest.raises(ReadOnlyError):
            await refused


async def test_a_replica_tells_a_scaler_nothing(start_server: Callable[..., Server]) -> None:
    """Its figures are old; a scaler holds instead."""
    async with opened(StreamSettings(redis_url=start_server().url)) as stream:
        assert (await stream.demand()).waiting == 0
        await demote(stream)
        with pytest.raises(ReadOnlyError):
            await stream.demand()


async def test_readiness_is_proven_by_a_write(start_server: Callable[..., Server]) -> None:
    async with opened(StreamSettings(redis_url=start_server().url)) as stream:
        await stream.prove_write()
        assert await command(stream, "EXISTS", f"{stream.prefix}:proof") == 1
        await demote(stream)
        with pytest.raises(ReadOnlyError):
            await stream.prove_write()


async def test_the_reason_of_an_outage_is_said_in_a_sentence(start_server: Callable[..., Server]) -> None:
    async def check(sentence: str) -> asyncio.Task[float]:
        outage = Outage(lambda: None)
        sweeping = asyncio.create_task(outage.call(stream.sweep, "sweeping"))
        await until(lambda: not outage.available)
        assert outage.reason == sentence
        with pytest.raises(ResponseError) as caught:
            await stream.push(new())
        assert is_unavailable(caught.value)
        assert reason(caught.value) == sentence
        return sweeping

    async with opened(StreamSettings(redis_url=start_server().url)) as stream:
        await stream.redis.config_set("min-replicas-to-write", 1)
        first = await check("the job stream's server has too few replicas to take writes")
        await stream.redis.config_set("min-replicas-to-write", 0)
        await asyncio.wait_for(first, HEALED_S)

        await demote(stream)
        second = await check("the job stream's server is a replica, which takes no writes")
        await stream.redis.execute_command("REPLICAOF", "NO", "ONE")
        await asyncio.wait_for(second, HEALED_S)
