"""MAX_CONNECTIONS: who idles makes place, and who finds none is told so."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psutil

from tests.gateway.http.connection.wire import HEALTHZ, answers_in
from tests.gateway.service import GatewayProcess, get, push, samples

if TYPE_CHECKING:
    from workers.stream import StreamSettings

MOST = 20
PATIENCE_S = 30.0


async def test_idle_connections_make_place_for_new_ones(settings: StreamSettings) -> None:
    async with GatewayProcess(settings, MAX_CONNECTIONS=str(MOST)) as gateway:
        idle = [await asyncio.open_connection("127.0.0.1", gateway.port) for _ in range(2 * MOST)]
        assert (await get(gateway.http, "/healthz"))["status"] == "ok"
        async with asyncio.timeout(PATIENCE_S):
            assert await idle[0][0].read() == b""  # the one that has been idle for longest
            idle[-1][1].write(HEALTHZ)
            assert await idle[-1][0].readuntil(b"\r\n\r\n")
        assert (await samples(gateway.http))["leadtime_connections_cut_total['connections']"] >= MOST
        for _, writer in idle:
            writer.close()


async def test_where_all_are_busy_a_new_client_is_told(settings: StreamSettings) -> None:
    """Also one that sends its request before it reads: it gets an answer, not a reset."""
    async with GatewayProcess(settings, MAX_CONNECTIONS=str(MOST)) as gateway:
        job_id = await push(gateway.http)
        wait = b"GET /status/%b?wait=60 HTTP/1.1\r\nHost: x\r\n\r\n" % job_id.encode()
        busy = [await asyncio.open_connection("127.0.0.1", gateway.port) for _ in range(MOST - 1)]
        for _, writer in busy:
            writer.write(wait)
        async with asyncio.timeout(PATIENCE_S):
            while (await samples(gateway.http))["leadtime_waiters[]"] < MOST - 1:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            # The client's own connection is idle now and then: it makes place for one.
            new = []
            for _ in range(5):
                new.append(await asyncio.open_connection("127.0.0.1", gateway.port))
                new[-1][1].write(wait)
            refused = [answers_in(await reader.read())[0] for reader, _ in new[1:]]
        assert {(answer.status, answer.headers[b"retry-after"]) for answer in refused} == {(503, b"2")}
        assert b"too many connections" in refused[0].body
        for _, writer in (*busy, *new):
            writer.close()


async def test_connections_that_have_ended_leave_nothing_behind(settings: StreamSettings) -> None:
    """Not even until the garbage collector comes, which does so seldom."""

    async def used(count: int) -> None:
        for _ in range(count):
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(HEALTHZ)
            await reader.readuntil(b"\r\n\r\n")
            writer.close()

    async with GatewayProcess(settings) as gateway:
        process = psutil.Process(gateway.process.pid)
        await used(300)
        before = process.memory_info().rss
        await used(1_000)
        assert process.memory_info().rss - before < 4_000_000  # about 8 kB each would stay
