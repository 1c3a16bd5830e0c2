"""Samples of the queue and the workers, once a second while a load runs.

The queue is seen through a gateway's metrics, the pods through a cluster's API: a pod that comes and goes between two
samples is not seen. What can't be seen is null in the samples, and never stops a run.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING, Any, Protocol

import aiohttp

from bench.common.runs import Samples
from bench.load.client import ServiceClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

_TIMEOUT_S = 5.0
# A metric without labels, in Prometheus' text format.
_METRIC = re.compile(r"^(\w+) ([-+]?(?:[\d.]+(?:e[-+]?\d+)?|Inf|NaN))$", re.MULTILINE)
WORKERS = "app.kubernetes.io/name=leadtime,app.kubernetes.io/component=worker"
COLUMNS = ("waiting", "running", "wanted", "starting", "ready", "stopping")


class ObserverError(Exception):
    """Why a cluster can't be observed at all, in one sentence."""


class Source(Protocol):
    """Something to look at."""

    async def look(self) -> Mapping[str, float]:
        """Values for some of COLUMNS, and perhaps more for the progress line; without those that can't be seen now."""
        ...


class QueueSource(ServiceClient):
    """The queue, as the metrics of the gateway at `url` show it."""

    def __init__(self, url: str, api_key: str | None = None) -> None:
        super().__init__(url, api_key, _TIMEOUT_S)

    async def scrape(self) -> dict[str, float]:
        """All metrics without labels, by name; none if there is no answer."""
        answer = await self.get("/metrics")
        text = answer.body.decode(errors="replace") if answer.status == 200 else ""
        return {name: float(value) for name, value in _METRIC.findall(text)}

    async def look(self) -> dict[str, float]:
        """waiting: never claimed, handed back, held ahead, or deferred. running: claimed. workers: of any state."""
        seen = await self.scrape()
        try:
            not_running = seen["leadtime_jobs_released"] + seen.get("leadtime_jobs_ahead", 0)
            return {
                "waiting": seen["leadtime_jobs_waiting"] + not_running + seen["leadtime_jobs_deferred"],
                "running": max(0, seen["leadtime_jobs_pending"] - not_running),
                "workers": seen["leadtime_workers"],
            }
        except KeyError:
            return {}


class PodSource:
    """The worker pods of a namespace, and how many their Deployments are to have; `pods` are those last seen.

    A `selector` narrows that to some Deployments; `deployments` is how many there are.
    """

    def __init__(self, api: Any, namespace: str, selector: str = WORKERS) -> None:
        from kubernetes_asyncio import client

        # The client's types do not know `_request_timeout`.
        self._core: Any = client.CoreV1Api(api)
        self._apps: Any = client.AppsV1Api(api)
        self._namespace = namespace
        self._selected: Any = {"label_selector": selector, "_request_timeout": _TIMEOUT_S}
        self.pods: list[Any] = []
        self.deployments = 0

    async def look(self) -> dict[str, float]:
        """As `see`, without errors."""
        from kubernetes_asyncio.client import ApiException

        with contextlib.suppress(ApiException, aiohttp.ClientError, OSError):
            return await self.see()
        return {}

    async def see(self) -> dict[str, float]:
        """wanted, starting, ready, stopping. Raises the client's errors."""
        deployments, pods = await asyncio.gather(
            self._apps.list_namespaced_deployment(self._namespace, **self._selected),
            self._core.list_namespaced_pod(self._namespace, **self._selected),
        )
        self.pods, self.deployments = pods.items, len(deployments.items)
        return {"wanted": float(sum(one.spec.replicas or 0 for one in deployments.items)), **states(pods.items)}


def states(pods: Iterable[Any]) -> dict[str, float]:
    """How many pods are starting, ready, stopping; those that have ended do not count."""
    counts = dict.fromkeys(("starting", "ready", "stopping"), 0.0)
    for pod in pods:
        if pod.status.phase not in ("Succeeded", "Failed"):
            is_ready = any(one.type == "Ready" and one.status == "True" for one in pod.status.conditions or [])
            counts["stopping" if pod.metadata.deletion_timestamp else "ready" if is_ready else "starting"] += 1
    return counts


@contextlib.asynccontextmanager
async def cluster(namespace: str, context: str | None = None, selector: str = WORKERS) -> AsyncIterator[PodSource]:
    """The cluster of kubectl's current context (or another one). Raises ObserverError if it shows no workers."""
    # It takes half a second to import.
    from kubernetes_asyncio import client, config

    configuration = client.Configuration()
    try:
        await config.load_kube_config(context=context, client_configuration=configuration)
    except (config.ConfigException, OSError, ValueError) as error:
        raise ObserverError(f"no cluster can be observed: kubectl has no current context ({error})") from error
    # Python 3.13 refuses the CA of many a cluster for want of a key usage extension. The chain is verified still.
    configuration.disable_strict_ssl_verification = True
    async with client.ApiClient(configuration) as api:
        found = PodSource(api, namespace, selector)
        try:
            await found.see()
        except client.ApiException as error:
            said = f"{error.status} {error.reason}"
            raise ObserverError(f"the namespace {namespace!r} can't be observed: {said}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise ObserverError(f"the cluster does not answer: {type(error).__name__}") from error
        if not found.deployments:
            raise ObserverError(f"the namespace {namespace!r} has no Deployment of workers ({selector})")
        yield found


class LoadObserver:
    """Looks at all sources every `every_s` seconds; `samples` has what was seen, `latest` the last look."""

    def __init__(self, sources: Sequence[Source], clock: Callable[[], float], every_s: float = 1.0) -> None:
        self.samples = Samples()
        self.latest: dict[str, int] = {}
        self._sources = sources
        self._clock = clock
        self._every_s = every_s

    async def run(self) -> None:
        """Never returns; ends by cancellation."""
        while True:
            await self.look()
            await asyncio.sleep(self._every_s - self._clock() % self._every_s)

    async def look(self) -> None:
        """Takes one sample."""
        at_s = self._clock()
        looks = await asyncio.gather(*(source.look() for source in self._sources))
        self.latest = {name: round(value) for seen in looks for name, value in seen.items()}
        self.samples.t_s.append(round(at_s, 3))
        self.samples.forecast.append(None)  # only a simulation knows it
        self.samples.spread.append(None)
        for column in COLUMNS:
            getattr(self.samples, column).append(self.latest.get(column))
