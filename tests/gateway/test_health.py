"""Health, readiness, metrics."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from tests.gateway.service import Gateway, get, problem, push, status_of
from tests.servers import Server

if TYPE_CHECKING:
    from pathlib import Path

    import aiohttp

    from workers.stream import Stream, StreamSettings


async def samples(http: aiohttp.ClientSession) -> dict[str, float]:
    """All samples of /metrics, by name and labels."""
    async with http.get("/metrics") as response:
        assert response.status == 200
        assert response.content_type == "text/plain"
        text = await response.text()
    return {
        f"{sample.name}{sorted(sample.labels.values())}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_the_group_exists_from_the_start_on(settings: StreamSettings, server: Server, stream: Stream) -> None:
    await stream.redis.delete(f"{stream.prefix}:stream")
    async with Gateway(settings) as gateway:
        assert await get(gateway.http, "/healthz") == {"status": "ok"}
        assert await get(gateway.http, "/readyz") == {"status": "ok"}
        [group] = await stream.redis.xinfo_groups(f"{stream.prefix}:stream")
    assert (group["name"], group["lag"], group["pending"]) == (b"workers", 0, 0)


async def use_it(http: aiohttp.ClientSession, stream: Stream) -> dict[str, float]:
    """Makes some requests, and returns the samples then."""
    for _ in range(3):
        await push(http)
    await stream.claim("w", 1)
    assert await status_of(http.get("/status/nothing")) == 404
    assert await status_of(http.get("/nowhere/\u00e4")) == 404
    assert await status_of(http.request("BREW", "/push")) in (400, 405)
    return await samples(http)


async def test_metrics_tell_what_happened(settings: StreamSettings, stream: Stream) -> None:
    async with Gateway(settings) as gateway:
        found = await use_it(gateway.http, stream)
    assert found["leadtime_http_requests_total['202', 'POST', 'push']"] == 3
    assert found["leadtime_http_requests_total['404', 'GET', 'status']"] == 1
    assert found["leadtime_http_requests_total['404', 'none', 'other']"] == 1
    assert found["leadtime_pushes_total['accepted']"] == 3
    assert found["leadtime_http_request_seconds_count['push']"] >= 3
    assert found["leadtime_stream_reachable[]"] == 1
    assert (found["leadtime_jobs_waiting[]"], found["leadtime_jobs_pending[]"]) == (2, 1)
    assert "process_cpu_seconds_total[]" in found
    assert not [name for name in found if "nowhere" in name or "BREW" in name]


async def test_away_and_back(tmp_path: Path, settings: StreamSettings, server: Server) -> None:
    own = Server(server.binary, tmp_path, "--appendonly", "yes")
    own.start()
    try:
        async with Gateway(settings.model_copy(update={"redis_url": own.url})) as gateway:
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
