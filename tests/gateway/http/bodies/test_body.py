"""Inputs: what is taken, and what is refused."""

from __future__ import annotations

import asyncio
import io
import json
from typing import TYPE_CHECKING

import orjson
import pytest
from yarl import URL

from gateway.http.bodies.body import EMPTY_INPUT
from tests.gateway.service import GatewayProcess, problem, push, raw, status_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp

    from workers.stream import Stream, StreamSettings

JSON = {"Content-Type": "application/json"}
TOO_LARGE = (413, "the input is larger than 1000 bytes")


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
    async with GatewayProcess(settings, BODY_TIMEOUT_S="0.2") as gateway:
        head = b"POST /push HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n1"
        answer = await raw(gateway.port, head)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"the body took longer than 0.2 s" in answer


async def test_a_body_that_breaks_off_pushes_nothing(gateway: GatewayProcess, stream: Stream) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(b"POST /push HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n1")
    await writer.drain()
    writer.close()
    await push(gateway.http)
    assert (await stream.counts()).waiting == 1


@pytest.mark.parametrize("value", [None, 0, -1.5, False, [], {}, "ä\U0001f600\u0000", {"a": [{"b": "c"}]}, " "])
async def test_any_json_value_is_an_input(http: aiohttp.ClientSession, stream: Stream, value: object) -> None:
    async with http.post("/push", data=orjson.dumps(value), headers={"Content-Type": "application/json"}) as response:
        assert response.status == 202
    [job] = await stream.claim("w", 1)
    assert orjson.loads(job.args) == [value]


@pytest.mark.parametrize("text", ["ä\U0001f600", "a&b=c#d?e/f", " ", "\n\t", "%", "\ufffd", '{"a": 1}'])
async def test_a_text_arrives_as_it_was(http: aiohttp.ClientSession, stream: Stream, text: str) -> None:
    await push(http, text)
    [job] = await stream.claim("w", 1)
    assert orjson.loads(job.args) == [text]


async def test_bad_input_gets_a_problem_document(http: aiohttp.ClientSession) -> None:
    assert await problem(await http.post("/push")) == (400, EMPTY_INPUT)
    assert await problem(await http.post("/push?input=")) == (400, EMPTY_INPUT)
    assert await problem(await http.post("/push", json="")) == (400, EMPTY_INPUT)
    for body in (b"{", b"NaN", b"1,2", b'"\xff"', b'"\\ud800"', b"[" * 900):
        assert (await problem(await http.post("/push", data=body, headers=JSON)))[0] == 400
    assert (await problem(await http.post("/push", data=b"x", headers={"Content-Type": "text/plain"})))[0] == 415
    assert (await problem(await http.post("/push", data={"input": "x"})))[0] == 415
    assert (await problem(await http.post("/push?input=x", json=1)))[0] == 400
    assert await status_of(http.get("/healthz")) == 200


async def test_a_query_that_is_no_utf8_is_refused(http: aiohttp.ClientSession, gateway: GatewayProcess) -> None:
    url = URL(f"{gateway.base}/push?input=%FF", encoded=True)
    assert await problem(await http.post(url)) == (400, "the input is not valid UTF-8")
