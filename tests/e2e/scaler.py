"""The scaler on the cluster: who leads, what it has said, and how it is taken away and brought back."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from kubernetes_asyncio import watch
from kubernetes_asyncio.client import ApiException

from bench.experiments.stage import forget
from tests.e2e.api import kubectl
from tests.e2e.cluster import GATEWAY, NAMESPACE, SCALER, is_ready, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.e2e.cluster import Cluster

LEASE = SCALER
REPLICAS = 2
# The log's time, what was decided, and why.
_DECISION = re.compile(r"^(\S+) INFO workers\.scaler\S*: (\d+) replicas: (.+)$", re.MULTILINE)


class LoggedDecision(NamedTuple):
    """A line of a scaler's log: a decision."""

    at: str
    replicas: int
    reason: str


class DeployedScaler:
    """Both replicas of it."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._began_s = time.monotonic()

    async def begin_anew(self) -> None:
        """Returns when there are scalers that have learnt nothing, and no worker."""
        await self.scale(0)
        command = (kubectl(), "--namespace", NAMESPACE, "exec", f"deployment/{GATEWAY}", "--", "python", "-c", forget())
        assert await (await asyncio.create_subprocess_exec(*command)).wait() == 0
        await self.scale(REPLICAS)
        await self._cluster.until_idle()
        self._began_s = time.monotonic()

    async def leader(self) -> str:
        """The pod that has the Lease; empty if none has."""
        try:
            lease = await self._cluster.leases.read_namespaced_lease(LEASE, NAMESPACE)
        except ApiException as error:
            if error.status != 404:
                raise
            return ""
        return _pod_of(lease)

    async def until_another_leads(self, former: str) -> float:
        """Returns when that was (time.monotonic)."""

        async def led() -> bool:
            return await self.leader() not in ("", former)

        return await until(led, f"another one than {former} has the Lease")

    async def decisions(self, pod: str) -> list[LoggedDecision]:
        """What a pod has logged since this object was made."""
        since_s = int(time.monotonic() - self._began_s) + 1
        text = await self._cluster.core.read_namespaced_pod_log(pod, NAMESPACE, since_seconds=since_s)
        return [LoggedDecision(at, int(replicas), reason) for at, replicas, reason in _DECISION.findall(text)]

    async def until_decided(self, pod: str) -> LoggedDecision:
        """Its first decision."""

        async def decided() -> bool:
            return bool(await self.decisions(pod))

        await until(decided, f"{pod} decides")
        return (await self.decisions(pod))[0]

    @contextlib.asynccontextmanager
    async def holders(self) -> AsyncIterator[list[str]]:
        """Who has had the Lease, in order, as long as the context is open; an empty name: it was given back."""
        seen: list[str] = []
        begun = asyncio.Event()

        async def look() -> None:
            options = {"field_selector": f"metadata.name={LEASE}", "timeout_seconds": 600}
            async with watch.Watch() as events:
                async for event in events.stream(
                    self._cluster.leases.list_namespaced_lease, NAMESPACE, **options
                ):  # fmt: skip
                    if (holder := _pod_of(event["object"])) not in seen[-1:]:
                        seen.append(holder)
                    begun.set()

        task = asyncio.create_task(look())
        try:
            async with asyncio.timeout(30):
                await begun.wait()
            yield seen
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def scale(self, replicas: int) -> None:
        """Takes all of it away, 0, or brings it back; returns when that is done."""
        body = {"spec": {"replicas": replicas}}
        await self._cluster.apps.patch_namespaced_deployment_scale(SCALER, NAMESPACE, body)
        await self.until_there(replicas)

    async def until_there(self, replicas: int = REPLICAS) -> None:
        """Returns when so many are ready, and no other is left."""
        selector = "app.kubernetes.io/name=leadtime,app.kubernetes.io/component=scaler"

        async def there() -> bool:
            pods = (await self._cluster.core.list_namespaced_pod(NAMESPACE, label_selector=selector)).items
            return len(pods) == replicas and all(map(is_ready, pods))

        await until(there, f"{replicas} scalers are there")


def _pod_of(lease: Any) -> str:
    # A holder is a pod and a word that tells its processes apart.
    return str(lease.spec.holder_identity or "").rpartition("_")[0]
