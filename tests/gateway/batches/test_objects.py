"""Batches whose inputs go to the object store: large ones, and those that name uploads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
import pytest
from pydantic import SecretStr

from tests.gateway.service import serving
from workers.objects.store import ObjectStore
from workers.settings import ObjectSettings
from workers.wire.stored import StoredJson

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from workers.stream import Stream, StreamSettings

KEYS = ["key-0123456789abcdef", "key-fedcba9876543210"]
MINE, OTHER = ({"Authorization": f"Bearer {key}"} for key in KEYS)
LARGE = "x" * 6000


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(ObjectSettings(object_store=f"file:{tmp_path / 'objects'}"))


@pytest.fixture
async def http(settings: StreamSettings, tmp_path: Path, stream: Stream) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of a gateway that keeps 5,000 bytes of an input in Redis; batches have 50 inputs."""
    more: dict[str, Any] = {"object_store": f"file:{tmp_path / 'objects'}", "api_keys": SecretStr(",".join(KEYS))}
    async with (
        serving(settings, inline_bytes=5000, max_object_bytes=1000, max_batch_jobs=50, **more) as base,
        aiohttp.ClientSession(base, headers=MINE) as http,
    ):
        yield http


async def uploaded(http: aiohttp.ClientSession, body: bytes) -> dict[str, Any]:
    """What stands for the file in an input."""
    async with http.post("/uploads?name=cat.png") as response:
        told = await response.json()
    async with http.put(told["put"], data=body) as response:
        assert response.status == 200, await response.text()
    return dict(told["file"])


async def answer(http: aiohttp.ClientSession, inputs: list[Any], **more: str) -> tuple[int, Any]:
    async with http.post("/batches", json=inputs, headers=more) as response:
        return response.status, await response.json()


async def objects(store: ObjectStore) -> list[str]:
    """The keys of all objects of jobs."""
    keys = [view.key async for page in store.pages("") for view in page]
    return sorted(key for key in keys if "/upload-" not in key)


async def test_large_inputs_are_in_the_store_in_their_order(
    http: aiohttp.ClientSession, stream: Stream, store: ObjectStore
) -> None:
    inputs = [[number, LARGE] if number % 2 else number for number in range(30)]
    status, batch = await answer(http, inputs)
    assert status == 202, batch

    jobs = await stream.claim("worker", 30)

    assert [job.id for job in jobs] == batch["jobs"]
    for job, value in zip(jobs, inputs, strict=True):
        body = job.args[1:-1]
        if stored := StoredJson.read(body, job.id):
            body = await store.read(f"{stream.prefix.rpartition(':')[2].strip('{}')}/{job.id}/{stored.name}", 10_000)
        assert orjson.loads(body) == value
        assert (stored is not None) == isinstance(value, list)


async def test_an_upload_goes_with_each_job_that_names_it(
    http: aiohttp.ClientSession, stream: Stream, store: ObjectStore
) -> None:
    file = await uploaded(http, b"picture")
    status, batch = await answer(
        http, [{"image": file, "n": 1}, "text", {"image": file, "n": 3}, {"image": file, "text": LARGE}]
    )
    assert status == 202, batch

    first, text, third, large = await stream.claim("worker", 4)

    assert text.args == b'["text"]'
    assert StoredJson.read(large.args[1:-1], large.id)
    for job in (first, third):
        image = orjson.loads(job.args)[0]["image"]
        assert (image["name"], image["content_type"], image["size_bytes"]) == ("cat.png", "image/png", 7)
        async with http.get(image["url"]) as response:
            assert await response.read() == b"picture"
    assert len(await objects(store)) == 4


@pytest.mark.parametrize(
    ("inputs", "headers", "refused"),
    [
        ([LARGE, "", LARGE], {}, (400, 1)),
        ([LARGE, {"url": f"/uploads/{'0' * 32}-a.png"}, 1], {}, (400, 1)),
        (["mine", LARGE, "mine"], OTHER, (400, 0)),
        ([1, ["mine", "mine", "mine"]], {}, (413, 1)),
        ([LARGE, *["mine"] * 49, 1], {}, (413, None)),
        ([["mine", "mine"]] * 26, {}, (413, None)),
    ],
)
async def test_a_batch_that_is_refused_leaves_no_object(
    http: aiohttp.ClientSession,
    stream: Stream,
    store: ObjectStore,
    inputs: list[Any],
    headers: dict[str, str],
    refused: tuple[int, int | None],
) -> None:
    file = await uploaded(http, bytes(400))

    def named(value: Any) -> Any:
        return [named(item) for item in value] if isinstance(value, list) else file if value == "mine" else value

    status, document = await answer(http, [named(value) for value in inputs], **headers)

    assert (status, document.get("index")) == refused, document
    assert await objects(store) == []
    assert (await stream.counts()).outstanding == 0


async def test_a_repeated_batch_stores_nothing_twice(
    http: aiohttp.ClientSession, stream: Stream, store: ObjectStore
) -> None:
    inputs, key = [LARGE, {"image": await uploaded(http, b"picture")}], {"Idempotency-Key": "key"}
    first = await answer(http, inputs, **key)
    kept = await objects(store)

    assert await answer(http, inputs, **key) == first
    assert (await answer(http, [LARGE, 1], **key))[0] == 422
    assert await objects(store) == kept


async def test_a_store_that_is_away_is_told_with_503(
    http: aiohttp.ClientSession, stream: Stream, settings: StreamSettings, tmp_path: Path
) -> None:
    (tmp_path / "objects" / settings.queue_name).write_bytes(b"")  # where a folder should be

    status, document = await answer(http, [1, LARGE, 2])

    assert (status, document["detail"]) == (503, "the object store can't be reached")
    assert (await stream.counts()).outstanding == 0
