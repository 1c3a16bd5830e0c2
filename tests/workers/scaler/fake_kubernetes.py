"""A small Kubernetes API server: one Deployment's scale, its pods with a watch, and Lease objects with versions."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Document = dict[str, Any]
NAMESPACE = "leadtime"
SELECTOR = "app.kubernetes.io/component=worker"


def when(seconds: float) -> str:
    """RFC 3339 in whole seconds, as the API has it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class FakeApiServer:
    """What the cluster knows. With `controller`, the Deployment's pods are made and deleted as the scale says."""

    def __init__(self, controller: bool = True) -> None:
        self.url = ""
        self.controller = controller
        self.replicas = 0
        self.patches: list[int] = []
        self.pods: dict[str, Document] = {}
        self.leases: dict[str, Document] = {}
        self.lists = 0
        self.down = ""  # requests with this in their path are refused
        self.forbidden = ""  # requests with this method are
        self.selectors: set[str] = set()
        self.failure = ""  # why the Deployment's pods can't be created
        self.events: dict[str, list[str]] = {}  # messages of pulls, by pod
        self.on_patch = asyncio.Event()
        self._version = 0
        self._names = 0
        self._watchers: set[asyncio.Queue[Document | None]] = set()

    # the cluster's side

    def add(self, age_s: float = 0.0, ready: bool = False) -> str:
        """A new pod's name."""
        self._names += 1
        name = f"workers-{self._names}"
        self.pods[name] = {
            "metadata": {"name": name, "creationTimestamp": when(time.time() - age_s)},
            "status": {
                "phase": "Running",
                "conditions": [_condition(ready)],
                "containerStatuses": [{"name": "worker", "restartCount": 0}],
            },
        }
        self._tell("ADDED", name)
        return name

    def unplace(self, name: str, message: str) -> None:
        """The scheduler finds no node for it."""
        why = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        self.pods[name]["status"]["conditions"] = [why]
        self._tell("MODIFIED", name)

    def start(self, name: str, placed_s: float, started_s: float, ready_s: float) -> None:
        """It has been placed, started and is ready, each at a time."""
        placed = {"type": "PodScheduled", "status": "True", "lastTransitionTime": when(placed_s)}
        running = {"running": {"startedAt": when(started_s)}}
        self.pods[name]["status"] |= {
            "conditions": [placed, _condition(True, ready_s)],
            "containerStatuses": [{"name": "worker", "restartCount": 0, "state": running}],
        }
        self._tell("MODIFIED", name)

    def make_ready(self, name: str, ready: bool = True, at_s: float | None = None) -> None:
        """Its condition changes, now or at another time."""
        self.pods[name]["status"]["conditions"] = [_condition(ready, at_s)]
        self._tell("MODIFIED", name)

    def restart(self, name: str) -> None:
        """Its container dies and starts again."""
        self.pods[name]["status"]["containerStatuses"][0]["restartCount"] += 1
        self.make_ready(name, False)

    def terminate(self, name: str) -> None:
        """It is told to stop, and still there."""
        self.pods[name]["metadata"]["deletionTimestamp"] = when(time.time())
        self._tell("MODIFIED", name)

    def remove(self, name: str) -> None:
        """It is gone."""
        self._tell("DELETED", name)
        del self.pods[name]

    def scale(self, replicas: int) -> None:
        """What a ReplicaSet does, where there is one."""
        self.replicas = replicas
        if not self.controller:
            return
        while len(self.pods) < replicas:
            self.add()
        while len(self.pods) > replicas:
            self.remove(next(reversed(self.pods)))

    def break_watches(self) -> None:
        """All of them end at once."""
        for queue in self._watchers:
            queue.put_nowait(None)

    def _tell(self, kind: str, name: str) -> None:
        self._version += 1
        self.pods[name]["metadata"]["resourceVersion"] = str(self._version)
        event = {"type": kind, "object": json.loads(json.dumps(self.pods[name]))}
        for queue in self._watchers:
            queue.put_nowait(event)

    # the API's side

    @web.middleware
    async def refuse(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """What is down."""
        if self.down and self.down in request.path:
            return web.json_response({"kind": "Status", "message": "it is down"}, status=503)
        if request.method == self.forbidden:
            return web.json_response({"kind": "Status", "message": "it may not"}, status=403)
        response: web.StreamResponse = await handler(request)
        return response

    async def get_scale(self, _request: web.Request) -> web.Response:
        there = sum("deletionTimestamp" not in pod["metadata"] for pod in self.pods.values())
        return web.json_response(
            {"kind": "Scale", "spec": {"replicas": self.replicas}, "status": {"replicas": there, "selector": SELECTOR}}
        )

    async def get_deployment(self, _request: web.Request) -> web.Response:
        failure = {"type": "ReplicaFailure", "status": "True", "message": self.failure}
        return web.json_response({"kind": "Deployment", "status": {"conditions": [failure] if self.failure else []}})

    async def list_events(self, request: web.Request) -> web.Response:
        name = request.query["fieldSelector"].removeprefix("involvedObject.name=").removesuffix(",reason=Pulled")
        messages = [{"message": message} for message in self.events.get(name, [])]
        return web.json_response({"kind": "EventList", "metadata": {}, "items": messages})

    async def patch_scale(self, request: web.Request) -> web.Response:
        assert request.content_type.endswith("patch+json")
        body = await request.json()
        assert body.keys() == {"spec"}
        assert body["spec"].keys() == {"replicas"}
        self.patches.append(body["spec"]["replicas"])
        self.scale(body["spec"]["replicas"])
        self.on_patch.set()
        return await self.get_scale(request)

    async def list_pods(self, request: web.Request) -> web.StreamResponse:
        self.selectors.add(request.query["labelSelector"])
        if request.query.get("watch") not in ("true", "True"):
            self.lists += 1
            version = {"resourceVersion": str(self._version)}
            return web.json_response({"kind": "PodList", "metadata": version, "items": list(self.pods.values())})
        assert request.query["allowWatchBookmarks"] in ("true", "True")
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        queue: asyncio.Queue[Document | None] = asyncio.Queue()
        if int(request.query["resourceVersion"]) < self._version:
            gone = {"kind": "Status", "code": 410, "message": "too old resource version"}
            queue.put_nowait({"type": "ERROR", "object": gone})
            queue.put_nowait(None)
        self._watchers.add(queue)
        try:
            await response.prepare(request)
            while (event := await queue.get()) is not None:
                await response.write(json.dumps(event).encode() + b"\n")
        finally:
            self._watchers.discard(queue)
        return response

    async def get_lease(self, request: web.Request) -> web.Response:
        lease = self.leases.get(request.match_info["name"])
        if lease is None:
            return web.json_response({"kind": "Status", "message": "not found"}, status=404)
        return web.json_response(lease)

    async def create_lease(self, request: web.Request) -> web.Response:
        body = await request.json()
        return self._write_lease(body["metadata"]["name"], None, body)

    async def replace_lease(self, request: web.Request) -> web.Response:
        body = await request.json()
        return self._write_lease(request.match_info["name"], body["metadata"]["resourceVersion"], body)

    def _write_lease(self, name: str, version: str | None, body: Document) -> web.Response:
        known = self.leases.get(name, {"metadata": {"resourceVersion": None}})
        if known["metadata"]["resourceVersion"] != version:
            return web.json_response({"kind": "Status", "message": "the object has been modified"}, status=409)
        assert datetime.fromisoformat(body["spec"]["renewTime"]).tzinfo is not None
        self._version += 1
        body["metadata"]["resourceVersion"] = str(self._version)
        self.leases[name] = body
        return web.json_response(body)


def _condition(ready: bool, at_s: float | None = None) -> Document:
    at = when(time.time() if at_s is None else at_s)
    return {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": at}


@contextlib.asynccontextmanager
async def api_server(controller: bool = True) -> AsyncIterator[FakeApiServer]:
    """A running one."""
    server = FakeApiServer(controller)
    scale = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/workers/scale"
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
    routes = (
        web.get(scale, server.get_scale),
        web.patch(scale, server.patch_scale),
        web.get(scale.removesuffix("/scale"), server.get_deployment),
        web.get(f"/api/v1/namespaces/{NAMESPACE}/pods", server.list_pods),
        web.get(f"/api/v1/namespaces/{NAMESPACE}/events", server.list_events),
        web.post(leases, server.create_lease),
        web.get(leases + "/{name}", server.get_lease),
        web.put(leases + "/{name}", server.replace_lease),
    )
    async with serving(*routes, middlewares=[server.refuse]) as server.url:
        try:
            yield server
        finally:
            server.break_watches()
