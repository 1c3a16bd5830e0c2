"""Paths and methods that no route has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.gateway.service import get, problem, status_of

if TYPE_CHECKING:
    import aiohttp

    from tests.gateway.service import GatewayProcess


async def test_a_doubled_slash_is_a_single_one(http: aiohttp.ClientSession, gateway: GatewayProcess) -> None:
    async with http.post(f"{gateway.base}//push?input=a//b") as response:
        assert response.status == 202
        job_id = (await response.json())["id"]
    for path in (f"//status/{job_id}", f"/status//{job_id}", f"///status///{job_id}"):
        assert (await get(http, gateway.base + path))["id"] == job_id


async def test_a_path_or_method_that_no_route_has(http: aiohttp.ClientSession) -> None:
    for path in ("/nowhere", "/status/a/b"):
        assert await problem(await http.get(path)) == (404, "there is nothing at this path")
    wrong = await http.get("/push")
    assert await problem(wrong) == (405, "this path does not take this method")
    assert wrong.headers["Allow"] == "POST"
    assert await status_of(http.get("/healthz")) == 200
