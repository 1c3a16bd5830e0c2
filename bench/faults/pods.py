"""Faults in a cluster: pods of the service are deleted, with and without grace."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

from bench.experiments.kubectl import WORKERS_DEPLOYMENT, ClusterError, Kubectl, address, current
from bench.faults.place import Fault, PlaceError, Queue
from bench.load.observer import ObserverError, QueueSource, cluster

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Sequence

    from bench.faults.place import Kind
    from bench.load.observer import Source

_SERVICE = "app.kubernetes.io/name=leadtime"
_STREAM = "{leadtime}:stream"
LOOK_S = 1.0
_PATIENCE_S = 300.0


class PodsPlace:
    """Pods of one namespace. A worker's pod with grace hands its job back, which costs no attempt."""

    def __init__(self, kubectl: Kubectl, url: str, gateway: QueueSource, pods: Source, concurrency: int) -> None:
        self.url = url
        self.sources: Sequence[Source] = [gateway, pods]
        self._kubectl = kubectl
        self._gateway = gateway
        self._concurrency = concurrency
        self._restarts: dict[str, int] = {}

    async def open(self) -> None:
        """Remembers what has restarted before."""
        self._restarts = {pod["metadata"]["uid"]: _restarts(pod) for pod in await self._pods(_SERVICE)}

    async def inflict(self, kind: Kind, rng: random.Random) -> Fault | None:
        """A worker is KEDA's to replace; the server and the gateway are back when this returns."""
        try:
            there = await self._live(kind)
            if not there:
                return None
            with_grace = rng.random() < 0.5
            pod = rng.choice(there)["metadata"]
            workers = len(await self._live("worker")) if kind == "server" else 0
            # By force a StatefulSet's next pod may begin before the last one has ended: two servers on one volume.
            hard = ("--grace-period=1",) if kind == "server" else ("--grace-period=0", "--force")
            began_s = time.monotonic()
            options = ("--ignore-not-found", "--wait=false", *(() if with_grace else hard))
            await self._kubectl.run("delete", "pod", pod["name"], *options)
            what = f"the {kind}'s pod {pod['name']} was deleted {'with' if with_grace else 'without'} grace"
            if kind == "worker":
                return Fault(kind, what, 0 if with_grace else self._concurrency)
            await self._until_back(kind, pod["uid"], len(there))
            what += f", ready again after {time.monotonic() - began_s:.1f} s"
            return Fault(kind, what, workers * self._concurrency)
        except ClusterError as error:
            raise PlaceError(f"a pod of the {kind} can't be deleted: {error}") from error

    async def _until_back(self, kind: Kind, uid: str, count: int) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            with contextlib.suppress(ClusterError):
                pods = await self._live(kind)
                if len(pods) >= count and all(_ready(pod) and pod["metadata"]["uid"] != uid for pod in pods):
                    return
            await asyncio.sleep(LOOK_S)
        raise ClusterError(f"it is not back after {_PATIENCE_S:g} s")

    async def queue(self) -> Queue | None:
        """By a gateway's metrics; length and entries are asked of the server, if it is a pod of the service's own."""
        seen = await self._gateway.scrape()
        try:
            lag, pending, deferred = (int(seen[f"leadtime_jobs_{n}"]) for n in ("waiting", "pending", "deferred"))
            servers = await self._live("server")
            if not servers:
                return Queue(None, lag, pending, deferred, None)
            ask = ("exec", servers[0]["metadata"]["name"], "--", "valkey-cli", "--no-auth-warning")
            said = (await self._kubectl.run(*ask, "XINFO", "STREAM", _STREAM)).split()
        except (KeyError, ClusterError):
            return None
        length, entered = (int(said[said.index(name) + 1]) for name in ("length", "entries-added"))
        return Queue(length, lag, pending, deferred, entered)

    async def complaints(self) -> list[str]:
        """Containers that have restarted: a deleted pod is another pod then, and no restart."""
        try:
            return [
                f"a container of {pod['metadata']['name']} has restarted by itself"
                for pod in await self._pods(_SERVICE)
                if _restarts(pod) > self._restarts.get(pod["metadata"]["uid"], 0)
            ]
        except ClusterError as error:
            return [str(error)]

    async def _live(self, kind: Kind) -> list[dict[str, Any]]:
        """Those that are not on their way out."""
        component = "valkey" if kind == "server" else kind
        pods = await self._pods(f"{_SERVICE},app.kubernetes.io/component={component}")
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    async def _pods(self, selector: str) -> list[dict[str, Any]]:
        """In the order of their names."""
        found = await self._kubectl.json("pods", f"--selector={selector}")
        return sorted(found["items"], key=lambda pod: str(pod["metadata"]["name"]))


def _ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions") or []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _restarts(pod: dict[str, Any]) -> int:
    return sum(one["restartCount"] for one in pod["status"].get("containerStatuses") or [])


@contextlib.asynccontextmanager
async def pods(url: str | None, api_key: str | None = None) -> AsyncIterator[PodsPlace]:
    """Of the cluster of kubectl's current context. Raises PlaceError if the service can't be seen there."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            kubectl = await current()
            found = url or await address(kubectl, api_key)
            workers = await kubectl.json("deployment", WORKERS_DEPLOYMENT)
            (container,) = workers["spec"]["template"]["spec"]["containers"]
            settings = {one["name"]: one.get("value") for one in container.get("env", [])}
            gateway = await stack.enter_async_context(QueueSource(found, api_key))
            seen = await stack.enter_async_context(cluster(kubectl.namespace, kubectl.context))
            place = PodsPlace(kubectl, found, gateway, seen, int(settings.get("CONCURRENCY") or 1))
            await place.open()
        except (ClusterError, ObserverError) as error:
            raise PlaceError(str(error)) from error
        yield place
