"""What the gateway counts."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING

import aiohttp

from tests.gateway.service import GatewayProcess, problem, push, samples, status_of
from tests.processes import ROOT, module
from tests.servers import free_port

if TYPE_CHECKING:
    from workers.stream import Stream, StreamSettings


async def use_it(http: aiohttp.ClientSession, stream: Stream) -> dict[str, float]:
    """Makes some requests, and returns the samples then."""
    for _ in range(3):
        await push(http)
    await stream.claim("w", 1)
    assert await status_of(http.get("/status/nothing")) == 404
    assert await status_of(http.get("/nowhere/\u00e4")) == 404
    assert await status_of(http.request("BREW", "/push")) in (400, 405)
    return await samples(http)


async def test_metrics_on_a_port_of_their_own(settings: StreamSettings) -> None:
    """What publishes the API's port does not publish the metrics; and they need no key."""
    port = free_port()
    key = {"Authorization": "Bearer 0123456789abcdef"}
    async with (
        GatewayProcess(settings, METRICS_PORT=str(port), API_KEYS="0123456789abcdef") as gateway,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as metrics,
    ):
        await push(gateway.http, **key)
        assert (await samples(metrics))["leadtime_pushes_total['accepted']"] == 1
        assert await status_of(gateway.http.get("/metrics", headers=key)) == 404
        async with gateway.http.get("/openapi.json", headers=key) as response:
            assert "/metrics" not in (await response.json())["paths"]
        for path in ("/push", "/status/1", "/healthz", "/openapi.json", "/nowhere"):
            assert await problem(await metrics.get(path)) == (404, "there is nothing at this path")


async def test_a_metrics_port_that_is_taken_is_named(settings: StreamSettings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        own = {"HOST": "127.0.0.1", "PORT": str(free_port()), "METRICS_PORT": str(port)}
        process = await asyncio.create_subprocess_exec(
            *module("gateway"),
            env={**os.environ, "REDIS_URL": settings.redis_url, **own},
            cwd=ROOT,
            stderr=asyncio.subprocess.PIPE,
        )
        _, told = await process.communicate()
    assert process.returncode == 1
    assert told.decode().splitlines()[-1].endswith(f"the gateway can't listen on 127.0.0.1, port {port}")


async def test_metrics_tell_what_happened(settings: StreamSettings, stream: Stream) -> None:
    async with GatewayProcess(settings) as gateway:
        found = await use_it(gateway.http, stream)
    assert found["leadtime_http_requests_total['202', 'POST', 'push']"] == 3
    assert found["leadtime_http_requests_total['404', 'GET', 'status']"] == 1
    assert found["leadtime_http_requests_total['404', 'none', 'other']"] == 1
    assert found["leadtime_pushes_total['accepted']"] == 3
    assert found["leadtime_http_request_seconds_count['push']"] >= 3
    assert found["leadtime_stream_reachable[]"] == 1
    assert found["leadtime_jobs_longest_wait_seconds[]"] > 0
    assert (found["leadtime_jobs_waiting[]"], found["leadtime_jobs_pending[]"]) == (2, 1)
    assert "process_cpu_seconds_total[]" in found
    assert not [name for name in found if "nowhere" in name or "BREW" in name]
