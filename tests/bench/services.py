"""Services for the load generator's tests: real ones, and one that breaks its promises on purpose."""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.fleet.fleet import RecordedFleet
from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.servers import Server


@contextlib.asynccontextmanager
async def service(server: Server, folder: Path, workers: int = 1, **settings: str) -> AsyncIterator[RecordedFleet]:
    """A gateway and workers whose model takes a millisecond."""
    async with RecordedFleet(server, folder, **{"MODEL_PREDICT_S": "0.001", **settings}) as fleet:
        await fleet.start_gateway()
        await fleet.start_workers(workers)
        yield fleet


class Liar:
    """Answers as the gateway does, but for what `lie` names; the real one can't be made to do any of it."""

    def __init__(self, lie: str) -> None:
        self.url = ""
        self.lie = lie
        self.pushes: dict[str, int] = {}  # by idempotency key
        self._inputs: dict[str, Any] = {}
        self._fetched: dict[str, int] = {}

    async def push(self, request: web.Request) -> web.Response:
        key = request.headers["Idempotency-Key"]
        self.pushes[key] = self.pushes.get(key, 0) + 1
        if self.lie == "push without an answer" and self.pushes[key] == 1:
            assert request.transport is not None
            request.transport.close()
        if self.lie == "bad gateway" and self.pushes[key] < 3:
            raise web.HTTPBadGateway
        if self.lie == "away for a moment" and self.pushes[key] == 1:
            raise web.HTTPServiceUnavailable(headers={"Retry-After": "0"})
        job_id = "same" if self.lie == "one id for all" else uuid.uuid5(uuid.NAMESPACE_OID, key).hex
        self._inputs[job_id] = await request.json()
        return web.json_response([job_id] if self.lie == "no id" else {"id": job_id}, status=202)

    async def status(self, request: web.Request) -> web.Response:
        if self.lie == "unknown":
            raise web.HTTPNotFound
        if self.lie == "no JSON":
            return web.Response(text="<html>")
        job_id = request.match_info["id"]
        times = dict.fromkeys(("queued", "started", "finished"), "2026-01-01T00:00:00.000Z")
        status = "cancelled" if self.lie == "cancelled" else "finished"
        return web.json_response({"id": job_id, "status": status, "attempts": 1, **times})

    async def data(self, request: web.Request) -> web.Response:
        job_id = request.match_info["id"]
        count = self._fetched[job_id] = self._fetched.get(job_id, 0) + 1
        if self.lie == "no data" or (self.lie == "data once" and count > 1):
            raise web.HTTPNotFound
        document = {"id": job_id, "output": 1, "input": self._inputs[job_id], "latency": 0.1}
        if self.lie == "another's input":
            document["input"] = "another's"
        if self.lie == "another's id":
            document["id"] = "another's"
        if self.lie == "no output":
            del document["output"]
        if self.lie == "another result" and count > 1:
            document["output"] = 2
        return web.json_response(document)


@contextlib.asynccontextmanager
async def liar(lie: str) -> AsyncIterator[Liar]:
    """A service that lies, with its URL."""
    found = Liar(lie)
    routes = (web.post("/push", found.push), web.get("/status/{id}", found.status), web.get("/data/{id}", found.data))
    async with serving(*routes) as found.url:
        yield found
