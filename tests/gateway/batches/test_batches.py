"""Batches on a real gateway process and a real server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from tests.gateway.service import PATIENCE_S, GatewayProcess, get, problem
from workers.stream import Finish, Stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp

    from workers.stream import StreamSettings

LINES = {"Content-Type": "application/x-ndjson"}
EVENTS = {"Accept": "text/event-stream"}


async def pushed(http: aiohttp.ClientSession, inputs: list[Any], query: str = "", **headers: str) -> dict[str, Any]:
    """The answer to a batch that is accepted."""
    async with http.post(f"/batches{query}", json=inputs, headers=headers) as response:
        assert response.status == 202, await response.text()
        document: dict[str, Any] = await response.json()
        assert response.headers["Location"] == f"/batches/{document['id']}"
        return document


async def end(stream: Stream, count: int, status: Any = "finished", body: bytes = b'{"a":1.50}') -> None:
    """Ends the next jobs."""
    jobs = await stream.claim("w", count)
    assert await stream.finish("w", [Finish(job.id, job.attempt, status, body, 60_000) for job in jobs])


async def lines(http: aiohttp.ClientSession, path: str) -> list[Any]:
    async with http.get(path) as response:
        assert (response.status, response.content_type) == (200, "application/x-ndjson")
        return [orjson.loads(line) for line in (await response.read()).splitlines()]


async def test_a_batchs_way(http: aiohttp.ClientSession, stream: Stream) -> None:
    document = await pushed(http, [1, {"text": "two"}, None], "?tag=a&ttl=60")
    batch_id, jobs = document["id"], document["jobs"]
    assert (document["count"], jobs[1]) == (3, f"{batch_id}00000001")
    assert (await get(http, f"/status/{jobs[2]}"))["tag"] == "a"
    claimed = await stream.claim("w", 2)
    assert [(job.id, job.args) for job in claimed] == [(jobs[0], b"[1]"), (jobs[1], b'[{"text": "two"}]')]

    error = b'{"type":"E","message":"m"}'
    ends = [(claimed[0], "finished", b'{"a":\n1.50}'), (claimed[1], "failed", error)]
    await stream.finish("w", [Finish(job.id, 1, status, body, 60_000) for job, status, body in ends])  # type: ignore[arg-type]
    status = await get(http, f"/batches/{batch_id}")
    assert (status["count"], status["ended"]) == (3, False)
    counts = {"scheduled": 0, "queued": 1, "processing": 0, "finished": 1, "failed": 1, "cancelled": 0, "gone": 0}
    assert status["counts"] == counts
    assert await lines(http, f"/batches/{batch_id}/results") == [
        {"id": jobs[0], "status": "finished", "result": {"a": 1.5}},
        {"id": jobs[1], "status": "failed", "error": {"type": "E", "message": "m"}},
        {"id": jobs[2], "status": "queued"},
    ]
    async with http.post(f"/batches/{batch_id}/cancel") as response:
        assert await response.json() == {"id": batch_id, "cancelled": 1}
    assert (await get(http, f"/batches/{batch_id}"))["ended"] is True
    await stream.redis.delete(f"{stream.prefix}:job:{jobs[0]}")
    assert (await lines(http, f"/batches/{batch_id}/results"))[0] == {"id": jobs[0], "status": "gone"}


async def test_a_wait_is_for_the_end_of_all(http: aiohttp.ClientSession, stream: Stream) -> None:
    batch_id = (await pushed(http, [*range(20)]))["id"]
    assert (await get(http, f"/batches/{batch_id}?wait=0.05"))["ended"] is False
    wait = asyncio.create_task(get(http, f"/batches/{batch_id}?wait={PATIENCE_S}"))
    for _ in range(20):
        assert not wait.done()
        await end(stream, 1)
    assert (await wait)["counts"]["finished"] == 20


async def test_lines_of_a_large_batch_are_received_in_parts(http: aiohttp.ClientSession, stream: Stream) -> None:
    body = b"".join(b'{"number": %d}\r\n' % number for number in range(3000))
    async with http.post("/batches", data=body, headers=LINES) as response:
        jobs = (await response.json())["jobs"]
    claimed = []
    while more := await stream.claim("w", 1000):
        claimed += more
    assert [job.id for job in claimed] == jobs
    assert claimed[2999].args == b'[{"number": 2999}]', "as it was pushed"
    assert not await stream.redis.keys(f"{stream.prefix}:staged:*")


async def events_of(response: aiohttp.ClientResponse) -> AsyncIterator[dict[str, str]]:
    """Server-sent events."""
    event: dict[str, str] = {}
    async for raw in response.content:
        name, _, value = raw.decode().rstrip("\n").partition(": ")
        if name:
            event[name] = value
        elif event:
            yield event
            event = {}


async def test_results_come_as_the_jobs_end_and_go_on_after_a_cut(http: aiohttp.ClientSession, stream: Stream) -> None:
    document = await pushed(http, [0, 1, 2])
    jobs, path = document["jobs"], f"/batches/{document['id']}/results"
    claimed = await stream.claim("w", 3)
    large = b'"' + b"x" * 100_000 + b'"'

    async def finish(place: int, body: bytes) -> None:
        assert await stream.finish("w", [Finish(claimed[place].id, 1, "finished", body, 60_000)]) == [True]

    await finish(2, b"2")
    async with asyncio.timeout(PATIENCE_S), http.get(path, headers=EVENTS) as response:
        events = events_of(response)
        first = await anext(events)
        assert orjson.loads(first["data"]) == {"id": jobs[2], "status": "finished", "result": 2}
        await asyncio.sleep(0.002)  # the next one ends in another millisecond
        await finish(0, large)
        second = await anext(events)
        assert orjson.loads(second["data"])["result"] == "x" * 100_000
    await asyncio.sleep(0.002)
    await finish(1, b"1")
    async with (
        asyncio.timeout(PATIENCE_S),
        http.get(path, headers={**EVENTS, "Last-Event-ID": second["id"]}) as response,
    ):
        rest = [event async for event in events_of(response)]
    assert [event["event"] for event in rest] == ["job", "end"]
    assert orjson.loads(rest[0]["data"])["id"] == jobs[1]
    assert orjson.loads(rest[1]["data"])["finished"] == 3


async def test_a_batch_is_pushed_once_under_its_idempotency_key(http: aiohttp.ClientSession, stream: Stream) -> None:
    headers = {"Idempotency-Key": "k"}
    first = await pushed(http, [{"a": 1, "b": 2}, 2], **headers)
    async with http.post("/batches", data=b'{"b":2,"a":1}\n2', headers={**headers, **LINES}) as response:
        assert (await response.json()) == first
    for inputs, query in (([{"a": 1, "b": 2}, 3], ""), ([{"a": 1, "b": 2}, 2], "?ttl=5")):
        async with http.post(f"/batches{query}", json=inputs, headers=headers) as response:
            assert response.status == 422
    assert (await stream.counts()).waiting == 2


@pytest.mark.parametrize(
    ("body", "headers", "status", "index"),
    [
        (b"[1, 2,, 3]", {}, 400, 2),
        (b'[1, ""]', {}, 400, 1),
        (b"[1, nope]", {}, 400, 1),
        (b"[]", {}, 400, None),
        (b"{}", {}, 400, None),
        (b"[1", {}, 400, None),
        (b"[1] 2", {}, 400, None),
        (b"", LINES, 400, None),
        (b"1\n{\n", LINES, 400, 1),
        (b"\xef\xbb\xbf1\n", LINES, 400, None),
        (b'[1, "' + b"x" * 1000 + b'"]', {}, 413, 1),
        (b"1", {"Content-Type": "text/plain"}, 415, None),
        (b"1", {**LINES, "Content-Encoding": "gzip"}, 415, None),
    ],
)
async def test_what_is_wrong_is_named_and_nothing_is_accepted(
    http: aiohttp.ClientSession, stream: Stream, body: bytes, headers: dict[str, str], status: int, index: int | None
) -> None:
    async with http.post("/batches", data=body, headers={"Content-Type": "application/json", **headers}) as response:
        document = await response.json()
    assert (document["status"], document.get("index")) == (status, index), document
    assert (await stream.counts()).outstanding == 0


async def test_a_batch_has_bounds_and_belongs_to_its_key(settings: StreamSettings, stream: Stream) -> None:
    keys = ["key-0123456789abcdef", "key-fedcba9876543210"]
    ours, others = ({"Authorization": f"Bearer {key}"} for key in keys)
    small = {"API_KEYS": ",".join(keys), "MAX_BATCH_JOBS": "2000", "MAX_BATCH_BYTES": "60000", "MAX_BACKLOG": "1999"}
    async with GatewayProcess(settings, **small) as gateway:
        http = gateway.http
        for body, status in (
            (b"1\n" * 2001, 413),
            (b" " * 60_001, 413),
            (b"1\n" * 1500 + b"nope", 400),
            (b"1\n" * 2000, 503),
        ):
            async with http.post("/batches", data=body, headers={**LINES, **ours}) as response:
                assert (await problem(response))[0] == status
        assert not await stream.redis.keys(f"{stream.prefix}:staged:*"), "what had come was forgotten"
        assert (await stream.counts()).outstanding == 0

        batch_id = (await pushed(http, [1], **ours))["id"]
        for method, path in (("GET", ""), ("GET", "/results"), ("POST", "/cancel")):
            for headers, status in ((ours, 200), (others, 404), ({}, 401)):
                async with http.request(method, f"/batches/{batch_id}{path}", headers=headers) as response:
                    assert response.status == status
        async with http.get("/batches/none", headers=ours) as response:
            assert response.status == 404
