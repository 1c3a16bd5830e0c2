"""Faults on pods: what kubectl is told, and what is made of its answers."""

from __future__ import annotations

import contextlib
import json
import random
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from bench.experiments.kubectl import ClusterError, Kubectl, address
from bench.faults.place import Queue
from bench.faults.pods import PodsPlace
from bench.load.observer import QueueSource
from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

METRICS = "leadtime_jobs_waiting 1.0\nleadtime_jobs_pending 2.0\nleadtime_jobs_deferred 0.0\n"
# As valkey-cli answers without a terminal.
XINFO = "length\n3\nradix-tree-keys\n1\nentries-added\n41\nfirst-entry\n1-1\nid\nentries-added\n"


def pod(component: str, number: int, ready: bool = True, restarts: int = 0) -> dict[str, Any]:
    return {
        "metadata": {"name": f"{component}-{number}", "uid": f"{component}-{number}", "component": component},
        "status": {
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [{"restartCount": restarts}],
        },
    }


class ToldOfPods(Kubectl):
    """A cluster in which a deleted server or gateway is replaced: by a pod that is ready at the second look."""

    def __init__(self) -> None:
        super().__init__("somewhere")
        self.told: list[str] = []
        self.pods = [pod("worker", 1), pod("worker", 2), pod("valkey", 1), pod("gateway", 1), pod("gateway", 2)]
        self.service: dict[str, Any] = {}

    async def run(self, *arguments: str, standard_input: bytes | None = None, timeout_s: float = 0) -> str:
        match arguments[0]:
            case "exec":
                return XINFO
            case "delete":
                self.told.append(" ".join(arguments))
                self._delete(arguments[2])
                return ""
            case _:
                return json.dumps(self._get(arguments))

    def _get(self, arguments: tuple[str, ...]) -> dict[str, Any]:
        if arguments[1] == "service":
            return self.service
        if arguments[1] == "nodes":
            return {"items": []}
        component = arguments[2].partition("component=")[2]
        found = [dict(one) for one in self.pods if not component or one["metadata"]["component"] == component]
        for one in self.pods:
            one["status"] = pod("", 0)["status"] | {"containerStatuses": one["status"]["containerStatuses"]}
        return {"items": found}

    def _delete(self, name: str) -> None:
        (gone,) = (one for one in self.pods if one["metadata"]["name"] == name)
        self.pods.remove(gone)
        component = gone["metadata"]["component"]
        if component != "worker":
            self.pods.append(pod(component, 9, ready=False))


@contextlib.asynccontextmanager
async def place(kubectl: Kubectl) -> AsyncIterator[PodsPlace]:
    async def metrics(_: web.Request) -> web.Response:
        return web.Response(text=METRICS)

    async with serving(web.get("/metrics", metrics)) as url, QueueSource(url) as gateway:
        found = PodsPlace(kubectl, url, gateway, gateway, concurrency=3)
        await found.open()
        yield found


async def test_workers_are_deleted_with_and_without_grace() -> None:
    kubectl, rng = ToldOfPods(), random.Random(0)
    async with place(kubectl) as pods:
        faults = [await pods.inflict("worker", rng) for _ in range(2)]
        assert await pods.inflict("worker", rng) is None, "none is left"
    assert [fault and fault.attempts for fault in faults] == [3, 0], "with grace a job is handed back"
    assert [fault and fault.what.partition(" was ")[2] for fault in faults] == [
        "deleted without grace", "deleted with grace",
    ]  # fmt: skip
    assert kubectl.told[0].endswith("--wait=false --grace-period=0 --force")
    assert kubectl.told[1].endswith("--wait=false")


@pytest.mark.parametrize("seed", range(4))
async def test_the_server_is_never_deleted_by_force(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.faults.pods.LOOK_S", 0.01)
    kubectl = ToldOfPods()
    async with place(kubectl) as pods:
        fault = await pods.inflict("server", random.Random(seed))
    assert fault is not None
    assert fault.attempts == 6, "each job of two workers"
    assert ", ready again after " in fault.what
    assert not any("--force" in line for line in kubectl.told)


async def test_the_gateway_costs_no_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.faults.pods.LOOK_S", 0.01)
    async with place(ToldOfPods()) as pods:
        fault = await pods.inflict("gateway", random.Random(1))
    assert fault is not None
    assert fault.attempts == 0


async def test_the_queue() -> None:
    kubectl = ToldOfPods()
    async with place(kubectl) as pods:
        assert await pods.queue() == Queue(length=3, lag=1, pending=2, deferred=0, entered=41)
        kubectl.pods = [one for one in kubectl.pods if one["metadata"]["component"] != "valkey"]
        assert await pods.queue() == Queue(None, 1, 2, 0, None), "a server elsewhere is not asked"


async def test_containers_that_restart_by_themselves_are_told() -> None:
    kubectl = ToldOfPods()
    kubectl.pods[0]["status"]["containerStatuses"][0]["restartCount"] = 4
    async with place(kubectl) as pods:
        assert await pods.complaints() == [], "that was before"
        kubectl.pods[0]["status"]["containerStatuses"][0]["restartCount"] = 5
        kubectl.pods[1]["status"]["containerStatuses"][0]["restartCount"] = 1
        assert await pods.complaints() == [
            "a container of worker-1 has restarted by itself", "a container of worker-2 has restarted by itself",
        ]  # fmt: skip


async def test_the_address_is_one_that_answers() -> None:
    async def health(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    kubectl = ToldOfPods()
    async with serving(web.get("/healthz", health)) as url:
        port = int(url.rpartition(":")[2])
        kubectl.service = {
            "spec": {"ports": [{"port": 1, "nodePort": port}]},
            "status": {"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}]}},
        }
        assert await address(kubectl) == url
    with pytest.raises(ClusterError, match=rf"can't be reached at http://127.0.0.1:1, http://127.0.0.1:{port}: give"):
        await address(kubectl)
