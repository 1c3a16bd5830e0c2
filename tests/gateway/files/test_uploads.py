from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
import pytest
from pydantic import SecretStr
from yarl import URL

from tests.gateway.service import problem, serving
from workers.objects.store import ObjectStore
from workers.settings import ObjectSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.objects import S3Server
    from workers.stream import Stream, StreamSettings

KEYS = ["key-0123456789abcdef", "key-fedcba9876543210"]
MINE, OTHER = ({"Authorization": f"Bearer {key}"} for key in KEYS)


@pytest.fixture
async def http(settings: StreamSettings, tmp_path: Path, stream: Stream) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of a gateway with a store; files have 1,000 bytes."""
    more: dict[str, Any] = {"object_store": f"file:{tmp_path}", "api_keys": SecretStr(",".join(KEYS))}
    async with serving(settings, max_object_bytes=1000, **more) as base, aiohttp.ClientSession(base) as http:
        yield http


async def uploaded(http: aiohttp.ClientSession, body: bytes, name: str = "cat.png") -> dict[str, Any]:
    """What stands for the file in an input."""
    async with http.post("/uploads", params={"name": name}, headers=MINE) as response:
        assert response.status == 201, await response.text()
        told = await response.json()
    assert told["expires_s"] == 3600, "a path of the gateway is good for as long as the upload is kept"
    async with http.put(told["put"], data=body, headers=MINE) as response:
        assert response.status == 200, await response.text()
        assert await response.json() == {"file": told["file"], "size_bytes": len(body)}
    return dict(told["file"])


async def pushed_input(stream: Stream) -> Any:
    """The input of a job that waits."""
    [job] = await stream.claim("worker", 1)
    return orjson.loads(job.args)[0]


async def test_an_upload_goes_with_each_job_that_names_it(http: aiohttp.ClientSession, stream: Stream) -> None:
    file = await uploaded(http, b"picture", "die größe.png")
    urls = []
    for _ in range(2):
        async with http.post("/push", json={"pages": [file], "n": 1}, headers=MINE) as response:
            assert response.status == 202, await response.text()
        value = await pushed_input(stream)
        urls.append(value["pages"][0].pop("url"))
        about = {"name": "die-gr-e.png", "content_type": "image/png", "size_bytes": 7}
        assert value == {"pages": [about], "n": 1}

    assert urls[0] != urls[1]
    for url in urls:
        async with http.get(url, headers=MINE) as response:
            assert await response.read() == b"picture"


async def test_the_same_upload_under_one_idempotency_key_is_one_job(http: aiohttp.ClientSession) -> None:
    file, headers = await uploaded(http, b"picture"), {**MINE, "Idempotency-Key": "key"}
    ids = []
    for _ in range(2):
        async with http.post("/push", json=file, headers=headers) as response:
            ids.append((await response.json())["id"])
    assert ids[0] == ids[1]


async def test_an_upload_is_its_owners(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    file = await uploaded(http, b"picture")

    async with http.post("/push", json={"image": file}, headers=OTHER) as response:
        status, detail = await problem(response)
        assert (status, detail.endswith("is not there (any more)")) == (400, True)
    async with http.post("/uploads") as response:
        assert response.status == 401
    async with http.put(file["url"], data=b"x") as response:
        assert response.status == 401
    # Under another key it is another upload.
    async with http.put(file["url"], data=b"other", headers=OTHER) as response:
        assert response.status == 200
    async with http.post("/push", json=file, headers=MINE) as response:
        assert response.status == 202
    assert sorted(path.stat().st_size for path in tmp_path.rglob("*.png")) == [5, 7, 7]


async def test_what_is_refused(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    file = await uploaded(http, bytes(600))

    async with http.put(file["url"], data=bytes(1001), headers=MINE) as response:
        assert await problem(response) == (413, "the file can't be taken: it is larger than 1000 bytes")
    async with http.put(file["url"], data=b"x", headers={**MINE, "Content-Encoding": "gzip"}) as response:
        assert (await problem(response))[0] == 415
    async with http.put(file["url"], data=b"x", headers={**MINE, "Content-Range": "bytes 0-0/2"}) as response:
        assert await problem(response) == (400, "a part of a file is not taken: send it whole, without Content-Range")
    async with http.put("/uploads/cat.png", data=b"x", headers=MINE) as response:
        assert await problem(response) == (404, "there is no such upload")
    async with http.post("/push", json=[file, file], headers=MINE) as response:
        assert await problem(response) == (413, "the files are larger than 1000 bytes")
    async with http.post("/push", json={"url": f"/uploads/{'0' * 32}-a.png"}, headers=MINE) as response:
        assert (await problem(response))[0] == 400

    assert [path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()] == [600]


async def test_other_words_that_look_like_an_upload_stay(http: aiohttp.ClientSession, stream: Stream) -> None:
    value = {"url": "/uploads/mine", "text": "/uploads/"}
    async with http.post("/push", json=value, headers=MINE) as response:
        assert response.status == 202
    assert await pushed_input(stream) == value


async def test_without_a_store_there_are_no_uploads(settings: StreamSettings, stream: Stream) -> None:
    async with serving(settings) as base, aiohttp.ClientSession(base) as http, http.post("/uploads") as response:
        assert await problem(response) == (404, "this gateway has no object store (OBJECT_STORE)")


@pytest.mark.slow
async def test_a_bucket_takes_the_file_itself(
    settings: StreamSettings, stream: Stream, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.variables.items():
        monkeypatch.setenv(name, value)
    url = f"{s3.url}/{uuid.uuid4().hex}"
    async with serving(settings, object_store=url, uploads_per_hour=1) as base, aiohttp.ClientSession(base) as http:
        async with http.post("/uploads?name=a.txt") as response:
            told = await response.json()
        assert told["put"].startswith(s3.endpoint)
        assert told["expires_s"] == 900
        async with http.post("/uploads?name=b.txt") as response:
            assert await problem(response) == (429, "one key may upload 1 files an hour")
        async with http.put(URL(told["put"], encoded=True), data=b"hello") as response:
            assert response.status == 200
        async with http.post("/push", json={"file": told["file"]}) as response:
            assert response.status == 202, await response.text()
        value = await pushed_input(stream)
        async with http.get(value["file"]["url"]) as response:
            assert await response.read() == b"hello"
    store = ObjectStore(ObjectSettings(object_store=url))
    assert sum([len(page) async for page in store.pages("")]) == 2
    assert await asyncio.wait_for(store.delete_all(""), 30) == 2


@pytest.fixture
async def limited(settings: StreamSettings, tmp_path: Path, stream: Stream) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of a gateway that takes four files of a key an hour, of 2,000 bytes in all."""
    more: dict[str, Any] = {"object_store": f"file:{tmp_path}", "api_keys": SecretStr(",".join(KEYS))}
    more |= {"max_object_bytes": 1000, "uploads_per_hour": 4, "upload_bytes_per_hour": 2000}
    async with serving(settings, **more) as base, aiohttp.ClientSession(base) as http:
        yield http


