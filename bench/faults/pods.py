"""Faults in a cluster: pods of the service are deleted, with and without grace."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

from bench.experiments.address import address
from bench.experiments.kubectl import ClusterError, Kubectl, current
from bench.faults.place import Fault, PlaceError, Queue
from bench.load.observer import ObserverError, QueueSource, cluster

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Sequence

    from bench.faults.schedule import Kind
    from bench.load.observer import Source

_STREAM = "{leadtime}:stream"
_COMPONENTS: dict[Kind, str] = {"worker": "worker", "server": "valkey", "gateway": "gateway"}
_NAMES: dict[Kind, str] = {"worker": "the worker pod", "server": "the server's pod", "gateway": "the gateway's pod"}
LOOK_S = 1.0
_PATIENCE_S = 300.0


class Pods:
    """Pods of one namespace. A pod with grace hands its job back, which costs no attempt."""

    def __init__(self, kubectl: Kubectl, url: str, gateway: QueueSource, pods: Source, concurrency: int) -> None:
        self.url = url
        self.sources: Sequence[Source] = [gateway, pods]
        self._kubectl = kubectl
        self._gateway = gateway
        self._concurrency = concurrency
        self._restarts: dict[str, int] = {}

    async def open(self) -> None:
        """Remembers what has restarted before."""
        self._restarts = {pod["metadata"]["uid"]: _restarts(pod) for pod in await self._all()}

    async def inflict(self, kind: Kind, rng: random.Random) -> Fault | None:
        """A worker is KEDA's to replace; the server and the gateway are back when this returns."""
        try:
            there = await self._live(kind)
            if not there:
                return None
            gentle = rng.random() < 0.5
            pod = rng.choice(there)
            workers = len(await self._live("worker")) if kind == "server" else 0
            what = f"{_NAMES[kind]} {pod['metadata']['name']} was deleted {_how(kind, gentle)}"
            began_s = time.monotonic()
            await self._delete(kind, pod["metadata"]["name"], gentle)
            if kind == "worker":
                return Fault(kind, what, 0 if gentle else self._concurrency)
            await self._until_back(kind, pod["metadata"]["uid"], len(there))
            return Fault(
                kind, f"{what}, ready again after {time.monotonic() - began_s:.1f} s", workers * self._concurrency
            )
        except ClusterError as error:
            raise PlaceError(f"{_NAMES[kind]} can't be deleted: {error}") from error

    async def _delete(self, kind: Kind, name: str, gentle: bool) -> None:
        # By force a StatefulSet's next pod may begin before the last one has ended: two servers on one volume.
        now = () if gentle else ("--grace-period=1",) if kind == "server" else ("--grace-period=0", "--force")
        await self._kubectl.run("delete", "pod", name, "--ignore-not-found", "--wait=false", *now)

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
            lag, pending = int(seen["leadtime_jobs_waiting"]), int(seen["leadtime_jobs_pending"])
            deferred = int(seen["leadtime_jobs_deferred"])
        except KeyError:
            return None
        try:
            servers = await self._live("server")
            if not servers:
                return Queue(None, lag, pending, deferred, None)
            ask = ("exec", servers[0]["metadata"]["name"], "--", "valkey-cli", "--no-auth-warning")
            said = (await self._kubectl.run(*ask, "XINFO", "STREAM", _STREAM)).split()
        except ClusterError:
            return None
        return Queue(_number(said, "length"), lag, pending, deferred, _number(said, "entries-added"))

    async def complaints(self) -> list[str]:
        """Containers that have restarted: a deleted pod is another pod then, and no restart."""
        try:
            pods = await self._all()
        except ClusterError as error:
            return [str(error)]
        return [
            f"a container of {pod['metadata']['name']} has restarted by itself"
            for pod in pods
            if _restarts(pod) > self._restarts.get(pod["metadata"]["uid"], 0)
        ]

    async def _all(self) -> list[dict[str, Any]]:
        found = await self._kubectl.json("pods", "--selector=app.kubernetes.io/name=leadtime")
        return list(found["items"])

    async def _live(self, kind: Kind) -> list[dict[str, Any]]:
        """Those that are not on their way out, in the order of their names."""
        selector = f"app.kubernetes.io/name=leadtime,app.kubernetes.io/component={_COMPONENTS[kind]}"
        found = await self._kubectl.json("pods", f"--selector={selector}")
        live = [pod for pod in found["items"] if "deletionTimestamp" not in pod["metadata"]]
        return sorted(live, key=lambda pod: str(pod["metadata"]["name"]))


def _how(kind: Kind, gentle: bool) -> str:
    if gentle:
        return "with grace"
    return "with a second of grace" if kind == "server" else "without grace"


def _ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions") or []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _restarts(pod: dict[str, Any]) -> int:
    return sum(one["restartCount"] for one in pod["status"].get("containerStatuses") or [])


def _number(words: Sequence[str], name: str) -> int:
    """The word behind a name in what valkey-cli says."""
    return int(words[words.index(name) + 1])


async def _concurrency(kubectl: Kubectl) -> int:
    workers = await kubectl.json("deployment", "workers")
    (container,) = workers["spec"]["template"]["spec"]["containers"]
    return next((int(one["value"]) for one in container.get("env", []) if one["name"] == "CONCURRENCY"), 1)


@contextlib.asynccontextmanager
async def pods(url: str | None, api_key: str | None = None) -> AsyncIterator[Pods]:
    """Of the cluster of kubectl's current context. Raises PlaceError if the service can't be seen there."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            kubectl = await current()
            found = url or await address(kubectl, api_key)
            gateway = await stack.enter_async_context(QueueSource(found))
            seen = await stack.enter_async_context(cluster(kubectl.namespace, kubectl.context))
            place = Pods(kubectl, found, gateway, seen, await _concurrency(kubectl))
            await place.open()
        except (ClusterError, ObserverError) as error:
            raise PlaceError(str(error)) from error
        yield place
