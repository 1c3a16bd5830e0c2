"""Pushes are checked against what the workers have published of their models, whoever has written that."""

from __future__ import annotations

import contextlib
import hashlib
import socket
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
import pytest

from gateway.http.errors import Problem
from gateway.schemas import live
from gateway.schemas.live import LIVE_S, ModelSchemas
from tests.gateway.service import get, samples, serving
from tests.queues import opened, queue_name
from tests.workers.service import WorkerProcess, until, until_ended
from workers.settings import WorkerSettings
from workers.stream import ANY_SCHEMA, SchemaView, Status, Stream
from workers.stream.link.pipeline import Lane
from workers.wire.limits import MAX_SCHEMA_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.servers import Server

SHAPES = "tests.workers.model_host.calls.shapes"
INTEGER = {"accepts": {"type": "integer", "title": "an integer"}, "input": {"type": "integer"}}
TEXT = {"accepts": {"type": "string", "title": "a text"}, "input": {"type": "string"}}
MEMBERS = {
    "accepts": {
        "type": "object",
        "title": "an object",
        "properties": {
            "text": {"type": "string", "title": "a text"},
            "n/~": {"type": "integer", "title": "an integer"},
        },
        "required": ["text"],
        "additionalProperties": False,
    }
}


@pytest.fixture
async def stream(valkey: Server) -> AsyncIterator[Stream]:
    """A queue of the test's own."""
    async with opened(WorkerSettings(redis_url=valkey.url, queue_name=queue_name(), lease_s=60)) as stream:
        yield stream


