"""Pushes with files, up to the stream and the store: no worker is there."""

from __future__ import annotations

import asyncio
import contextlib
import io
import socket
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
import pytest

from tests.gateway.service import problem, serving
from workers.objects.store import ObjectStore
from workers.settings import ObjectSettings
from workers.stream import Claimed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from workers.stream import Stream, StreamSettings

PNG = {"Content-Type": "image/png"}


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(ObjectSettings(object_store=f"file:{tmp_path}"))


def serving_files(
    settings: StreamSettings, folder: Path, body_timeout_s: float = 30
) -> contextlib.AbstractAsyncContextManager[str]:
    more = {"object_store": f"file:{folder}", "max_object_bytes": 8_000_000, "max_input_bytes": 1000}
    return serving(settings, body_timeout_s=body_timeout_s, **more)


@pytest.fixture
async def base(settings: StreamSettings, tmp_path: Path, stream: Stream) -> AsyncIterator[str]:
    """A gateway with a store; of files it takes 8 MB, of fields 1,000 bytes."""
    async with serving_files(settings, tmp_path) as base:
        yield base


@pytest.fixture
async def http(base: str) -> AsyncIterator[aiohttp.ClientSession]:
    """Its client."""
    async with aiohttp.ClientSession(base) as http:
        yield http


async def objects(store: ObjectStore) -> dict[str, bytes]:
    """All that is stored, by the names that the files had."""
    found = [view async for page in store.pages("") for view in page]
    return {view.key.rpartition("/")[2].partition("-")[2]: await store.read(view.key, 10**8) for view in found}


async def pushed_input(stream: Stream) -> Any:
    """The input of the one job that waits."""
    (job,) = await stream.claim("worker", 10)
    assert isinstance(job, Claimed)
    (value,) = orjson.loads(job.args)
    return value


async def until_empty(store: ObjectStore) -> None:
    async with asyncio.timeout(20):
        while await objects(store):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_a_body_that_is_no_json_is_a_file(
    http: aiohttp.ClientSession, store: ObjectStore, stream: Stream
) -> None:
    async with http.post("/push", data=io.BytesIO(b"x" * 7_000_000), headers=PNG) as response:
        assert response.status == 202, await response.text()
        job_id = (await response.json())["id"]

    value = await pushed_input(stream)
    async with http.get(value["url"]) as response:
        assert await response.read() == b"x" * 7_000_000

    name = value.pop("url").removeprefix(f"/files/{job_id}/")
    assert name.endswith("-input.png")
    assert value == {"content_type": "image/png", "size_bytes": 7_000_000, "name": "input.png"}


async def test_a_form_has_fields_and_files(http: aiohttp.ClientSession, store: ObjectStore, stream: Stream) -> None:
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("image", b"one", filename="größe.png", content_type="image/png")
    form.add_field("size", "30")
    form.add_field("box", '{"x": [1]}', content_type="application/json")
    form.add_field("page", b"two" * 100_000, filename="a.txt", content_type="text/plain")
    form.add_field("page", b"", filename="b.txt", content_type="text/plain")
    async with http.post("/push", data=form) as response:
        assert response.status == 202, await response.text()

    value = await pushed_input(stream)

    assert (value["size"], value["box"]) == ("30", {"x": [1]})
    assert (value["image"]["name"], value["image"]["size_bytes"]) == ("größe.png", 3)
    assert [page["size_bytes"] for page in value["page"]] == [300_000, 0]
    assert await objects(store) == {"gr-e.png": b"one", "a.txt": b"two" * 100_000, "b.txt": b""}


