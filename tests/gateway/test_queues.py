"""Several queues behind one gateway: a push says which, and from then on the id does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from pydantic import ValidationError

from gateway.marks import mark_of
from gateway.settings import GatewaySettings
from tests.gateway.service import get, problem, samples, serving, status_of
from tests.workers.service import until
from tests.workers.webhooks.receiver import Receiver
from workers.stream import Finish, NewJob, Stream, StreamSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MORE = {"webhook_secrets": "a secret of the service itself", "webhook_allow": "127.0.0.1"}


@pytest.fixture
async def second(settings: StreamSettings, stream: Stream) -> AsyncIterator[Stream]:
    """Another queue on the same server, open and empty."""
    other = Stream(settings.model_copy(update={"queue_name": f"{settings.queue_name}-second"}))
    if keys := await other.redis.keys(f"{other.prefix}:*"):
        await other.redis.delete(*keys)
    await other.open()
    yield other
    await other.close()


@pytest.fixture
async def http(settings: StreamSettings, stream: Stream, second: Stream) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of a gateway with both."""
    queues = f"{settings.queue_name}, {second.settings.queue_name}"
    async with serving(settings, queues=queues, **MORE) as base, aiohttp.ClientSession(base) as http:
        yield http


async def push(http: aiohttp.ClientSession, path: str = "/push", **query: str) -> Any:
    async with http.post(path, params={"input": "x", **query}) as response:
        assert response.status in (200, 202), await response.text()
        return (await response.json())["id"]


async def end(stream: Stream, output: bytes = b'{"output":1}') -> str:
    [job] = await stream.claim("w", 1)
    assert await stream.finish("w", [Finish(job.id, job.attempt, "finished", output, 60_000)]) == [True]
    return job.id


async def test_a_push_says_the_queue_and_the_id_tells_it_from_then_on(
    http: aiohttp.ClientSession, stream: Stream, second: Stream
) -> None:
    name = second.settings.queue_name
    first_id, by_query, by_path = (
        await push(http), await push(http, queue=name), await push(http, f"/queues/{name}/push"),
    )  # fmt: skip
    assert {len(one) for one in (first_id, by_query, by_path)} == {32}
    assert ((await stream.counts()).waiting, (await second.counts()).waiting) == (1, 2)
    assert [await end(second, b'{"output":2}'), await end(second, b'{"output":3}'), await end(stream)] == [
        by_query, by_path, first_id,
    ]  # fmt: skip
    outputs = [(await get(http, f"/data/{one}"))["output"] for one in (first_id, by_query, by_path)]
    assert outputs == [1, 2, 3]
    assert await status_of(http.post(f"/cancel/{by_path}")) == 409


async def test_a_push_waits_for_its_own_queue_and_batches_have_one(http: aiohttp.ClientSession, second: Stream) -> None:
    name = second.settings.queue_name
    async with http.post("/batches", params={"queue": name}, json=[1, 2]) as response:
        assert response.status == 202, await response.text()
        batch = await response.json()
    assert [await end(second), await end(second)] == batch["jobs"]
    assert (await get(http, f"/batches/{batch['id']}?wait=10"))["counts"]["finished"] == 2
    waiting = asyncio.create_task(push(http, queue=name, wait="20"))
    await until(lambda: _waits(second))
    assert [await end(second)] == [await waiting]


async def _waits(stream: Stream) -> bool:
    return (await stream.counts()).waiting > 0


async def test_ids_from_before_there_were_several_queues_are_of_the_first(
    http: aiohttp.ClientSession, stream: Stream, second: Stream
) -> None:
    await stream.push(NewJob("0" * 32, b"[1]"))
    assert (await get(http, f"/status/{'0' * 32}"))["status"] == "queued"
    other = mark_of(second.settings.queue_name) + "0" * 24
    assert await status_of(http.get(f"/status/{other}")) == 404


async def test_what_names_no_queue_of_the_gateway_is_refused(http: aiohttp.ClientSession) -> None:
    for path in ("/push?input=x&queue=other", "/queues/other/push?input=x"):
        async with http.post(path) as response:
            assert await problem(response) == (404, "this gateway has no queue 'other' (QUEUES)")
    assert await status_of(http.get(f"/status/{'0' * 32}?queue=other")) == 400


async def test_metrics_and_webhooks_are_by_queue(http: aiohttp.ClientSession, stream: Stream, second: Stream) -> None:
    name = second.settings.queue_name
    receiver = Receiver()
    async with receiver.serving() as base:
        job_id = await push(http, queue=name, webhook=f"{base}/hook")
        await push(http)
        seen = await samples(http)
        await end(second)
        [got] = await receiver.until(1)
    assert got.message["data"]["id"] == job_id
    for queue in (stream.settings.queue_name, name):
        assert seen[f"leadtime_pushes_total['accepted', '{queue}']"] == 1
        assert seen[f"leadtime_jobs_waiting['{queue}']"] == 1


async def test_the_description_names_the_queues(http: aiohttp.ClientSession, second: Stream) -> None:
    document = await get(http, "/openapi.json")
    named = {
        (path, one["in"]): one["schema"]["enum"]
        for path, item in document["paths"].items()
        for operation in item.values()
        for one in operation.get("parameters", [])
        if one["name"] == "queue"
    }
    assert named.keys() >= {("/push", "query"), ("/queues/{queue}/push", "path"), ("/batches", "query")}
    assert not any("{id}" in path for path, _ in named)
    assert all(second.settings.queue_name in names for names in named.values())


@pytest.mark.parametrize("queues", ["a,a", "a b", "a,,b", "{a}", ","])
def test_queues_that_can_not_be_are_refused(queues: str) -> None:
    with pytest.raises(ValidationError):
        GatewaySettings(queues=queues)
