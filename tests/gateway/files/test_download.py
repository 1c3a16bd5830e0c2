from __future__ import annotations

import contextlib
import urllib.parse
import uuid
from typing import TYPE_CHECKING

import aiohttp
import pytest
from pydantic import SecretStr

from tests.gateway.service import problem, push, serving
from workers.objects.store import ObjectStore
from workers.settings import ObjectSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.objects import S3Server
    from workers.stream import Stream, StreamSettings

KEYS = ["key-0123456789abcdef", "key-fedcba9876543210"]
TEXT = b"0123456789"


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(ObjectSettings(object_store=f"file:{tmp_path}"))


@pytest.fixture
async def http(settings: StreamSettings, tmp_path: Path, stream: Stream) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of a gateway with a store."""
    async with serving(settings, object_store=f"file:{tmp_path}") as base, aiohttp.ClientSession(base) as http:
        yield http


async def stored(http: aiohttp.ClientSession, store: ObjectStore, queue: str, name: str, body: bytes = TEXT) -> str:
    """The path of an object of a new job."""
    job_id = await push(http)
    await store.put(f"{queue}/{job_id}/{name}", body)
    return f"/files/{job_id}/{name}"


async def test_a_file_has_its_type_and_is_saved_under_its_own_name(
    http: aiohttp.ClientSession, store: ObjectStore, settings: StreamSettings
) -> None:
    path = await stored(http, store, settings.queue_name, "01234567-cat.html", b"<p>" * 200_000)

    async with http.get(path) as response:
        assert (response.status, await response.read()) == (200, b"<p>" * 200_000)
        headers = response.headers
    async with http.head(path) as response:
        assert (response.status, response.headers["Content-Length"]) == (200, "600000")
        assert await response.read() == b""

    assert headers["Content-Type"] == "text/html"
    assert headers["Content-Disposition"] == 'attachment; filename="cat.html"'
    assert headers["Content-Length"] == "600000"
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("asked", "status", "body", "told"),
    [
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=7-99", 206, b"789", "bytes 7-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=-99", 206, TEXT, "bytes 0-9/10"),
        ("bytes=0-1,3-4", 200, TEXT, None),
        ("bytes=4-2", 200, TEXT, None),
        ("bytes=-", 200, TEXT, None),
        ("lines=1-2", 200, TEXT, None),
    ],
)
async def test_a_part_of_a_file(
    http: aiohttp.ClientSession,
    store: ObjectStore,
    settings: StreamSettings,
    asked: str,
    status: int,
    body: bytes,
    told: str | None,
) -> None:
    path = await stored(http, store, settings.queue_name, "a.txt")

    async with http.get(path, headers={"Range": asked}) as response:
        assert (response.status, await response.read()) == (status, body)
        assert response.headers.get("Content-Range") == told


async def test_a_part_beyond_the_end_is_refused(
    http: aiohttp.ClientSession, store: ObjectStore, settings: StreamSettings
) -> None:
    path = await stored(http, store, settings.queue_name, "a.txt")

    for asked in ("bytes=10-", "bytes=-0"):
        async with http.get(path, headers={"Range": asked}) as response:
            assert await problem(response) == (416, "the range is outside of the file's 10 bytes")
            assert response.headers["Content-Range"] == "bytes */10"


async def test_a_file_that_the_client_has_is_not_sent_again(
    http: aiohttp.ClientSession, store: ObjectStore, settings: StreamSettings
) -> None:
    path = await stored(http, store, settings.queue_name, "a.txt")
    async with http.get(path) as response:
        etag = response.headers["ETag"]

    for headers, status in (
        ({"If-None-Match": etag}, 304),
        ({"If-None-Match": f'"x", W/{etag}'}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": '"x"'}, 200),
        ({"If-Range": etag, "Range": "bytes=0-1"}, 206),
        ({"If-Range": '"x"', "Range": "bytes=0-1"}, 200),
    ):
        async with http.get(path, headers=headers) as response:
            assert response.status == status
            assert response.headers["ETag"] == etag


async def test_what_is_not_there_is_not_found(
    http: aiohttp.ClientSession, store: ObjectStore, settings: StreamSettings
) -> None:
    path = await stored(http, store, settings.queue_name, "a.txt")
    job = path.rpartition("/")[0]

    for other in (f"{job}/b.txt", f"{job}/%2e%2e", f"{job}/a%2Fb", f"{job}/.a", f"/files/{'0' * 32}/a.txt"):
        async with http.get(other) as response:
            assert response.status == 404


async def test_only_the_owner_of_a_job_gets_its_files(
    settings: StreamSettings, stream: Stream, tmp_path: Path, store: ObjectStore
) -> None:
    more = {"object_store": f"file:{tmp_path}", "api_keys": SecretStr(",".join(KEYS))}
    mine, other = ({"Authorization": f"Bearer {key}"} for key in KEYS)
    async with serving(settings, **more) as base, aiohttp.ClientSession(base) as http:
        job_id = await push(http, **mine)
        await store.put(f"{settings.queue_name}/{job_id}/a.txt", TEXT)

        for headers, status in ((mine, 200), (other, 404), ({}, 401)):
            async with http.get(f"/files/{job_id}/a.txt", headers=headers) as response:
                assert response.status == status


async def test_without_a_store_there_are_no_files(settings: StreamSettings, stream: Stream) -> None:
    async with (
        serving(settings) as base,
        aiohttp.ClientSession(base) as http,
        http.get(f"/files/{await push(http)}/a.txt") as response,
    ):
        assert await problem(response) == (404, "file not found")


async def test_a_store_that_fails_in_the_middle_ends_the_connection_early(
    http: aiohttp.ClientSession,
    store: ObjectStore,
    settings: StreamSettings,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = await stored(http, store, settings.queue_name, "a.txt", bytes(50_000_000))

    async with http.get(path) as response:
        await response.content.readexactly(1)
        await store.delete_all("")
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
    async with http.get("/healthz") as response:
        assert response.status == 200
    [line] = [record for record in caplog.records if record.name == "gateway.files.download"]
    assert line.getMessage() == f"{path} breaks off: there is no such object"
    assert [record for record in caplog.records if record.exc_info] == []


async def test_a_store_that_is_away_is_told_with_503(settings: StreamSettings, stream: Stream, tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        base = await stack.enter_async_context(serving(settings, object_store=f"file:{tmp_path / 'objects'}"))
        http = await stack.enter_async_context(aiohttp.ClientSession(base))
        job_id = await push(http)
        (tmp_path / "objects" / settings.queue_name).write_bytes(b"")  # where a folder should be

        async with http.get(f"/files/{job_id}/a.txt") as response:
            assert await problem(response) == (503, "the object store can't be reached")
            assert response.headers["Retry-After"] == "2"


@pytest.mark.slow
@pytest.mark.parametrize("presign_s", [60, 0])
async def test_a_bucket_sends_the_file_itself_unless_it_must_not(
    settings: StreamSettings, stream: Stream, s3: S3Server, monkeypatch: pytest.MonkeyPatch, presign_s: int
) -> None:
    for name, value in s3.variables.items():
        monkeypatch.setenv(name, value)
    url = f"{s3.url}/{uuid.uuid4().hex}"
    store = ObjectStore(ObjectSettings(object_store=url))
    async with serving(settings, object_store=url, presign_s=presign_s) as base, aiohttp.ClientSession(base) as http:
        path = await stored(http, store, settings.queue_name, "01234567-a.txt", bytes(600_000))

        async with http.get(path, allow_redirects=False) as response:
            assert response.status == (307 if presign_s else 200)
            location = response.headers.get("Location", "")
        async with http.get(path, headers={"Range": "bytes=0-3"}) as response:
            assert (response.status, await response.read()) == (206, bytes(4))

        assert bool(presign_s) == (urllib.parse.urlsplit(location).netloc in s3.endpoint and location != "")


async def test_a_deleted_jobs_files_are_deleted(
    http: aiohttp.ClientSession, store: ObjectStore, settings: StreamSettings
) -> None:
    path = await stored(http, store, settings.queue_name, "01234567-cat.png")
    job_id = path.split("/")[2]

    async with http.delete(f"/jobs/{job_id}") as response:
        assert response.status == 204

    assert [view.key async for page in store.pages(f"{settings.queue_name}/{job_id}/") for view in page] == []
