"""What the gateway counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.gateway.service import GatewayProcess, push, samples, status_of

if TYPE_CHECKING:
    import aiohttp

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


async def test_metrics_tell_what_happened(settings: StreamSettings, stream: Stream) -> None:
    async with GatewayProcess(settings) as gateway:
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
