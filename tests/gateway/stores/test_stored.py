"""Large inputs and results, which are in the store. The worker's part is played by calls of the stream."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
import pytest

from tests.gateway.service import get, problem, push, serving
from tests.workers.service import WorkerProcess
from workers.objects.store import ObjectStore
from workers.settings import ObjectSettings, WorkerSettings
from workers.stream import Finish
from workers.wire.stored import StoredJson

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from workers.stream import Stream, StreamSettings

LARGE = {"text": "größe " * 10_000}
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(ObjectSettings(object_store=f"file:{tmp_path / 'objects'}"))


@pytest.fixture
async def http(settings: StreamSettings, tmp_path: Path, stream: Stream) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of a gateway that keeps 5,000 bytes of an input or a result in Redis."""
    more: dict[str, Any] = {"object_store": f"file:{tmp_path / 'objects'}", "inline_bytes": 5000}
    async with serving(settings, **more) as base, aiohttp.ClientSession(base) as http:
        yield http


async def names(store: ObjectStore) -> list[str]:
    return sorted([view.key.rpartition("-")[2] async for page in store.pages("") for view in page])


async def finished(stream: Stream, job_id: str, body: bytes, kept: bytes = b"") -> None:
    (job,) = await stream.claim("worker", 1)
    assert await stream.finish("worker", [Finish(job.id, job.attempt, "finished", body, 60_000, kept)]) == [True]
    assert job.id == job_id


async def test_a_large_input_and_result_pass_the_store_and_nobody_sees(
    http: aiohttp.ClientSession, stream: Stream, settings: StreamSettings, tmp_path: Path, store: ObjectStore
) -> None:
    own = WorkerSettings(redis_url=settings.redis_url, queue_name=settings.queue_name, lease_s=settings.lease_s)
    options = {"OBJECT_STORE": f"file:{tmp_path / 'objects'}", "INLINE_BYTES": "5000", "MAX_ATTEMPTS": "1"}
    with WorkerProcess(tmp_path, own, MODEL="tests.workers.models:Scripted", **options) as worker:
        async with http.post("/push?wait=30", json=["echo", LARGE]) as response:
            assert response.status == 200, await response.text()
            at_once = await response.json()
        document = await get(http, f"/data/{at_once['id']}")
        view = await stream.view(at_once["id"], with_result=True)
        async with http.post("/push?wait=30", json=["fail", "no"]) as response:
            small = await response.json()
        assert await worker.stopped() == 0

    assert document["text"] == at_once["text"] == LARGE["text"]
    assert document["input"] == at_once["input"] == ["echo", LARGE]
    assert small["status"] == "failed"
    assert view is not None
    assert view.result is not None
    assert max(len(view.result), len(view.notes)) < 200
    assert await names(store) == ["input.json", "result.json"]


async def test_no_byte_of_an_input_is_written_anew(
    http: aiohttp.ClientSession, stream: Stream, store: ObjectStore
) -> None:
    body = b'{"n": 1.50, "text" :"%b"}' % (b"x" * 6000)
    async with http.post("/push", data=io.BytesIO(body), headers=JSON) as response:
        job_id = (await response.json())["id"]
    (job,) = await stream.claim("worker", 1)

    stored = StoredJson.read(job.args[1:-1], job_id)

    assert stored is not None
    assert stored.size_bytes == len(body)
    [page] = [page async for page in store.pages("")]
    assert await store.read(page[0].key, len(body)) == body


async def test_a_job_that_has_not_finished_shows_what_was_pushed(
    http: aiohttp.ClientSession, stream: Stream, store: ObjectStore
) -> None:
    async with http.post("/push", json=LARGE) as response:
        job_id = (await response.json())["id"]
    small = await push(http, "small")

    assert await get(http, f"/inputs/{job_id}") == {"args": [LARGE]}
    assert await get(http, f"/inputs/{small}") == {"args": ["small"]}
    await store.delete_all("")
    assert (await problem(await http.get(f"/inputs/{job_id}")))[0] == 404