async def in_pieces() -> AsyncIterator[bytes]:
    yield b"picture"


async def test_a_key_may_upload_so_many_bytes_an_hour_whether_or_not_a_push_takes_them(
    limited: aiohttp.ClientSession,
) -> None:
    await uploaded(limited, bytes(700))
    path = (await uploaded(limited, bytes(700)))["url"]

    async with limited.put(path, data=bytes(700), headers=MINE) as response:
        assert await problem(response) == (429, "one key may upload 2000 bytes an hour")
        assert (await response.json())["limit"] == "upload_bytes_per_hour"
        assert 0 < int(response.headers["Retry-After"]) <= 3600
        assert response.headers["RateLimit-Policy"] == '"upload_bytes_per_hour";q=2000;w=3600;qu="content-bytes"'
    async with limited.put(path, data=in_pieces(), headers=MINE) as response:
        assert (await problem(response))[0] == 429, "without a length, it may be as large as any"
    async with limited.put(path, data=bytes(700), headers=OTHER) as response:
        assert response.status == 200, "another key has its own"
    await uploaded(limited, bytes(500))


async def test_a_key_may_upload_so_many_files_an_hour(limited: aiohttp.ClientSession) -> None:
    for _ in range(4):
        await uploaded(limited, b"x")
    async with limited.put(f"/uploads/{'0' * 32}-a.png", data=b"x", headers=MINE) as response:
        assert await problem(response) == (429, "one key may upload 4 files an hour")


async def test_bytes_that_did_not_come_are_not_counted(limited: aiohttp.ClientSession, stream: Stream) -> None:
    path = (await uploaded(limited, b"x"))["url"]
    async with limited.put(path, data=bytes(1001), headers=MINE) as response:
        assert response.status == 413
    async with limited.put(path, data=in_pieces(), headers=MINE) as response:
        assert response.status == 200
    await uploaded(limited, bytes(1000))
