"""A worker in a Kubernetes pod: how long it may take to stop, and what it costs to delete it.

When a ReplicaSet shrinks it deletes the pods with the lowest `controller.kubernetes.io/pod-deletion-cost` first
(of those that are ready; the others go before). A worker keeps it at the number of jobs that it runs, so that idle
pods go first. https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#pod-deletion-cost
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, NoReturn

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from workers.settings import NotNegative  # noqa: TC001 - pydantic reads it
from workers.stream import backoff_s

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.settings import WorkerSettings

logger = logging.getLogger(__name__)

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
# What a worker needs between the end of its grace and its exit: to stop its model, hand jobs back, leave the group.
HAND_BACK_S = 10.0
_LOOK_S = 0.5
_REQUEST_TIMEOUT_S = 10.0


class PodSettings(BaseSettings):
    """What a pod tells the worker in it."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

    pod_name: str = Field("", description="the worker's own pod; with POD_NAMESPACE: its deletion cost is kept true")
    pod_namespace: str = Field("", description="that pod's namespace")
    termination_s: NotNegative = Field(
        0.0,
        description=f"the pod's terminationGracePeriodSeconds: jobs get {HAND_BACK_S:g} s less, in place of GRACE_S; "
        "0 leaves that to GRACE_S",
    )

    @property
    def known(self) -> bool:
        """Whether there is a pod whose deletion cost can be kept."""
        return bool(self.pod_name and self.pod_namespace)

    def grace_s(self, settings: WorkerSettings) -> float:
        """How long a worker that was told to stop may finish its jobs, so that it is gone before it is killed."""
        return max(0.0, self.termination_s - HAND_BACK_S) if self.termination_s else settings.grace_s


async def keep_deletion_cost(running: Callable[[], int], pod: PodSettings, api_server: str | None = None) -> NoReturn:
    """Keeps the annotation of the worker's pod at what `running` says, within a second or so. Never returns.

    `running` counts the jobs that the pod's end would disturb. Without `api_server`, a URL, the API server is that of
    the cluster this runs in, with the pod's token. The count is read twice a second and written when it has changed,
    so that a worker with jobs of milliseconds does not write at their pace.
    """
    # Not at the top: a worker elsewhere needs nothing of it.
    import aiohttp
    from kubernetes_asyncio import client, config

    from workers.kubernetes.api import configuration

    try:
        reached = configuration(api_server)
    except config.ConfigException as error:
        logger.warning("the pod's deletion cost is not kept: %s", error)
        await asyncio.Event().wait()
    async with client.ApiClient(reached) as api:
        pods = client.CoreV1Api(api)
        waits = backoff_s(1.0, 60.0)
        written = None
        while True:
            cost = running()
            if cost != written:
                body = {"metadata": {"annotations": {DELETION_COST: str(cost)}}}
                try:
                    await pods.patch_namespaced_pod(
                        pod.pod_name, pod.pod_namespace, body, _request_timeout=_REQUEST_TIMEOUT_S
                    )
                except (client.ApiException, aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
                    reason = getattr(error, "reason", None) or repr(error)
                    logger.warning("the pod's deletion cost can't be written (%s), trying again", reason)
                    await asyncio.sleep(next(waits))
                    continue
                written = cost
                waits = backoff_s(1.0, 60.0)
            await asyncio.sleep(_LOOK_S)