@pytest.mark.parametrize("call", [{"args": [LARGE]}, {"kwargs": {"input": LARGE}}])
async def test_a_call_of_the_models_function_is_as_a_push(
    http: aiohttp.ClientSession, stream: Stream, store: ObjectStore, call: dict[str, Any]
) -> None:
    for _ in range(2):
        async with http.post("/push/predict", json=call, headers={"Idempotency-Key": "key"}) as response:
            assert response.status == 202, await response.text()
            job_id = (await response.json())["id"]

    [job] = await stream.claim("worker", 2)

    assert (job.id, job.kwargs) == (job_id, b"")
    stored = StoredJson.read(job.args[1:-1], job_id)
    assert stored is not None
    assert await names(store) == ["input.json"]
    [page] = [page async for page in store.pages("")]
    assert orjson.loads(await store.read(page[0].key, stored.size_bytes)) == LARGE


async def test_a_push_that_is_not_accepted_leaves_nothing(http: aiohttp.ClientSession, store: ObjectStore) -> None:
    ids = []
    for text in ("a", "a", "b"):
        async with http.post("/push", json=text * 6000, headers={"Idempotency-Key": "key"}) as response:
            ids.append((response.status, (await response.json())["id"]) if response.status == 202 else response.status)

    assert ids[0] == ids[1]
    assert ids[2] == 422
    assert await names(store) == ["input.json"]


async def test_a_result_whose_object_is_gone_is_not_found(
    http: aiohttp.ClientSession, stream: Stream, store: ObjectStore
) -> None:
    job_id = await push(http)
    await finished(stream, job_id, StoredJson.of(job_id, "0-result.json", 9).reference)

    async with http.get(f"/data/{job_id}") as response:
        assert await problem(response) == (404, "job result not found")
    assert (await get(http, f"/status/{job_id}"))["status"] == "finished"


async def test_an_input_that_is_gone_is_null(http: aiohttp.ClientSession, stream: Stream, store: ObjectStore) -> None:
    job_id = await push(http)
    gone = StoredJson.of(job_id, "0-input.json", 9).reference
    await finished(stream, job_id, b'"done"', b'{"input":%b}' % gone)

    document = await get(http, f"/data/{job_id}")

    assert (document["output"], document["input"]) == ("done", None)


async def test_what_another_job_has_is_not_shown(
    http: aiohttp.ClientSession, stream: Stream, store: ObjectStore, settings: StreamSettings
) -> None:
    job_id, other = await push(http), "0" * 32
    await store.put(f"{settings.queue_name}/{other}/0-result.json", b'"secret"')
    reference = StoredJson.of(other, "0-result.json", 8).reference
    await finished(stream, job_id, reference, b'{"input":%b}' % reference)

    document = await get(http, f"/data/{job_id}")

    assert document["stored"] == f"/files/{other}/0-result.json"
    assert document["input"] == orjson.loads(reference)


async def test_a_store_that_is_away_is_told_with_503(
    http: aiohttp.ClientSession, stream: Stream, settings: StreamSettings, tmp_path: Path
) -> None:
    job_id = await push(http)
    await finished(stream, job_id, StoredJson.of(job_id, "0-result.json", 9).reference)
    (tmp_path / "objects" / settings.queue_name).write_bytes(b"")  # where a folder should be

    async with http.get(f"/data/{job_id}") as response:
        assert await problem(response) == (503, "the object store can't be reached")
    async with http.post("/push", json="x" * 6000) as response:
        assert await problem(response) == (503, "the object store can't be reached")
    assert (await stream.counts()).waiting == 0


async def test_a_batch_has_results_that_are_stored(
    http: aiohttp.ClientSession, stream: Stream, store: ObjectStore, settings: StreamSettings
) -> None:
    async with http.post("/batches", json=["one"]) as response:
        assert response.status == 202, await response.text()
        batch = (await response.json())["id"]
    (job,) = await stream.claim("worker", 1)
    body = orjson.dumps("x" * 6000)
    await store.put(f"{settings.queue_name}/{job.id}/0-result.json", body)
    reference = StoredJson.of(job.id, "0-result.json", len(body)).reference
    await stream.finish("worker", [Finish(job.id, 1, "finished", reference, 60_000)])

    async with http.get(f"/batches/{batch}/results") as response:
        line = orjson.loads(await response.read())

    assert (line["id"], line["result"]) == (job.id, "x" * 6000)
