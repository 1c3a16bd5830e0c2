"""The server's memory is full when a new release starts, or the server may evict jobs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests.faults.server.test_away import answer, until_ready
from tests.fleet.client import PersistentClient
from tests.fleet.fleet import RecordedFleet
from tests.processes import PATIENCE_S
from tests.servers import free_port
from workers.stream import NewJob

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.servers import Server

pytestmark = pytest.mark.fault


async def test_a_new_release_starts_on_a_full_server_and_drains_it(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    server = start_server("--maxmemory-policy", "noeviction")
    async with RecordedFleet(server, tmp_path, MODEL_PREDICT_S="0") as fleet, PersistentClient(fleet.base) as client:
        ids = [f"job-{number}" for number in range(20)]
        for job_id in ids:
            await fleet.stream.push(NewJob(job_id, b'["text"]'))
        await fleet.stream.redis.function_flush()  # type: ignore[misc]
        await fleet.stream.redis.config_set("maxmemory", 1_000_000)
        gateway = await fleet.start_gateway()
        await fleet.start_workers(1)
        for job_id in ids:
            assert (await client.result(job_id))["input"] == "text"

        await until_ready(fleet)
        assert (await answer(fleet, "GET", "/readyz"))[1]["warnings"] == [
            "the job stream's server is out of memory: pushes are refused"
        ]
        status, document, _ = await answer(fleet, "POST", "/push?input=x")
        assert (status, document["detail"]) == (503, "the job stream is out of memory")
        await fleet.stream.redis.config_set("maxmemory", 0)
        assert (await client.result(await client.push("again")))["input"] == "again"
        assert [await gateway.stopped(), await fleet.workers[0].stopped()] == [0, 0]
        assert fleet.complaints() == []


async def test_a_server_that_may_evict_jobs_gets_none(start_server: Callable[..., Server], tmp_path: Path) -> None:
    server = start_server("--maxmemory-policy", "allkeys-lru", "--maxmemory", "500mb")
    probe_port = free_port()
    reason = "the job stream's server may evict jobs: its maxmemory-policy is allkeys-lru, and must be noeviction"
    async with RecordedFleet(server, tmp_path, MODEL_PREDICT_S="0", PROBE_PORT=str(probe_port)) as fleet:
        await fleet.start_gateway()
        await fleet.start_workers(1)
        for method, path in (("GET", "/readyz"), ("POST", "/push?input=x")):
            status, document, _ = await answer(fleet, method, path)
            assert (status, document["detail"]) == (503, reason), path
        async with asyncio.timeout(PATIENCE_S):
            while True:
                async with aiohttp.request("GET", f"http://127.0.0.1:{probe_port}/readyz") as response:
                    if response.status == 503:
                        assert (await response.json(content_type=None))["detail"] == reason
                        break
                await asyncio.sleep(0.1)
        assert (await fleet.stream.counts()).length == 0

        await fleet.stream.redis.config_set("maxmemory-policy", "noeviction")
        await until_ready(fleet)
        async with PersistentClient(fleet.base) as client:
            assert (await client.result(await client.push("again")))["input"] == "again"
        assert all(reason in line for line in fleet.complaints()), fleet.complaints()
