"""The service on a real cluster, as its operator sees it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any

from kubernetes_asyncio import client
from kubernetes_asyncio.client import ApiException

from workers.kubernetes.deletion_cost import DELETION_COST

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

logger = logging.getLogger(__name__)

NAMESPACE = "leadtime"
# Of the release and its one model; accounts, Services and the Lease are named alike.
GATEWAY, WORKERS, SCALER, VALKEY = "leadtime-gateway", "leadtime-toy", "leadtime-scaler", "leadtime-valkey"
WORKERS_ACCOUNT = "leadtime-workers"
SECRET = "leadtime-redis"
LOOK_S = 0.2
PATIENCE_S = 300.0
# A scaler of ours keeps workers that may soon be needed: after a burst, for minutes.
IDLE_S = 900.0
_KEDA = ("keda.sh", "v1alpha1", NAMESPACE, "scaledobjects", WORKERS)
_MERGE = "application/merge-patch+json"


class Cluster:
    """What the tests see and change of the namespace."""

    def __init__(self, api: client.ApiClient) -> None:
        # The client's types know neither dictionaries for bodies nor `_content_type`.
        self.core: Any = client.CoreV1Api(api)
        self.apps: Any = client.AppsV1Api(api)
        self.custom: Any = client.CustomObjectsApi(api)
        self.network: Any = client.NetworkingV1Api(api)
        self.leases: Any = client.CoordinationV1Api(api)

    async def pods(self, component: str) -> list[Any]:
        """Pods that are not on their way out."""
        selector = f"app.kubernetes.io/name=leadtime,app.kubernetes.io/component={component}"
        found = await self.core.list_namespaced_pod(NAMESPACE, label_selector=selector)
        return [pod for pod in found.items if pod.metadata.deletion_timestamp is None]

    async def names(self, component: str = "worker") -> set[str]:
        """The names of these pods."""
        return {pod.metadata.name for pod in await self.pods(component)}

    async def delete(self, pod: str, grace_s: int | None = None) -> None:
        """Deletes a pod, with its own grace time or another; 0 kills it."""
        options = {} if grace_s is None else {"grace_period_seconds": grace_s}
        try:
            await self.core.delete_namespaced_pod(pod, NAMESPACE, **options)
        except ApiException as error:
            if error.status != 404:
                raise

    async def workers(self) -> Any:
        """The Deployment of the workers."""
        return await self.apps.read_namespaced_deployment(WORKERS, NAMESPACE)

    async def replicas(self) -> int:
        """How many workers the Deployment is to have."""
        return int((await self.apps.read_namespaced_deployment_scale(WORKERS, NAMESPACE)).spec.replicas or 0)

    async def ready(self) -> int:
        """How many workers are ready."""
        return sum(is_ready(pod) for pod in await self.pods("worker"))

    async def costs(self) -> dict[str, str | None]:
        """The deletion cost of every worker pod."""
        return {
            pod.metadata.name: (pod.metadata.annotations or {}).get(DELETION_COST) for pod in await self.pods("worker")
        }

    async def scale(self, replicas: int) -> None:
        """Sets the Deployment's replicas; KEDA must be paused."""
        body = {"spec": {"replicas": replicas}}
        await self.apps.patch_namespaced_deployment_scale(WORKERS, NAMESPACE, body)

    async def scale_valkey(self, replicas: int) -> None:
        """Takes the server away, 0, or brings it back, 1."""
        await self.apps.patch_namespaced_stateful_set_scale(VALKEY, NAMESPACE, {"spec": {"replicas": replicas}})

    async def scaled_by(self) -> str:
        """Who decides how many workers there are: "streams" (KEDA itself), or our scaler, by "keda" or "direct"."""
        try:
            scaler = await self.apps.read_namespaced_deployment(SCALER, NAMESPACE)
        except ApiException as error:
            if error.status != 404:
                raise
            return "streams"
        return environment(scaler).get("SCALER_MODE", "keda")

    async def most(self) -> int:
        """How many workers there may be."""
        if await self.scaled_by() == "direct":
            return int(environment(await self.apps.read_namespaced_deployment(SCALER, NAMESPACE))["MAX_REPLICAS"])
        return int((await self.scaled_object())["spec"]["maxReplicaCount"])

    @contextlib.asynccontextmanager
    async def account(self, name: str, pod: Any = None) -> AsyncIterator[client.ApiClient]:
        """The API as a ServiceAccount sees it; with a pod: by a token as that pod has it."""
        spec: dict[str, Any] = {"audiences": []}
        if pod is not None:
            bound = {"kind": "Pod", "apiVersion": "v1", "name": pod.metadata.name, "uid": pod.metadata.uid}
            spec["boundObjectRef"] = bound
        request = await self.core.create_namespaced_service_account_token(name, NAMESPACE, {"spec": spec})
        admin = self.core.api_client.configuration
        configuration = client.Configuration(host=admin.host)
        configuration.ssl_ca_cert = admin.ssl_ca_cert
        configuration.api_key = {"BearerToken": f"Bearer {request.status.token}"}
        async with client.ApiClient(configuration) as api:
            yield api

    async def scaled_object(self) -> dict[str, Any]:
        """The workers' ScaledObject."""
        found = await self.custom.get_namespaced_custom_object(*_KEDA)
        return dict(found)

    async def patch_scaled_object(self, body: dict[str, Any]) -> None:
        """Merges `body` into it."""
        await self.custom.patch_namespaced_custom_object(*_KEDA, body, _content_type=_MERGE)

    async def pause_keda(self, pause: bool) -> None:
        """Lets the tests, or KEDA again, set the replicas; returns when KEDA has heard of it."""
        await self.patch_scaled_object(
            {"metadata": {"annotations": {"autoscaling.keda.sh/paused": "true" if pause else None}}}
        )

        async def heard() -> bool:
            conditions = (await self.scaled_object()).get("status", {}).get("conditions", [])
            return any(c["type"] == "Paused" and (c["status"] == "True") is pause for c in conditions)

        await until(heard, "KEDA is paused" if pause else "KEDA goes on")

    async def until_replicas(self, wanted: Callable[[int], bool], what: str, patience_s: float = PATIENCE_S) -> None:
        """Returns when the number of wanted workers is as it should be."""

        async def reached() -> bool:
            return wanted(await self.replicas())

        await until(reached, what, patience_s)

    async def until_idle(self) -> None:
        """Returns when no worker is left, terminating ones included."""
        selector = "app.kubernetes.io/name=leadtime,app.kubernetes.io/component=worker"

        async def gone() -> bool:
            if await self.replicas():
                return False
            return not (await self.core.list_namespaced_pod(NAMESPACE, label_selector=selector)).items

        await until(gone, "all workers are gone", IDLE_S)


def environment(deployment: Any) -> dict[str, str]:
    """What is written down of a Deployment's one container's environment."""
    (container,) = deployment.spec.template.spec.containers
    return {entry.name: entry.value for entry in container.env if entry.value is not None}


def is_ready(pod: Any) -> bool:
    """Whether a pod's Ready condition is true."""
    return any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or [])


async def until(condition: Callable[[], Awaitable[bool]], what: str, patience_s: float = PATIENCE_S) -> float:
    """Looks until the condition holds; returns when that was (time.monotonic)."""
    deadline = time.monotonic() + patience_s
    while not await condition():
        assert time.monotonic() < deadline, f"not within {patience_s:g} s: {what}"
        await asyncio.sleep(LOOK_S)
    return time.monotonic()
