"""Brings a configuration onto the cluster, for a run that begins with no pod, no job, and a scaler without a past.

No two scalers are there at the same time: those of the last run are gone before the next one comes. What a scaler of
ours has learnt is in Redis, and is emptied before the next one begins.
"""

from __future__ import annotations

import asyncio
import copy
import time
from typing import TYPE_CHECKING

from bench.experiments.kubectl import ClusterError
from bench.load.observer import WORKERS, QueueSource

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from bench.experiments.configurations import Manifest
    from bench.experiments.kubectl import Kubectl

IMAGE = "leadtime:dev"
SCALER = "scaler"  # the Deployment, and the Lease of whoever leads
_SCALERS = "app.kubernetes.io/name=leadtime,app.kubernetes.io/component=scaler"
# Empties what a scaler has learnt. In a pod of the gateway: it knows the server, and which queue is meant.
FORGET = """
import asyncio
from workers.settings import StreamSettings
from workers.stream import Stream

async def forget():
    stream = Stream(StreamSettings())
    try:
        await stream.remember(state=b"", decision=b"")
    finally:
        await stream.close()

asyncio.run(forget())
"""
_OUTSTANDING = ("leadtime_jobs_waiting", "leadtime_jobs_pending", "leadtime_jobs_deferred")
_LOOK_S = 1.0
_DRAIN_S = 1800.0
_PATIENCE_S = 900.0
_ROLLOUT_S = 900.0
_TRIES = 3
PAUSE_S = 5.0


class Stage:
    """The cluster's part of the experiments. All methods raise ClusterError."""

    def __init__(self, kubectl: Kubectl, url: str, say: Callable[[str], None]) -> None:
        self._kubectl = kubectl
        self._metrics = QueueSource(url)
        self._say = say

    async def aclose(self) -> None:
        """Closes its connections."""
        await self._metrics.__aexit__()

    async def image(self) -> str:
        """The service's image, as it is deployed now."""
        gateway = await self._kubectl.json("deployment", "gateway")
        (container,) = gateway["spec"]["template"]["spec"]["containers"]
        return str(container["image"])

    async def prepare(self, manifests: Sequence[Manifest], surplus: Sequence[Manifest]) -> None:
        """Returns when all of it is there and ready, with no worker; what is surplus is gone."""
        ready = with_image(manifests, await self.image())
        if await self._outstanding():
            self._say("waiting for jobs of an earlier run to end")
            await self._kubectl.delete(list(surplus))
            await self._bring(ready)
            await self._until(self._is_empty, "the stream is empty", _DRAIN_S)
        await self._remove_scalers()
        await self._kubectl.delete(list(surplus))
        await self._kubectl.run("scale", "deployment", "workers", "--replicas=0")
        await self._until(self._is_idle, "no worker is left", _PATIENCE_S)
        await self._kubectl.run("exec", "deployment/gateway", "--", "python", "-c", FORGET)
        await self._bring(ready)
        await self._until(self._is_empty, "the stream is empty", _PATIENCE_S)
        await self._until(self._is_idle, "no worker is left", _PATIENCE_S)

    async def _remove_scalers(self) -> None:
        """A new HPA has no memory of the last run, and without KEDA or a scaler of ours nothing keeps workers."""
        await self._kubectl.run("delete", "scaledobjects", "--all", "--wait", "--timeout=120s")
        await self._kubectl.run("delete", "deployment", SCALER, "--ignore-not-found", "--wait", "--timeout=120s")
        await self._until(self._has_no_scaler, "no HPA and no scaler is left", _PATIENCE_S)
        await self._kubectl.run("delete", "lease", SCALER, "--ignore-not-found", "--wait", "--timeout=120s")

    async def _bring(self, manifests: list[Manifest]) -> None:
        """KEDA hears of it last: it would start a worker where its scaler is not there yet (`fallback`)."""
        scaled = [one for one in manifests if one["kind"] == "ScaledObject"]
        rest = [one for one in manifests if one["kind"] != "ScaledObject"]
        for part in (rest, scaled):
            if part:
                await self._apply(part)
                await self._wait(part)

    async def _apply(self, manifests: list[Manifest]) -> None:
        """KEDA's admission webhook may have to be asked again."""
        for attempt in range(_TRIES):
            try:
                await self._kubectl.apply(manifests)
            except ClusterError:
                if attempt == _TRIES - 1:
                    raise
                await asyncio.sleep(PAUSE_S)
            else:
                return

    async def _wait(self, manifests: list[Manifest]) -> None:
        """For what was applied."""
        for manifest in manifests:
            kind, name = manifest["kind"], manifest["metadata"]["name"]
            if kind in ("Deployment", "StatefulSet"):
                rollout = ("rollout", "status", f"{kind.lower()}/{name}", f"--timeout={_ROLLOUT_S:g}s")
                await self._kubectl.run(*rollout, timeout_s=_ROLLOUT_S + 60)
            if kind == "ScaledObject":
                await self._kubectl.run(
                    "wait", "--for=condition=Ready", f"scaledobject/{name}", "--timeout=120s", timeout_s=180
                )

    async def _outstanding(self) -> float:
        """Jobs that have not ended; never 0 by mistake."""
        seen = await self._metrics.scrape()
        return sum(seen.get(name, float("inf")) for name in _OUTSTANDING)

    async def _is_empty(self) -> bool:
        return not await self._outstanding()

    async def _has_no_scaler(self) -> bool:
        autoscalers = await self._kubectl.json("horizontalpodautoscalers")
        pods = await self._kubectl.json("pods", f"--selector={_SCALERS}")
        return not autoscalers["items"] and not pods["items"]

    async def _is_idle(self) -> bool:
        scale = await self._kubectl.json("deployment", "workers")
        pods = await self._kubectl.json("pods", f"--selector={WORKERS}")
        return not scale["spec"].get("replicas") and not pods["items"]

    async def _until(self, condition: Callable[[], Awaitable[bool]], what: str, patience_s: float) -> None:
        """A look that fails is no answer."""
        deadline = time.monotonic() + patience_s
        trouble = ""
        while time.monotonic() < deadline:
            try:
                if await condition():
                    return
            except ClusterError as error:
                trouble = f" ({error})"
            await asyncio.sleep(_LOOK_S)
        raise ClusterError(f"not within {patience_s:g} s: {what}{trouble}")

    async def versions(self) -> dict[str, str]:
        """Of what the service runs on; without what is not told."""
        found = {"image": await self.image(), "kubernetes": await self._kubectl.version()}
        operators = await self._kubectl.json("deployments", "--all-namespaces", "--selector=app=keda-operator")
        for operator in operators["items"]:
            (container,) = operator["spec"]["template"]["spec"]["containers"]
            found["KEDA"] = str(container["image"])
        return found


def with_image(manifests: Sequence[Manifest], image: str) -> list[Manifest]:
    """A copy, with the deployed image for the one that manifests name."""
    copied = copy.deepcopy(list(manifests))
    for manifest in copied:
        template = manifest.get("spec", {}).get("template", {})
        for container in template.get("spec", {}).get("containers", []):
            if container["image"] == IMAGE:
                container["image"] = image
    return copied