@pytest.mark.parametrize(
    ("body", "headers", "status", "why"),
    [
        (b"x" * 8_000_001, PNG, 413, "the files are larger than 8000000 bytes"),
        (b"--x\r\nbroken", {"Content-Type": "multipart/form-data; boundary=b"}, 400, "the body is no multipart/form"),
        (b"--b--\r\n", {"Content-Type": "multipart/form-data; boundary=b"}, 400, "no field and no file"),
        (b"x", {"Content-Type": "multipart/form-data"}, 400, "names no boundary"),
        (
            b'--b\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\nhalf',
            {"Content-Type": "multipart/form-data; boundary=b"},
            400,
            "the form ends before its last part does",
        ),
        (
            b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n",
            {"Content-Type": "multipart/form-data; boundary=b"},
            400,
            "a part of the form has no name",
        ),
        (
            b'--b\r\nContent-Disposition: form-data; name="gr\xf6\xdfe"\r\n\r\nx\r\n--b--\r\n',
            {"Content-Type": "multipart/form-data; boundary=b"},
            400,
            "the name of a part of the form is no UTF-8",
        ),
        (
            b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"x" * 1001 + b"\r\n--b--\r\n",
            {"Content-Type": "multipart/form-data; boundary=b"},
            413,
            "the field 'a' is larger than 1000 bytes",
        ),
        (
            b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\nfile\r\n'
            b'--b\r\nContent-Disposition: form-data; name="a"\r\nContent-Type: application/json\r\n\r\n{\r\n--b--\r\n',
            {"Content-Type": "multipart/form-data; boundary=b"},
            400,
            "the field 'a' is no JSON",
        ),
        (b"x", {"Content-Type": "image"}, 415, "a body must be application/json"),
        (b"x", {"Content-Type": "imag\u00e9/png"}, 415, "a body must be application/json"),
        (b"{}", {"Content-Type": "application/x-www-form-urlencoded; a=b"}, 415, "curl sends that with --json"),
        (b"x", {**PNG, "Content-Encoding": "gzip"}, 415, "Content-Encoding"),
        (b"x", {**PNG, "Idempotency-Key": "\t"}, 400, "Idempotency-Key must"),
    ],
)
async def test_what_is_refused_leaves_nothing(
    http: aiohttp.ClientSession, store: ObjectStore, body: bytes, headers: dict[str, str], status: int, why: str
) -> None:
    async with http.post("/push", data=io.BytesIO(body), headers=headers) as response:
        found, detail = await problem(response)

    assert (found, why in detail) == (status, True), detail
    assert await objects(store) == {}


async def test_more_than_a_file_may_have_is_refused_before_it_is_read(
    http: aiohttp.ClientSession, store: ObjectStore
) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 1_000_000

    with contextlib.suppress(aiohttp.ClientConnectionError):
        async with http.post("/push", data=body(), headers=PNG) as response:
            assert await problem(response) == (413, "the files are larger than 8000000 bytes")
    assert await objects(store) == {}


async def test_the_same_file_under_one_idempotency_key_is_one_job(
    http: aiohttp.ClientSession, store: ObjectStore
) -> None:
    ids, headers = [], {**PNG, "Idempotency-Key": "key"}
    for _ in range(2):
        async with http.post("/push", data=b"the file", headers=headers) as response:
            ids.append((await response.json())["id"])
    async with http.post("/push", data=b"another", headers=headers) as response:
        assert (await problem(response))[0] == 422

    assert ids[0] == ids[1]
    assert await objects(store) == {"input.png": b"the file"}


async def test_a_client_that_goes_or_is_slow_leaves_nothing(
    settings: StreamSettings, stream: Stream, tmp_path: Path, store: ObjectStore
) -> None:
    head = b"POST /push HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 7000000\r\n\r\n"
    async with serving_files(settings, tmp_path, body_timeout_s=0.5) as base:
        port = int(base.rpartition(":")[2])
        _, gone = await asyncio.open_connection("127.0.0.1", port)
        gone.write(head + b"x" * 6_000_000)
        await gone.drain()
        gone.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        gone.transport.abort()
        reader, slow = await asyncio.open_connection("127.0.0.1", port)
        slow.write(head + b"x")
        async with asyncio.timeout(20):
            answer = await reader.read()
        slow.close()

        assert answer.startswith(b"HTTP/1.1 408")
        assert b"a MiB of the body took longer than 0.5 s" in answer
        await until_empty(store)
