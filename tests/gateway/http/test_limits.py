"""What a stranger can send is limited."""

from __future__ import annotations

import asyncio
import io
import json
import ssl
from typing import TYPE_CHECKING

import aiohttp
import trustme

from gateway.__main__ import server_of
from gateway.http import protocol
from gateway.settings import GatewaySettings
from tests.gateway.service import Gateway, get, problem, push, status_of
from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import pytest

    from workers.stream import Stream, StreamSettings

JSON = {"Content-Type": "application/json"}
TOO_LARGE = (413, "the input is larger than 1000 bytes")


async def raw(port: int, data: bytes, *, patience_s: float = 20) -> bytes:
    """What comes back until the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        async with asyncio.timeout(patience_s):
            return await reader.read()
    finally:
        writer.close()


async def test_input_size(http: aiohttp.ClientSession, stream: Stream) -> None:
    for size, status in [(1000, 202), (1001, 413)]:
        text = "x" * (size - 2)
        assert await status_of(http.post("/push", data=json.dumps(text), headers=JSON)) == status
        assert await status_of(http.post("/push", params={"input": "x" * size})) == status
    assert await problem(await http.post("/push", data=io.BytesIO(b"x" * 20_000_000), headers=JSON)) == TOO_LARGE
    assert (await stream.counts()).waiting == 2
    assert await status_of(http.get("/healthz")) == 200


async def test_an_input_is_refused_while_it_is_read(http: aiohttp.ClientSession) -> None:
    refused = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b'"' + b"x" * 2000
        async with asyncio.timeout(20):
            await refused.wait()

    async with http.post("/push", data=endless(), headers=JSON) as response:
        assert await problem(response) == TOO_LARGE
        refused.set()


async def test_a_body_that_never_comes(settings: StreamSettings) -> None:
    async with Gateway(settings, BODY_TIMEOUT_S="0.2") as gateway:
        head = b"POST /push HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n1"
        answer = await raw(gateway.port, head)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"the body took longer than 0.2 s" in answer


async def test_a_body_that_breaks_off_pushes_nothing(gateway: Gateway, stream: Stream) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(b"POST /push HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n1")
    await writer.drain()
    writer.close()
    await push(gateway.http)
    assert (await stream.counts()).waiting == 1


async def test_a_head_that_is_too_long(gateway: Gateway) -> None:
    endless = b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 1_000_000
    assert (await raw(gateway.port, endless)).startswith(b"HTTP/1.1 431 ")
    answer = await raw(gateway.port, b"POST /push?input=" + b"x" * 1_000_000)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"application/problem+json" in answer
    assert await status_of(gateway.http.get("/healthz")) == 200


async def test_what_is_not_http(gateway: Gateway) -> None:
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


async def test_backlog(settings: StreamSettings, stream: Stream) -> None:
    async with Gateway(settings, MAX_BACKLOG="3") as gateway:
        http = gateway.http
        ids = [await push(http) for _ in range(3)]
        response = await http.post("/push?input=x")
        assert await problem(response) == (503, "the backlog is full")
        assert response.headers["Retry-After"]
        assert (await stream.counts()).waiting == 3
        assert await status_of(http.post(f"/cancel/{ids[0]}")) == 200
        await push(http)
        assert (await get(http, f"/status/{ids[1]}"))["status"] == "queued"


async def test_tls(settings: StreamSettings, tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    files: dict[str, str] = {"TLS_CERT_FILE": str(tmp_path / "cert.pem"), "TLS_KEY_FILE": str(tmp_path / "key.pem")}
    async with Gateway(settings, **files) as gateway, aiohttp.ClientSession(gateway.base) as http:
        async with http.post("/push?input=x", ssl=context) as response:
            assert response.status == 202
            job_id = (await response.json())["id"]
        async with http.get(f"/status/{job_id}", ssl=context) as response:
            assert (await response.json())["status"] == "queued"
