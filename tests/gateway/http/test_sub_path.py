"""ROOT_PATH: the API under a path of a proxy, which strips that path or keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.gateway.service import GatewayProcess, get, problem, push
from workers.stream import Finish, Stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from workers.stream import StreamSettings

ROOT = "/tools/leadtime"


@pytest.fixture(scope="module")
def published(settings: StreamSettings) -> Iterator[GatewayProcess]:
    """The process behind `below`."""
    with GatewayProcess(settings, ROOT_PATH=ROOT, PUSH_FUNCTIONS="predict,tools").running() as gateway:
        yield gateway


@pytest.fixture
async def below(published: GatewayProcess, stream: Stream) -> AsyncIterator[GatewayProcess]:
    """A gateway that is published under `ROOT`."""
    async with published.client():
        yield published


@pytest.mark.parametrize("kept", ["", ROOT], ids=["stripped", "kept"])
async def test_a_job_is_found_where_its_push_said(below: GatewayProcess, kept: str) -> None:
    for path in ("/push?input=hello", "/push/tools", "/push?input=hello&wait=0.01"):
        async with below.http.post(kept + path) as response:
            assert response.status == 202
            job_id = (await response.json())["id"]
            assert response.headers["Location"] == f"{ROOT}/status/{job_id}"
        assert (await get(below.http, f"{kept}/status/{job_id}"))["status"] == "queued"
        for slashed in (f"{kept}//status/{job_id}", f"/{kept.replace('/', '//')}/status//{job_id}"):
            assert (await get(below.http, f"{below.base}{slashed}"))["id"] == job_id


async def test_a_retry_says_where_its_job_is(below: GatewayProcess, stream: Stream) -> None:
    job_id = await push(below.http)
    await stream.claim("worker-7", 1)
    await stream.finish("worker-7", [Finish(job_id, 1, "failed", b'{"type":"E","message":"m"}', 60_000)])
    async with below.http.post(f"{ROOT}/retry/{job_id}") as response:
        assert response.headers["Location"] == f"{ROOT}/status/{job_id}"


async def test_the_description_says_where_the_api_is(below: GatewayProcess, gateway: GatewayProcess) -> None:
    assert (await get(below.http, f"{ROOT}/openapi.json"))["servers"] == [{"url": ROOT}]
    assert "servers" not in await get(gateway.http, "/openapi.json")


async def test_what_only_begins_like_it_is_another_path(below: GatewayProcess) -> None:
    for path in (ROOT, f"{ROOT}er/healthz", "/tools/healthz", f"{ROOT}{ROOT}/healthz"):
        assert await problem(await below.http.get(path)) == (404, "there is nothing at this path")
    for path in ("/healthz", f"{ROOT}/healthz", f"{ROOT}/readyz"):
        assert (await get(below.http, path))["status"] == "ok"
