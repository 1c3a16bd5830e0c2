from __future__ import annotations

import asyncio
import os
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from tests.servers import free_port
from tests.serving import serving
from workers.objects.errors import ObjectMissing, ObjectTooLarge, StoreUnavailable
from workers.objects.store import PIECE_BYTES, ObjectStore, open_store
from workers.objects.sweep import sweep
from workers.settings import ObjectSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection
    from pathlib import Path

MEGABYTE = 1_000_000


async def pieces(*sizes: int) -> AsyncIterator[bytes]:
    for number, size in enumerate(sizes):
        yield bytes([number]) * size


async def keys(store: ObjectStore, prefix: str = "") -> list[str]:
    return sorted([view.key async for page in store.pages(prefix) for view in page])


async def test_what_is_put_in_pieces_comes_back_in_pieces(store: ObjectStore) -> None:
    size_bytes = await store.put("q/job-7/a.bin", pieces(7 * MEGABYTE, 0, 5 * MEGABYTE))

    view = await store.head("q/job-7/a.bin")
    whole = [piece async for piece in store.pieces("q/job-7/a.bin", 0, view.size_bytes)]
    part = [piece async for piece in store.pieces("q/job-7/a.bin", 7 * MEGABYTE - 1, 7 * MEGABYTE + 1)]

    assert size_bytes == view.size_bytes == 12 * MEGABYTE
    assert view.etag
    assert b"".join(whole) == bytes(7 * MEGABYTE) + b"\2" * 5 * MEGABYTE
    assert max(map(len, whole)) <= PIECE_BYTES
    assert part == [b"\0\2"]


async def test_a_file_is_stored_and_written_anew(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"hello")

    assert await store.put("q/job-7/a.txt", tmp_path / "in", "text/plain", most_bytes=5) == 5
    assert await store.download("q/job-7/a.txt", tmp_path / "out", 5) == 5

    assert (tmp_path / "out").read_bytes() == b"hello"
    assert await store.read("q/job-7/a.txt", 5) == b"hello"
    with pytest.raises(ObjectTooLarge, match="larger than 4 bytes"):
        await store.read("q/job-7/a.txt", 4)


async def test_nothing_is_left_of_what_is_too_large_or_breaks_off(store: ObjectStore) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield bytes(6 * MEGABYTE)
        raise ZeroDivisionError

    with pytest.raises(ObjectTooLarge):
        await store.put("q/job-7/a", pieces(6 * MEGABYTE, MEGABYTE), most_bytes=6 * MEGABYTE)
    with pytest.raises(ObjectTooLarge):
        await store.put("q/job-7/a", b"12345", most_bytes=4)
    with pytest.raises(ZeroDivisionError):
        await store.put("q/job-7/a", broken())

    assert await keys(store) == []


async def test_all_objects_of_a_job_go_together(store: ObjectStore) -> None:
    for key in ("q/job-7/a", "q/job-7/b", "q/job-77/a", "other/job-7/a"):
        await store.put(key, b"x")

    assert await store.delete_all("q/job-7/") == 2
    assert await store.delete_all("q/job-7/") == 0
    await store.delete(["q/job-77/a", "q/job-77/b"])

    assert await keys(store) == ["other/job-7/a"]
    with pytest.raises(ObjectMissing):
        await store.head("q/job-7/a")
    with pytest.raises(ObjectMissing):
        await store.read("q/job-7/a", 10)


async def test_a_sweep_deletes_what_has_no_job_and_is_old(store: ObjectStore) -> None:
    for number in range(5):
        await store.put(f"q,1/job,{number}/a", b"x")
    await store.put("q/job,1/a", b"x")
    asked: list[Collection[str]] = []

    async def which_exist(ids: Collection[str]) -> Collection[str]:
        asked.append(ids)
        return ["job.3"]

    assert await sweep(store, "q.1", which_exist) == 0  # they are young
    assert asked == []
    assert await sweep(store, "q.1", which_exist, min_age_s=-5) == 4

    assert {one for ids in asked for one in ids} == {f"job.{number}" for number in range(5)}
    assert await keys(store) == ["q,1/job,3/a", "q/job,1/a"]