@pytest.fixture
async def http(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of the queue's gateway, which has just started, and follows the schemas closely."""
    monkeypatch.setattr(live, "REFRESH_S", 0.05)
    async with (
        serving(stream.settings, push_functions="predict, other") as base,
        aiohttp.ClientSession(base) as client,
    ):
        yield client


async def publish(stream: Stream, schema: Any) -> str:
    """Publishes a schema as a worker would; its digest."""
    text = schema if isinstance(schema, bytes) else orjson.dumps(schema)
    digest = hashlib.sha256(text).hexdigest()[:32]
    await stream.publish_schema(digest, text)
    return digest


async def set_seen(stream: Stream, digest: str, ago_s: float) -> None:
    """Makes it as if the schema had been renewed last so long ago."""
    seconds, _ = await stream.redis.time()
    seen_ms = str(round((seconds - ago_s) * 1000))
    await stream.redis.call(Lane.CALLS, "HSET", f"{stream.prefix}:schemas", f"{digest}:seen", seen_ms)


async def push(http: aiohttp.ClientSession, value: Any, path: str = "/push", **headers: str) -> tuple[int, Any]:
    """Status and document of the answer to a push."""
    async with http.post(path, json=value, headers=headers) as response:
        return response.status, await response.json(content_type=None)


async def until_refused(http: aiohttp.ClientSession, value: Any) -> Any:
    """The problem document, once the gateway refuses this input."""
    found: dict[str, Any] = {}

    async def is_refused() -> bool:
        status, found["problem"] = await push(http, value)
        return status == 422

    await until(is_refused)
    return found["problem"]


async def until_taken(http: aiohttp.ClientSession, value: Any) -> None:
    """Returns once the gateway takes this input."""

    async def is_taken() -> bool:
        return (await push(http, value))[0] == 202

    await until(is_taken)


async def test_an_input_that_does_not_fit_is_refused_with_its_faults(
    http: aiohttp.ClientSession, stream: Stream
) -> None:
    assert (await push(http, {"no": "worker has been there"}))[0] == 202

    await publish(stream, MEMBERS)
    problem = await until_refused(http, {"n/~": "x", "more": 1})

    assert problem == {
        "type": "about:blank",
        "title": "Unprocessable Entity",
        "status": 422,
        "detail": "the input does not fit what the model takes",
        "errors": [
            {"pointer": "/text", "detail": "this member is missing"},
            {"pointer": "/n~1~0", "detail": "an integer is wanted, and this is a text"},
            {"pointer": "/more", "detail": "there is no such member"},
        ],
    }
    assert (await push(http, {"text": "a"}))[0] == 202
    assert (await samples(http))["leadtime_pushes_total['invalid']"] >= 1


async def test_every_way_to_push_an_input_is_checked_and_no_other_function(
    http: aiohttp.ClientSession, stream: Stream
) -> None:
    await publish(stream, INTEGER)
    await until_refused(http, "x")

    async with http.post("/push?input=x") as response:
        assert response.status == 422
    assert (await push(http, {"args": ["x"]}, "/push/predict"))[0] == 422
    assert (await push(http, {"kwargs": {"input": "x"}}, "/push/predict"))[0] == 422
    assert (await push(http, {"args": [7]}, "/push/predict"))[0] == 202
    assert (await push(http, {"args": ["x"]}, "/push/other"))[0] == 202


async def test_an_invalid_push_does_not_use_up_its_idempotency_key(http: aiohttp.ClientSession, stream: Stream) -> None:
    await publish(stream, INTEGER)
    await until_refused(http, "x")

    assert (await push(http, "x", **{"Idempotency-Key": "key-1"}))[0] == 422
    status, first = await push(http, 7, **{"Idempotency-Key": "key-1"})

    assert status == 202
    assert await push(http, 7, **{"Idempotency-Key": "key-1"}) == (202, first)


async def test_during_a_rollout_what_either_release_takes_is_taken(http: aiohttp.ClientSession, stream: Stream) -> None:
    old = await publish(stream, INTEGER)
    await until_refused(http, "x")
    await publish(stream, TEXT)
    await until_taken(http, "x")
    assert (await push(http, 7))[0] == 202
    assert (await push(http, []))[0] == 422

    await set_seen(stream, old, LIVE_S + 60)
    await until_refused(http, 7)
    assert (await push(http, "x"))[0] == 202


async def test_beside_a_model_that_takes_anything_nothing_is_checked(
    http: aiohttp.ClientSession, stream: Stream
) -> None:
    await publish(stream, INTEGER)
    await until_refused(http, "x")

    assert not (await stream.register("of-a-later-release", 60, {"schema": ANY_SCHEMA})).wants_schema

    await until_taken(http, "x")


async def test_without_workers_nothing_is_checked_and_the_last_schema_still_describes_the_api(
    http: aiohttp.ClientSession, stream: Stream
) -> None:
    digest = await publish(stream, INTEGER)
    await until_refused(http, "x")

    await set_seen(stream, digest, LIVE_S + 60)

    await until_taken(http, "x")
    schemas = (await get(http, "/openapi.json"))["components"]["schemas"]
    assert schemas["PredictInput"] == {"type": "integer", "not": {"const": ""}}


HOSTILE: list[Any] = [
    b"no JSON", b"[]", b"", b"\xff", b"[" * 2000, {"accepts": []}, {"accepts": {"type": "nothing"}},
    {"accepts": {"$ref": "#"}}, {"accepts": {"not": {}}}, {"accepts": {"properties": 1}},
    {"accepts": {"pattern": "(?<=a)b"}}, {"accepts": {"pattern": "a{1000}{1000}"}},
    {"accepts": False, "input": []}, {"accepts": False, "definitions": {"a b": {}}},
    {"accepts": False, "input": {"$ref": "#/components/schemas/Job"}},
    {"accepts": {"enum": ["x" * MAX_SCHEMA_BYTES]}},
]  # fmt: skip


@pytest.mark.parametrize("schema", HOSTILE, ids=lambda schema: str(schema)[:40])
def test_a_schema_that_can_not_be_used_is_ignored(schema: Any, caplog: pytest.LogCaptureFixture) -> None:
    text = schema if isinstance(schema, bytes) else orjson.dumps(schema)
    schemas = ModelSchemas(Stream(WorkerSettings(queue_name="never-connected")))
    usable = SchemaView("usable", 0, 0, orjson.dumps(INTEGER))
    schemas.update([usable])
    with pytest.raises(Problem):
        schemas.check("x")

    schemas.update([usable, SchemaView("by-hand", 0, 0, text)])

    schemas.check("x")
    [record] = caplog.records
    assert record.message.startswith("the schema by-hand of a model is ignored: ")
    schemas.update([usable])
    with pytest.raises(Problem):
        schemas.check("x")


async def test_the_gateway_lives_with_schemas_that_were_written_by_hand(
    http: aiohttp.ClientSession, stream: Stream
) -> None:
    await publish(stream, INTEGER)
    await until_refused(http, "x")

    for number, schema in enumerate(HOSTILE):
        text = schema if isinstance(schema, bytes) else orjson.dumps(schema)
        await stream.redis.call(Lane.CALLS, "HSET", f"{stream.prefix}:schemas", f"by-hand-{number}", text)
        await set_seen(stream, f"by-hand-{number}", 0)

    await until_taken(http, "x")
    assert (await get(http, "/openapi.json"))["openapi"] == "3.1.0"


async def test_a_schema_never_makes_the_gateway_fetch_another(http: aiohttp.ClientSession, stream: Stream) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as other:
        other.setblocking(False)
        await publish(stream, INTEGER)
        await until_refused(http, "x")
        url = f"http://127.0.0.1:{other.getsockname()[1]}/schema"
        for schema in ({"$ref": url}, {"$schema": url}, {"$dynamicRef": url}, {"properties": {"a": {"$ref": url}}}):
            await publish(stream, {"accepts": schema})

        await until_taken(http, "x")

        with pytest.raises(BlockingIOError):
            other.accept()


async def test_a_pattern_takes_no_longer_for_an_input_that_is_made_for_it(
    http: aiohttp.ClientSession, stream: Stream
) -> None:
    schema = {"type": "string", "title": "a text", "pattern": "^(a+)+$"}
    await publish(stream, {"accepts": schema})
    await until_refused(http, 7)

    problem = await until_refused(http, "a" * 100_000 + "!")

    assert problem["errors"] == [{"pointer": "", "detail": "it must match ^(a+)+$"}]
    assert (await push(http, "a" * 100_000))[0] == 202


async def test_of_many_faults_the_first_ten_are_told_and_long_ones_are_cut(
    http: aiohttp.ClientSession, stream: Stream
) -> None:
    name = "n" * 10_000
    of_numbers = {"type": "array", "items": {"type": "number", "title": "a number"}}
    only = {"enum": ["e" * 1000]}
    await publish(stream, {"accepts": {"type": "object", "properties": {"many": of_numbers, name: only}}})

    problem = await until_refused(http, {"many": ["x"] * 200_000, name: 1})
    assert [fault["pointer"] for fault in problem["errors"]] == [f"/many/{index}" for index in range(10)]

    problem = await until_refused(http, {name: 1})
    assert len(orjson.dumps(problem)) < 1000


async def test_a_model_in_a_worker_is_checked_and_described_as_its_annotations_say(
    http: aiohttp.ClientSession, stream: Stream, tmp_path: Path
) -> None:
    """What fits the schema, but not the validator, is refused by the worker."""
    settings = WorkerSettings(redis_url=stream.settings.redis_url, queue_name=stream.settings.queue_name, lease_s=60)
    with WorkerProcess(tmp_path, settings, MODEL=f"{SHAPES}:TakesTyped") as worker:
        problem = await until_refused(http, {"box": {"size": 0}})
        assert problem["errors"] == [
            {"pointer": "/box/corner", "detail": "this member is missing"},
            {"pointer": "/box/size", "detail": "it must be at least 1"},
        ]

        status, document = await push(http, {"box": {"corner": {"x": "1"}, "size": 2}}, "/push?wait=20")
        assert (status, document["area"]) == (200, 4)
        status, document = await push(http, {"box": {"corner": {"x": 1}, "size": 13}}, "/push?wait=20")
        assert (status, document["status"], document["error"]["type"]) == (200, Status.FAILED, "InvalidInput")

        api = await get(http, "/openapi.json")
        schemas = api["components"]["schemas"]
        assert api["paths"]["/push"]["post"]["requestBody"]["content"]["application/json"]["schema"] == {
            "$ref": "#/components/schemas/PredictInput"
        }
        assert schemas["PredictInput"]["properties"]["box"] == {"$ref": "#/components/schemas/Model.Lucky"}
        assert schemas["Model.Lucky"]["properties"]["corner"] == {"$ref": "#/components/schemas/Model.Corner"}
        assert schemas["Result"]["properties"]["area"]["type"] == "integer"
        assert await worker.stopped() == 0


async def test_a_model_without_annotations_publishes_nothing(stream: Stream, tmp_path: Path) -> None:
    settings = WorkerSettings(redis_url=stream.settings.redis_url, queue_name=stream.settings.queue_name, lease_s=60)
    with WorkerProcess(tmp_path, settings, MODEL="tests.workers.models:Scripted") as worker:
        await worker.says("ready")

        assert await stream.schemas() == []
        assert not await stream.redis.exists(f"{stream.prefix}:schemas")
        assert await worker.stopped() == 0


@pytest.mark.parametrize(
    ("model", "warning"),
    [
        ("TakesUndescribed", "the input is not described in /openapi.json, as pydantic can't ("),
        ("TakesHuge", f"bytes of JSON, and only {MAX_SCHEMA_BYTES} are published"),
    ],
)
async def test_what_can_not_be_described_is_told_in_a_sentence_and_the_worker_goes_on(
    http: aiohttp.ClientSession, stream: Stream, tmp_path: Path, model: str, warning: str
) -> None:
    settings = WorkerSettings(redis_url=stream.settings.redis_url, queue_name=stream.settings.queue_name, lease_s=60)
    with WorkerProcess(tmp_path, settings, MODEL=f"{SHAPES}:{model}") as worker:
        await worker.says("WARNING", warning)
        await worker.says("ready")

        status, document = await push(http, "blue")
        assert status == 202
        view = await until_ended(stream, document["id"])
        assert view.error
        assert view.error["type"] == "InvalidInput"
        assert await worker.stopped() == 0


async def test_a_schema_that_the_server_has_lost_is_published_again(stream: Stream, tmp_path: Path) -> None:
    settings = WorkerSettings(redis_url=stream.settings.redis_url, queue_name=stream.settings.queue_name, lease_s=1)
    with WorkerProcess(tmp_path, settings, MODEL=f"{SHAPES}:TakesInteger") as worker:
        await worker.says("ready")
        published = [view.text for view in await stream.schemas()]
        await stream.redis.delete(f"{stream.prefix}:schemas")

        async def is_back() -> bool:
            return [view.text for view in await stream.schemas()] == published

        await until(is_back)
        assert orjson.loads(published[0])["input"] == {"type": "integer"}
        assert await worker.stopped() == 0
