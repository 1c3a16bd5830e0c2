"""Paths and methods that no route has."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.http.routing import MeasuredEndpoint
from tests.gateway.service import get, problem, status_of

if TYPE_CHECKING:
    import aiohttp
    from starlette.responses import Response
    from starlette.types import Message, Scope

    from gateway.http.request import HttpRequest
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


async def test_a_request_that_a_stop_cuts_short_is_to_be_repeated() -> None:
    """uvicorn cancels what is not answered in time; that is no fault of the request's."""
    sent: list[Message] = []

    async def respond(_request: HttpRequest) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError

    endpoint = MeasuredEndpoint("push", respond, frozenset(), lambda *_: None)
    scope: Scope = {"type": "http", "method": "POST", "path": "/push", "query_string": b"", "headers": [], "state": {}}
    task = asyncio.create_task(endpoint(scope, receive, send))
    await asyncio.sleep(0)
    task.cancel()
    await task
    assert sent[0]["status"] == 503
    assert (b"retry-after", b"2") in sent[0]["headers"]
