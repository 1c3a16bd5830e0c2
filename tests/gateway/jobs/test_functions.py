"""Functions of one's own, pushed over HTTP to a worker that has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from arq.worker import func

from tests.gateway.service import GatewayProcess, get, problem
from tests.workers.service import running
from workers.settings import WorkerSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp

    from workers.stream import Stream, StreamSettings


TAKEN = "at, delay, keep, max_attempts, priority, tag, timeout, ttl, wait, webhook, webhook_events"
SHAPE = 'the body must be {"args": [...], "kwargs": {...}}, of which either may be left out'


async def describe(ctx: dict[str, Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
    return {"args": list(args), "kwargs": kwargs}


@pytest.fixture(scope="module")
def process(settings: StreamSettings) -> Any:
    """A gateway that pushes two functions, and not the model's."""
    gateway = GatewayProcess(settings, PUSH_FUNCTIONS="describe, other", MAX_INPUT_BYTES="1000")
    gateway.start()
    yield gateway
    assert gateway.stop() == 0


@pytest.fixture
async def http(process: GatewayProcess, stream: Stream) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of it."""
    async with process.client():
        yield process.http


async def test_a_function_gets_its_arguments_and_its_result_is_served(
    http: aiohttp.ClientSession, settings: StreamSettings
) -> None:
    worker = WorkerSettings(redis_url=settings.redis_url, queue_name=settings.queue_name, lease_s=60)
    body = {"args": [1, 2**70, [None]], "kwargs": {"name": "ß"}}
    async with running(worker, [func(describe, name="describe")]):
        async with http.post("/push/describe?wait=20", json=body) as response:
            document = await response.json()
        assert (response.status, document["args"], document["kwargs"]) == (200, body["args"], body["kwargs"])
        assert (await get(http, f"/data/{document['id']}"))["args"] == body["args"]
        async with http.post("/push/describe?wait=20") as response:
            document = await response.json()
        assert (document["args"], document["kwargs"]) == ([], {})


@pytest.mark.parametrize(
    ("path", "body", "answer"),
    [
        ("/push/predict", {"args": ["x"]}, (404, "this gateway pushes no function 'predict' (PUSH_FUNCTIONS)")),
        ("/push/os.system", {"args": ["x"]}, (404, "this gateway pushes no function 'os.system' (PUSH_FUNCTIONS)")),
        ("/push?input=x", None, (404, "this gateway pushes no function 'predict' (PUSH_FUNCTIONS)")),
        ("/push/describe", [1], (400, SHAPE)),
        ("/push/describe", {"arguments": []}, (400, SHAPE)),
        ("/push/describe", {"args": {}}, (400, "args must be an array and kwargs an object")),
        ("/push/describe", {"kwargs": []}, (400, "args must be an array and kwargs an object")),
        ("/push/describe", {"args": ["x" * 1000]}, (413, "the input is larger than 1000 bytes")),
        ("/push/describe?input=x", {}, (400, f"unknown query parameter: 'input'; taken here: {TAKEN}")),
    ],
)  # fmt: skip
async def test_what_may_not_be_pushed_is_refused(
    http: aiohttp.ClientSession, stream: Stream, path: str, body: Any, answer: tuple[int, str]
) -> None:
    async with http.post(path, json=body) if body is not None else http.post(path) as response:
        assert await problem(response) == answer
    assert (await stream.counts()).outstanding == 0


async def test_an_idempotency_key_stands_for_a_function_and_its_arguments(http: aiohttp.ClientSession) -> None:
    async def push(function: str, body: Any) -> tuple[int, Any]:
        async with http.post(f"/push/{function}", json=body, headers={"Idempotency-Key": "key-7"}) as response:
            return response.status, (await response.json()).get("id")

    first = await push("describe", {"args": [1], "kwargs": {"a": 1, "b": 2}})
    assert await push("describe", {"kwargs": {"b": 2, "a": 1}, "args": [1]}) == first
    assert (await push("other", {"args": [1], "kwargs": {"a": 1, "b": 2}}))[0] == 422
    assert (await push("describe", {"args": [1]}))[0] == 422


async def test_a_gateway_pushes_the_model_by_its_name_too(gateway: GatewayProcess, stream: Stream) -> None:
    """`predict` is the only function that may be pushed by default."""
    async with gateway.http.post("/push/predict", json={"args": ["hello"]}) as response:
        assert response.status == 202
    [job] = await stream.claim("w", 1)
    assert (job.function, job.args, job.kwargs) == ("predict", b'["hello"]', b"")
    async with gateway.http.post("/push/describe", json={"args": []}) as response:
        assert response.status == 404
