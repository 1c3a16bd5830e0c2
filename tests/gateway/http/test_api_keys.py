"""API keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.gateway.service import GatewayProcess, problem, push, status_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import aiohttp

    from workers.stream import Stream, StreamSettings

ANN = {"Authorization": "Bearer ann-0123456789abcdef"}
BOB = {"Authorization": "bearer bob-0123456789abcdef"}
KEYS = "ann-0123456789abcdef, bob-0123456789abcdef"


@pytest.fixture(scope="module")
def with_keys(settings: StreamSettings) -> Iterator[GatewayProcess]:
    """A gateway that wants keys."""
    with GatewayProcess(settings, API_KEYS=KEYS).running() as gateway:
        yield gateway


@pytest.fixture
async def locked(with_keys: GatewayProcess, stream: Stream) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of a gateway that wants keys; it sends none by itself."""
    async with with_keys.client():
        yield with_keys.http


async def test_every_job_endpoint_wants_a_key(locked: aiohttp.ClientSession, stream: Stream) -> None:
    job_id = await push(locked, **ANN)
    requests = [
        ("POST", "/push?input=x"),
        ("GET", f"/status/{job_id}"),
        ("GET", f"/status/{job_id}?wait=x"),
        ("GET", f"/data/{job_id}"),
        ("POST", f"/cancel/{job_id}"),
        ("POST", f"/retry/{job_id}"),
    ]
    bad = ["", "Bearer", "Bearer ", "Basic ann-0123456789abcdef", "Bearer ann-0123456789abcde", "Bearer \u00e4"]
    for method, path in requests:
        response = await locked.request(method, path)
        assert await problem(response) == (401, "an API key is needed: Authorization: Bearer KEY")
        assert response.headers["WWW-Authenticate"] == "Bearer"
        for value in bad:
            async with locked.request(method, path, headers={"Authorization": value}) as response:
                assert response.status == 401
                assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert (await stream.counts()).waiting == 1
    for path in ("/healthz", "/readyz"):
        assert await status_of(locked.get(path)) == 200
    for path in ("/metrics", "/openapi.json"):
        assert await status_of(locked.get(path)) == 401
        assert await status_of(locked.get(path, headers=ANN)) == 200


async def test_a_job_is_shown_only_to_the_key_that_pushed_it(locked: aiohttp.ClientSession, stream: Stream) -> None:
    job_id = await push(locked, **ANN)
    for method, path, detail in [
        ("GET", f"/status/{job_id}", "job not found"),
        ("GET", f"/status/{job_id}?wait=5", "job not found"),
        ("GET", f"/data/{job_id}", "job result not found"),
        ("POST", f"/cancel/{job_id}", "job not found"),
        ("POST", f"/retry/{job_id}", "job not found"),
    ]:
        assert await problem(await locked.request(method, path, headers=BOB)) == (404, detail)
    async with locked.get(f"/status/{job_id}", headers=ANN) as response:
        assert (await response.json())["status"] == "queued"
    assert await status_of(locked.post(f"/cancel/{job_id}", headers=ANN)) == 200


async def test_an_idempotency_key_is_its_owners_own(locked: aiohttp.ClientSession) -> None:
    key = {"Idempotency-Key": "k"}
    assert await push(locked, **ANN, **key) != await push(locked, **BOB, **key)
    assert await status_of(locked.post("/push?input=other", headers={**BOB, **key})) == 422


async def test_the_description_asks_for_the_key(locked: aiohttp.ClientSession) -> None:
    async with locked.get("/openapi.json", headers=ANN) as response:
        document = await response.json()
    for path, method in (("/push", "post"), ("/metrics", "get"), ("/openapi.json", "get")):
        assert document["paths"][path][method]["security"] == [{"key": []}]
        assert "401" in document["paths"][path][method]["responses"]
    assert "security" not in document["paths"]["/healthz"]["get"]
