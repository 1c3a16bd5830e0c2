"""The client while gateways are killed, refuse, or are away, and while connections are cut."""

from __future__ import annotations

import asyncio
import hashlib
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

import orjson
import pytest
from aiohttp import web

from gateway.client import AsyncClient, GatewayUnavailable, LimitReached, ServerFault
from tests.gateway.client.answering import CuttingProxy, answering, claimed, finish
from tests.gateway.service import GatewayProcess, serving
from tests.servers import free_port
from tests.serving import serving as serving_routes
from workers.stream.events import Telling

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.client import ToldEvent
    from workers.stream import Stream, StreamSettings


async def test_a_gateway_that_is_killed_while_clients_wait_loses_them_nothing(
    stream: Stream, settings: StreamSettings
) -> None:
    async with GatewayProcess(settings) as gateway, AsyncClient(gateway.base) as client:
        job = await client.submit("hello")
        seen: list[ToldEvent] = []

        async def follow() -> None:
            seen.extend([event async for event in job.events()])

        async with asyncio.TaskGroup() as group:
            result = group.create_task(job.result())
            group.create_task(follow())
            [held] = await claimed(stream)
            await stream.tell("w", [Telling(held.id, held.attempt, 1, [("partial", b'"first"')])])
            gateway.process.kill()
            await asyncio.to_thread(gateway.process.reap)
            await stream.tell("w", [Telling(held.id, held.attempt, 2, [("partial", b'"second"')])])
            gateway.start()
            await finish(stream, held, {"output": "HELLO"})

        assert result.result()["output"] == "HELLO"
        shown = [(event.kind, event.value) for event in seen[:-1]]
        assert shown == [("begin", 1), ("partial", "first"), ("partial", "second")]
        assert (seen[-1].kind, seen[-1].value["output"]) == ("end", "HELLO")


async def test_events_go_on_behind_the_last_one_that_came_before_a_cut(
    gateway: GatewayProcess, client: AsyncClient, stream: Stream
) -> None:
    job = await client.submit("hello")
    [held] = await claimed(stream)
    values = [("partial", b'"%d"' % n) for n in range(50)]
    await stream.tell("w", [Telling(held.id, held.attempt, 1, values)])
    await finish(stream, held, {"output": "HELLO"})
    proxy = CuttingProxy(gateway.port, [500, 1000, 0, 1500])
    async with proxy.serving() as base, AsyncClient(base) as other:
        events = [event async for event in other.job(job.id).events()]

    assert [event.value for event in events if event.kind == "partial"] == [str(n) for n in range(50)]
    assert len({event.place for event in events}) == len(events)
    assert proxy.opened == 5


async def test_a_push_whose_answer_is_lost_becomes_one_job(
    gateway: GatewayProcess, client: AsyncClient, stream: Stream
) -> None:
    proxy = CuttingProxy(gateway.port, [0, 0])
    async with proxy.serving() as base, AsyncClient(base) as other:
        job = await other.submit("hello")

    assert proxy.opened == 3
    assert [status["id"] async for status in client.jobs()] == [job.id]


async def test_a_retry_whose_answer_is_lost_is_not_sent_again(
    gateway: GatewayProcess, client: AsyncClient, stream: Stream
) -> None:
    async with answering(stream, lambda _: ValueError("no")):
        job = await client.submit("hello")
        await job.wait()
    proxy = CuttingProxy(gateway.port, [0])
    async with proxy.serving() as base, AsyncClient(base) as other:
        with pytest.raises(GatewayUnavailable):
            await other.job(job.id).retry()

    assert proxy.opened == 1


async def test_a_full_backlog_is_waited_for(stream: Stream, settings: StreamSettings) -> None:
    async with serving(settings, max_backlog=1) as base:
        async with AsyncClient(base, patience_s=0) as hasty:
            await hasty.submit("first")
            with pytest.raises(GatewayUnavailable, match="backlog is full") as full:
                await hasty.submit("second")
        async with AsyncClient(base) as client:
            pushing = asyncio.create_task(client.run("second"))
            async with answering(stream):
                assert (await pushing)["output"] == "SECOND"

    assert full.value.was_answered
    assert full.value.retry_after_s == 2


async def test_a_limit_is_obeyed_if_it_ends_soon(stream: Stream, settings: StreamSettings, tmp_path: Path) -> None:
    keys, digest = tmp_path / "keys.yaml", hashlib.sha256(b"slow").hexdigest()
    limits = {"pushes_per_s": 1, "burst": 1}
    keys.write_bytes(orjson.dumps({"keys": [{"name": "slow", "sha256": [digest], "limits": limits}]}))
    async with serving(settings, api_keys_file=str(keys)) as base:
        began_s = time.monotonic()
        async with AsyncClient(base, "slow") as client:
            for n in range(2):
                await client.submit(n)
        async with AsyncClient(base, "slow", patience_s=0.5) as hasty:
            with pytest.raises(LimitReached) as reached:
                await hasty.submit(2)

    assert time.monotonic() - began_s >= 1
    assert (reached.value.limit, reached.value.status) == ("pushes_per_s", 429)


async def test_a_gateway_that_is_away_is_told_at_once_and_raised_when_the_patience_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    async with AsyncClient(url, patience_s=0.3) as client:
        with pytest.raises(GatewayUnavailable) as away:
            await client.submit("hello")

    assert str(away.value) == f"{url} can't be reached: Connection refused"
    assert not away.value.was_answered
    assert caplog.messages == [f"{away.value}; trying again for 0.3 s"]


async def test_a_proxy_may_say_when_to_come_back_as_a_date() -> None:
    later, answers = datetime.now(UTC) + timedelta(seconds=2), [503, 200]

    async def answer(_request: web.Request) -> web.Response:
        headers = {"Retry-After": format_datetime(later, usegmt=True)}
        return web.json_response({"status": "queued"}, status=answers.pop(0), headers=headers)

    async with serving_routes(web.get("/status/0", answer)) as base, AsyncClient(base) as client:
        assert (await client.job("0").status())["status"] == "queued"

    # The date has whole seconds.
    assert datetime.now(UTC) >= later - timedelta(seconds=1)


async def test_another_server_than_a_gateway_is_told() -> None:
    async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(page, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with AsyncClient(f"http://127.0.0.1:{port}") as client:
            with pytest.raises(ServerFault, match="no JSON"):
                await client.job("0").status()
