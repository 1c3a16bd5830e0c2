"""The object store is killed while files are under way, and comes back."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.gateway.service import GatewayProcess
from tests.queues import opened, queue_name
from tests.workers.service import PATIENCE_S, WorkerProcess
from workers.objects.store import ObjectStore
from workers.objects.sweep import sweep
from workers.settings import ObjectSettings, WorkerSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection
    from pathlib import Path

    from tests.objects import S3Server
    from tests.servers import Server

MEGABYTE = 1_000_000
PIECES = 12  # S3 takes parts of 5 MiB: the first are stored when the rest is still to come
BODY = b"0123456789" * (MEGABYTE // 10) * PIECES
FILE = {"Content-Type": "application/octet-stream"}


async def body(at_half: Callable[[], Any]) -> AsyncIterator[bytes]:
    """The file, with something that happens in the middle."""
    for number in range(PIECES):
        if number == PIECES // 2:
            await asyncio.to_thread(at_half)
        yield BODY[number * MEGABYTE : (number + 1) * MEGABYTE]


async def accepted(http: aiohttp.ClientSession) -> str:
    """The id of a job with the file: as 503 wants it, the push is repeated until it is taken."""
    async with asyncio.timeout(2 * PATIENCE_S):
        while True:
            async with http.post("/push", data=body(lambda: None), headers=FILE) as response:
                if response.status == 202:
                    return str((await response.json())["id"])
                assert response.status == 503, await response.text()
            await asyncio.sleep(0.5)


async def ended(http: aiohttp.ClientSession, job_id: str) -> dict[str, Any]:
    async with asyncio.timeout(2 * PATIENCE_S):
        while True:
            async with http.get(f"/status/{job_id}", params={"wait": "10"}) as response:
                document: dict[str, Any] = await response.json()
            if document["status"] in ("finished", "failed"):
                return document


@pytest.mark.fault
@pytest.mark.timeout(400)
@pytest.mark.slow
async def test_a_store_that_is_killed_in_mid_transfer_loses_no_job_and_leaves_nothing(
    valkey: Server, own_s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = WorkerSettings(redis_url=valkey.url, queue_name=queue_name(), lease_s=2)
    options = {**own_s3.variables, "OBJECT_STORE": own_s3.url, "OBJECT_TIMEOUT_S": "1", "PRESIGN_S": "0"}
    for name, value in own_s3.variables.items():
        monkeypatch.setenv(name, value)
    async with contextlib.AsyncExitStack() as stack:
        stream = await stack.enter_async_context(opened(settings))
        gateway = await stack.enter_async_context(GatewayProcess(settings, **options))
        http = gateway.http

        # The client's file is half in the store.
        with contextlib.suppress(aiohttp.ClientConnectionError):
            async with http.post("/push", data=body(own_s3.kill), headers=FILE) as response:
                assert response.status == 503, await response.text()
        async with http.post("/push", data=b"x", headers=FILE) as response:
            assert response.status == 503
        assert (await stream.counts()).waiting == 0
        own_s3.start()

        # The worker has half of the input, or of the result.
        job_id = await accepted(http)
        worker = stack.enter_context(
            WorkerProcess(tmp_path, settings, MODEL="bench.models.object:Echo", MAX_ATTEMPTS="50", **options)
        )
        await worker.says(f"{job_id} attempt 1] job starts")
        own_s3.kill()
        await worker.says("attempt")
        own_s3.start()
        assert (await ended(http, job_id))["status"] == "finished", worker.text
        async with http.get(f"/data/{job_id}") as response:
            result = await response.json()
        async with http.get(result["url"]) as response:
            assert await response.read() == BODY

        assert await worker.stopped() == 0
        kept = await left(ObjectStore(ObjectSettings(object_store=own_s3.url)), settings.queue_name, job_id)
    assert all(f"/{job_id}/" in key for key in kept)


async def left(store: ObjectStore, queue: str, job_id: str) -> list[str]:
    """The keys that are left once a sweep has been."""

    async def which_exist(_ids: Collection[str]) -> Collection[str]:
        return [job_id]

    await sweep(store, queue, which_exist, min_age_s=-5)
    return [view.key async for page in store.pages(f"{queue}/") for view in page]
