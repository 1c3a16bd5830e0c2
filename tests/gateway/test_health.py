"""Health, readiness, and metrics while the server is away."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from tests.gateway.service import GatewayProcess, get, problem, push, samples, status_of
from tests.servers import DURABLE, Server

if TYPE_CHECKING:
    from pathlib import Path

    from workers.stream import Stream, StreamSettings


async def test_the_group_exists_from_the_start_on(settings: StreamSettings, server: Server, stream: Stream) -> None:
    await stream.redis.delete(f"{stream.prefix}:stream")
    async with GatewayProcess(settings) as gateway:
        assert await get(gateway.http, "/healthz") == {"status": "ok"}
        assert await get(gateway.http, "/readyz") == {"status": "ok"}
        [group] = await stream.redis.xinfo_groups(f"{stream.prefix}:stream")
    assert (group["name"], group["lag"], group["pending"]) == (b"workers", 0, 0)


async def test_away_and_back(tmp_path: Path, settings: StreamSettings, server: Server) -> None:
    own = Server(server.binary, tmp_path, *DURABLE)
    own.start()
    try:
        async with GatewayProcess(settings.model_copy(update={"redis_url": own.url})) as gateway:
            http = gateway.http
            job_id = await push(http)
            own.kill()
            async with asyncio.timeout(10):
                for response in (await http.post("/push?input=x"), await http.get(f"/status/{job_id}")):
                    assert await problem(response) == (503, "the job stream can't be reached")
                    assert re.fullmatch(r"\d+", response.headers["Retry-After"])
                assert await status_of(http.get("/readyz")) == 503
                assert await status_of(http.get("/healthz")) == 200
                found = await samples(http)
            assert found["leadtime_stream_reachable[]"] == 0
            assert "leadtime_jobs_waiting[]" not in found
            own.start()
            async with asyncio.timeout(20):
                while await status_of(http.get("/readyz")) != 200:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            await push(http)
            assert (await get(http, f"/status/{job_id}"))["status"] == "queued"
    finally:
        own.kill()
