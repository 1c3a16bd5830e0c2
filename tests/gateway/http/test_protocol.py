"""What is no request yet is limited in size and time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.__main__ import server_of
from gateway.http import protocol
from gateway.settings import GatewaySettings
from tests.gateway.service import raw, status_of
from tests.servers import free_port

if TYPE_CHECKING:
    import pytest

    from tests.gateway.service import GatewayProcess
    from workers.stream import StreamSettings


async def test_a_head_that_is_too_long(gateway: GatewayProcess) -> None:
    endless = b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 1_000_000
    assert (await raw(gateway.port, endless)).startswith(b"HTTP/1.1 431 ")
    answer = await raw(gateway.port, b"POST /push?input=" + b"x" * 1_000_000)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"application/problem+json" in answer
    assert await status_of(gateway.http.get("/healthz")) == 200


async def test_what_is_not_http(gateway: GatewayProcess) -> None:
    for nonsense in (
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
    ):
        answer = await raw(gateway.port, nonsense)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"application/problem+json" in answer
    assert await status_of(gateway.http.get("/healthz")) == 200


async def test_a_head_that_never_comes(settings: StreamSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_S", 0.2)
    port = free_port()
    gateway = GatewaySettings(redis_url=settings.redis_url, queue_name=settings.queue_name, host="127.0.0.1", port=port)
    server = server_of(gateway)
    serving = asyncio.create_task(server._serve())
    async with asyncio.timeout(20):
        while not server.started:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    for start in (b"", b"G", b"GET /healthz HTTP/1.1\r\nHo", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET"):
        answer = await raw(port, start)
        assert b"HTTP/1.1 408 " in answer
    # A connection that is kept alive is closed without a word.
    assert (await raw(port, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")).count(b"HTTP/1.1") == 1
    server.should_exit = True
    await serving
