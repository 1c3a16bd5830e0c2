"""What is no request yet is limited in size and time."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.gateway.http.connection.wire import HEALTHZ
from tests.gateway.service import GatewayProcess, raw, status_of

if TYPE_CHECKING:
    from workers.stream import StreamSettings


async def test_a_head_that_is_too_long(gateway: GatewayProcess) -> None:
    endless = b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 1_000_000
    assert (await raw(gateway.port, endless)).startswith(b"HTTP/1.1 431 ")
    answer = await raw(gateway.port, b"POST /push?input=" + b"x" * 1_000_000)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"application/problem+json" in answer
    assert await status_of(gateway.http.get("/healthz")) == 200


async def test_a_refusal_has_the_requests_id_if_that_has_arrived(gateway: GatewayProcess) -> None:
    head = b"GET /healthz HTTP/1.1\r\nX-Request-ID: mine\r\nX: " + b"x" * 1_000_000
    assert b"\r\nx-request-id: mine\r\n" in await raw(gateway.port, head)
    for start in (b"nonsense\r\n\r\n", b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 1_000_000):
        assert re.search(rb"\r\nx-request-id: [0-9a-f]{16}\r\n", await raw(gateway.port, start))


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


async def test_a_request_names_one_host(gateway: GatewayProcess) -> None:
    for head, status in {
        b"GET /healthz HTTP/1.1\r\n\r\n": 400,
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n": 400,
        b"GET /healthz HTTP/1.0\r\n\r\n": 200,
        b"GET /healthz HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n": 200,
        b"GET /healthz HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n": 400,
    }.items():
        answer = await raw(gateway.port, HEALTHZ + head)
        assert re.findall(rb"HTTP/1.1 (\d+) ", answer) == [b"200", b"%d" % status], head
    assert b"HTTP/1.1 wants one" in await raw(gateway.port, b"POST /push?input=a HTTP/1.1\r\n\r\n")


async def test_a_head_that_never_comes(settings: StreamSettings) -> None:
    async with GatewayProcess(settings, HEAD_TIMEOUT_S="0.2", KEEP_ALIVE_S="0.5") as gateway:
        for start in (b"", b"G", b"\r\n", b"GET /healthz HTTP/1.1\r\nHo", HEALTHZ + b"GET"):
            assert b"HTTP/1.1 408 " in await raw(gateway.port, start)
        # A connection that is kept alive is closed without a word.
        assert (await raw(gateway.port, HEALTHZ)).count(b"HTTP/1.1") == 1
