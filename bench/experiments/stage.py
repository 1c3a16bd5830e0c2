"""Brings a configuration onto the cluster, for a run that begins with no pod, no job, and a scaler without a past.

No two scalers are there at the same time: those of the last run are gone before the next one comes. What a scaler of
ours has learnt is in Redis, and is emptied before the next one begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from bench.experiments.configurations import with_image
from bench.experiments.kubectl import GATEWAY_DEPLOYMENT, SCALER_DEPLOYMENT, WORKERS_DEPLOYMENT, ClusterError
from bench.load.observer import WORKERS, QueueSource

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from bench.experiments.configurations import Manifest
    from bench.experiments.kubectl import Kubectl

SCALERS = "app.kubernetes.io/name=leadtime,app.kubernetes.io/component=scaler"
_FORGET = """
import asyncio
from workers.settings import StreamSettings
from workers.stream import Stream

async def forget():
    stream = Stream(StreamSettings(**SETTINGS))
    try:
        await stream.remember(state=b"", decision=b"")
    finally:
        await stream.close()

asyncio.run(forget())
"""
_LOOK_S = 1.0
_DRAIN_S = 1800.0
_PATIENCE_S = 900.0
_TRIES = 3
PAUSE_S = 5.0


def forget(queue: str | None = None) -> str:
    """A program that empties what a scaler has learnt of a queue, for a pod of the gateway: it knows the server.

    None is the queue that takes a push without a queue.
    """
    return _FORGET.replace("SETTINGS", repr({} if queue is None else {"queue_name": queue}))


class Stage:
    """The cluster's part of the experiments. All methods raise ClusterError."""

    def __init__(self, kubectl: Kubectl, url: str, say: Callable[[str], None], api_key: str | None = None) -> None:
        self._kubectl = kubectl
        self._metrics = QueueSource(url, api_key)
        self._say = say

    async def aclose(self) -> None:
        """Closes its connections."""
        await self._metrics.__aexit__()

    async def image(self) -> str:
        """The service's image, as it is deployed now."""
        return _image(await self._kubectl.json("deployment", GATEWAY_DEPLOYMENT))

    async def prepare(self, manifests: Sequence[Manifest], surplus: Sequence[Manifest]) -> None:
        """Returns when all of it is there and ready, with no worker; what is surplus is gone."""
        ready = with_image(manifests, await self.image())
        if not await self._is_empty():
            self._say("waiting for jobs of an earlier run to end")
            await self._kubectl.delete(list(surplus))
            await self._bring(ready)
            await self._until(self._is_empty, "the stream is empty", _DRAIN_S)
        await self._remove_scalers()
        await self._kubectl.delete(list(surplus))
        await self._kubectl.run("scale", "deployment", WORKERS_DEPLOYMENT, "--replicas=0")
        await self._until(self._is_idle, "no worker is left", _PATIENCE_S)
        await self._kubectl.run("exec", f"deployment/{GATEWAY_DEPLOYMENT}", "--", "python", "-c", forget())
        await self._bring(ready)
        await self._until(self._is_empty, "the stream is empty", _PATIENCE_S)
        await self._until(self._is_idle, "no worker is left", _PATIENCE_S)

    async def _remove_scalers(self) -> None:
        """A new HPA has no memory of the last run, and without KEDA or a scaler of ours nothing keeps workers."""
        await self._kubectl.run("delete", "scaledobjects", "--all", "--wait", "--timeout=120s")
        await self._kubectl.run(
            "delete", "deployment", SCALER_DEPLOYMENT, "--ignore-not-found", "--wait", "--timeout=120s"
        )
        await self._until(self._has_no_scaler, "no HPA and no scaler is left", _PATIENCE_S)
        await self._kubectl.run("delete", "lease", SCALER_DEPLOYMENT, "--ignore-not-found", "--wait", "--timeout=120s")

    async def _bring(self, manifests: list[Manifest]) -> None:
        """Applies the manifests and waits for them.

        KEDA hears of them last: it would start a worker for a scaler that is not there yet (`fallback`).
        """
        of_keda = [one for one in manifests if one["kind"] == "ScaledObject"]
        for part in ([one for one in manifests if one not in of_keda], of_keda):
            if part:
                await self._apply(part)
            for manifest in part:
                name = f"{manifest['kind'].lower()}/{manifest['metadata']['name']}"
                if manifest["kind"] in ("Deployment", "StatefulSet"):
                    await self._kubectl.run("rollout", "status", name, f"--timeout={_PATIENCE_S:g}s", timeout_s=960)
                if manifest["kind"] == "ScaledObject":
                    await self._kubectl.run("wait", "--for=condition=Ready", name, "--timeout=120s", timeout_s=180)

    async def _apply(self, manifests: list[Manifest]) -> None:
        """KEDA's admission webhook may have to be asked again."""
        for left in reversed(range(_TRIES)):
            try:
                await self._kubectl.apply(manifests)
                return
            except ClusterError:
                if not left:
                    raise
                await asyncio.sleep(PAUSE_S)

    async def _is_empty(self) -> bool:
        """Whether no job is outstanding; never by mistake."""
        seen = await self._metrics.scrape()
        return all(seen.get(f"leadtime_jobs_{state}") == 0 for state in ("waiting", "pending", "deferred"))

    async def _has_no_scaler(self) -> bool:
        autoscalers = await self._kubectl.json("horizontalpodautoscalers")
        pods = await self._kubectl.json("pods", f"--selector={SCALERS}")
        return not autoscalers["items"] and not pods["items"]

    async def _is_idle(self) -> bool:
        scale = await self._kubectl.json("deployment", WORKERS_DEPLOYMENT)
        pods = await self._kubectl.json("pods", f"--selector={WORKERS}")
        return not scale["spec"].get("replicas") and not pods["items"]

    async def _until(self, condition: Callable[[], Awaitable[bool]], what: str, patience_s: float) -> None:
        """Returns once the condition holds. If it can't be asked for, it is asked again."""
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            with contextlib.suppress(ClusterError):
                if await condition():
                    return
            await asyncio.sleep(_LOOK_S)
        raise ClusterError(f"not within {patience_s:g} s: {what}")

    async def versions(self) -> dict[str, str]:
        """Of what the service runs on; without what is not told."""
        version = await self._kubectl.json(verb="version")
        found = {"image": await self.image(), "kubernetes": str(version["serverVersion"]["gitVersion"])}
        operators = await self._kubectl.json("deployments", "--all-namespaces", "--selector=app=keda-operator")
        for operator in operators["items"]:
            found["KEDA"] = _image(operator)
        return found


def _image(deployment: Manifest) -> str:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return str(container["image"])