async def test_a_sweep_deletes_what_a_killed_writer_has_left_of_a_folder(tmp_path: Path) -> None:
    store = ObjectStore(ObjectSettings(object_store=f"file:{tmp_path}"))
    (tmp_path / "q" / "job-7").mkdir(parents=True)
    (tmp_path / "q" / "job-7" / "a#1").write_bytes(b"part")
    (tmp_path / "q" / "job-8").mkdir()
    (tmp_path / "q" / "job-8" / "b#1").write_bytes(b"still written")
    old_s = time.time() - 4000
    for path in ("q/job-7/a#1",):
        os.utime(tmp_path / path, (old_s, old_s))

    async def none(_ids: Collection[str]) -> Collection[str]:
        return []

    assert await sweep(store, "q", none) == 1
    os.utime(tmp_path / "q" / "job-7", (old_s, old_s))
    await sweep(store, "q", none)

    assert sorted(path.name for path in tmp_path.rglob("*")) == ["b#1", "job-8", "q"]


async def test_a_store_that_is_away_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    store = ObjectStore(ObjectSettings(object_store="s3://objects", object_timeout_s=0.2))

    for call in (store.head("q/job-7/a"), store.put("q/job-7/a", b"x"), store.delete_all("q/")):
        with pytest.raises(StoreUnavailable, match=r"^the object store can't be reached$"):
            await call


@pytest.mark.parametrize(
    ("status", "code", "sentence"),
    [
        (403, "InvalidAccessKeyId", "the object store refuses the service"),
        (403, "RequestTimeTooSkewed", "the object store refuses the service"),
        (404, "NoSuchBucket", "the object store has no such bucket"),
    ],
)
async def test_what_a_bucket_answers_is_in_the_log_and_not_in_the_sentence(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, status: int, code: str, sentence: str
) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, text=f"<Error><Code>{code}</Code></Error>")

    async with serving(web.route("*", "/{path:.*}", answer)) as endpoint:
        for name, value in {"ENDPOINT_URL": endpoint, "ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "secret-7"}.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        store = ObjectStore(ObjectSettings(object_store="s3://nowhere/x"))
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match=f"^{sentence}$"):
                await store.put("q/job-7/a", b"body")
            with pytest.raises(StoreUnavailable, match=f"^{sentence}$"):
                await store.copy("q/job-7/a", "q/job-7/b")

    [line] = [record.getMessage() for record in caplog.records if record.name == "workers.objects.store"]
    assert line.startswith(f"{sentence}: ")
    assert f"{endpoint}/nowhere/x/q/job-7/a" in line
    assert code in line
    assert "secret-7" not in line


async def test_a_folder_that_cannot_be_written_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreUnavailable, match=r"^the object store can't be reached$"):
        ObjectStore(ObjectSettings(object_store=f"file:{tmp_path / 'file'}"))
    with pytest.raises(StoreUnavailable, match=r"^the object store "):
        ObjectStore(ObjectSettings(object_store="file:/proc/leadtime"))  # on Linux, where no folder can be made


async def test_without_a_setting_there_is_no_store_and_a_folder_signs_no_urls(tmp_path: Path) -> None:
    assert open_store(ObjectSettings()) is None
    store = open_store(ObjectSettings(object_store=f"file://{tmp_path}"))
    assert store is not None
    assert store.presigned("GET", "q/job-7/a", 60) == ""


@pytest.mark.slow
@pytest.mark.parametrize("store", ["s3"], indirect=True)
async def test_a_presigned_url_needs_no_key_and_has_ranges_and_the_content_type(store: ObjectStore) -> None:
    await store.put("q/job-7/a.png", pieces(6 * MEGABYTE), "image/png")
    url = store.presigned("GET", "q/job-7/a.png", 60)

    def get() -> tuple[bytes, str]:
        request = urllib.request.Request(url, headers={"Range": "bytes=0-3"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
            return response.read(), response.headers["Content-Type"]

    assert await asyncio.to_thread(get) == (bytes(4), "image/png")
    with pytest.raises(urllib.error.HTTPError):
        await asyncio.to_thread(urllib.request.urlopen, url.partition("?")[0], timeout=10)
