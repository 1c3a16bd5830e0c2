"""The bytes of an answer with server-sent events."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import orjson

from tests.gateway.service import PATIENCE_S, push, serving
from tests.sse import EVENTS
from workers.stream import Finish, Stream
from workers.wire.result import notes

if TYPE_CHECKING:
    import aiohttp

    from workers.stream import StreamSettings


async def test_the_end_is_one_line_also_if_the_input_was_pushed_in_several(
    http: aiohttp.ClientSession, stream: Stream
) -> None:
    body = b'{\r\n  "text":\r"a\\nb"\n\n}\n'
    async with http.post("/push", data=body, headers={"Content-Type": "application/json"}) as response:
        job_id = (await response.json())["id"]
    [job] = await stream.claim("w", 1)
    end = Finish(job.id, job.attempt, "finished", b"{}", 60_000, notes(b"", body))
    assert await stream.finish("w", [end]) == [True]

    async with asyncio.timeout(PATIENCE_S), http.get(f"/events/{job_id}", headers=EVENTS) as response:
        event, data, last = (await response.read()).splitlines()

    assert (event, last) == (b"event: end", b"")
    assert orjson.loads(data.removeprefix(b"data: "))["input"] == {"text": "a\nb"}


async def test_an_answer_to_head_is_the_head_alone_also_while_the_job_runs(
    settings: StreamSettings, http: aiohttp.ClientSession
) -> None:
    job_id = await push(http)
    async with serving(settings, max_waiters=1) as base, asyncio.timeout(PATIENCE_S):
        _, _, port = base.rpartition(":")
        reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
        head = f"HEAD /events/{job_id} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n"
        writer.write((head * 2).encode() + b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()

    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert answer.count(b"text/event-stream") == 2
    assert answer.endswith(b'{"status":"ok"}')
