"""What can be seen of the queue and the workers while a load runs, about once a second.

The queue: by the gateway's metrics. Replicas: by a cluster's API, looked at just as often: a pod that comes and
goes between two looks is not seen. What can't be seen is null, and never stops a run.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Protocol, Self

import aiohttp

from bench.common.runs import Samples

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

EVERY_S = 1.0
_TIMEOUT_S = 5.0
_FIGURE = re.compile(r"^(\w+) (\S+)$", re.MULTILINE)
WORKERS = "app.kubernetes.io/name=leadtime,app.kubernetes.io/component=worker"
COLUMNS = ("waiting", "running", "wanted", "starting", "ready", "stopping", "forecast")


class ObserverError(Exception):
    """Why something can't be observed at all, in one sentence."""


class Source(Protocol):
    """Something to look at."""

    async def look(self) -> Mapping[str, float]:
        """Some of COLUMNS, and perhaps more for the live view; without what can't be seen now."""
        ...


def figures(text: str) -> dict[str, float]:
    """Metrics without labels, by name, of Prometheus' text format."""
    found = {}
    for name, value in _FIGURE.findall(text):
        with contextlib.suppress(ValueError):
            found[name] = float(value)
    return found


class Metrics:
    """A Prometheus endpoint: `columns` says which of its metrics without labels go where. As a context."""

    def __init__(self, url: str, columns: Mapping[str, str]) -> None:
        self._url = url
        self._columns = columns
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def look(self) -> dict[str, float]:
        """Those that are there."""
        seen = await self.scrape()
        return {column: seen[name] for name, column in self._columns.items() if name in seen}

    async def scrape(self) -> dict[str, float]:
        """All metrics without labels; none if there is no answer."""
        try:
            async with self._session.get(self._url) as response:
                return figures(await response.text()) if response.status == 200 else {}
        except (aiohttp.ClientError, OSError, UnicodeDecodeError):
            return {}


class Gateway(Metrics):
    """The queue, as a gateway's metrics show it."""

    def __init__(self, url: str) -> None:
        super().__init__(f"{url.rstrip('/')}/metrics", {})

    async def look(self) -> dict[str, float]:
        """waiting: never claimed, handed back, or deferred. running: claimed. workers: registered ones of any state."""
        seen = await self.scrape()
        try:
            released = seen["leadtime_jobs_released"]
            return {
                "waiting": seen["leadtime_jobs_waiting"] + released + seen["leadtime_jobs_deferred"],
                "running": seen["leadtime_jobs_pending"] - released,
                "workers": seen["leadtime_workers"],
            }
        except KeyError:
            return {}


class Cluster:
    """The worker pods of a namespace, and how many their Deployment is to have."""

    def __init__(self, api: Any, namespace: str, deployment: str = "workers", selector: str = WORKERS) -> None:
        from kubernetes_asyncio import client

        # The client's types do not know `_request_timeout`.
        self._core: Any = client.CoreV1Api(api)
        self._apps: Any = client.AppsV1Api(api)
        self._namespace = namespace
        self._deployment = deployment
        self._selector = selector
        self.pods: list[Any] = []  # as they were at the last look

    async def look(self) -> dict[str, float]:
        """wanted, starting, ready, stopping."""
        from kubernetes_asyncio.client import ApiException

        try:
            return await self.see()
        except (ApiException, aiohttp.ClientError, OSError):
            return {}

    async def see(self) -> dict[str, float]:
        """The same. Raises the client's errors."""
        scale, pods = await asyncio.gather(
            self._apps.read_namespaced_deployment_scale(self._deployment, self._namespace, _request_timeout=_TIMEOUT_S),
            self._core.list_namespaced_pod(self._namespace, label_selector=self._selector, _request_timeout=_TIMEOUT_S),
        )
        self.pods = pods.items
        return {"wanted": float(scale.spec.replicas or 0), **states(pods.items)}


def states(pods: Iterable[Any]) -> dict[str, float]:
    """How many pods are starting, ready, stopping; those that have ended are none of them."""
    counts = Counter(state for state in map(_state, pods) if state)
    return {state: float(counts[state]) for state in ("starting", "ready", "stopping")}


def _state(pod: Any) -> str | None:
    if pod.status.phase in ("Succeeded", "Failed"):
        return None
    if pod.metadata.deletion_timestamp is not None:
        return "stopping"
    ready = any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or [])
    return "ready" if ready else "starting"


@contextlib.asynccontextmanager
async def cluster(namespace: str, context: str | None = None) -> AsyncIterator[Cluster]:
    """The cluster of kubectl's current context (or another one). Raises ObserverError if it shows no workers."""
    # It takes half a second to import.
    from kubernetes_asyncio import client, config
    from kubernetes_asyncio.client import ApiException

    configuration = client.Configuration()
    try:
        await config.load_kube_config(context=context, client_configuration=configuration)
    except (config.ConfigException, OSError, ValueError) as error:
        raise ObserverError(f"no cluster can be observed: kubectl has no current context ({error})") from error
    # Python 3.13 refuses the CA of many a cluster for want of a key usage extension. The chain is verified still.
    configuration.disable_strict_ssl_verification = True
    async with client.ApiClient(configuration) as api:
        found = Cluster(api, namespace)
        try:
            await found.see()
        except ApiException as error:
            reason = f"{error.status} {error.reason}"
            raise ObserverError(f"the namespace {namespace!r} can't be observed: {reason}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise ObserverError(f"the cluster does not answer: {type(error).__name__}") from error
        yield found


class Observer:
    """Looks at all sources every `every_s` seconds of `clock`, and keeps what it sees in `samples`.

    `latest` is the last look, with what the columns have no place for.
    """

    def __init__(self, sources: Sequence[Source], clock: Callable[[], float], every_s: float = EVERY_S) -> None:
        self.samples = Samples()
        self.latest: dict[str, float] = {}
        self._sources = sources
        self._clock = clock
        self._every_s = every_s

    async def run(self) -> None:
        """Until it is cancelled."""
        looks = 0
        while True:
            await self.look()
            looks = max(looks + 1, int(self._clock() / self._every_s))
            await asyncio.sleep(max(0.0, looks * self._every_s - self._clock()))

    async def look(self) -> None:
        """One look."""
        at_s = self._clock()
        seen: dict[str, float] = {}
        for part in await asyncio.gather(*(source.look() for source in self._sources)):
            seen |= part
        self.latest = seen
        self.samples.t_s.append(round(at_s, 3))
        for column in COLUMNS:
            value = seen.get(column)
            if column != "forecast" and value is not None:
                value = round(value)
            getattr(self.samples, column).append(value)


@contextlib.asynccontextmanager
async def observing(observer: Observer) -> AsyncIterator[Observer]:
    """The observer looks for the block's time, and once at its end."""
    task = asyncio.create_task(observer.run())
    try:
        yield observer
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    await observer.look()
