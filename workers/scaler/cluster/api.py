"""The requests to the Kubernetes API: one Deployment's scale, its pods, and Lease objects. Documents are JSON."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import aiohttp
import orjson
from kubernetes_asyncio import client, config

from workers.kubernetes.api import configuration

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

Document = dict[str, Any]

# Seconds that a request may take: less than the time between one leader's end and the next one's beginning
# (election.py).
TIMEOUT_S = 3.0
# Seconds after which the server ends a watch, and a new one begins; one that is silent for longer is dead.
WATCH_S = 30
_WATCH_SLACK_S = 10.0


class ApiError(Exception):
    """The API server refused, or could not be reached: then `status` is 0."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Scale(NamedTuple):
    """A Deployment's scale: replicas wanted, replicas there (not terminating), and its pods' label selector."""

    wanted: int
    current: int
    selector: str


class KubernetesApi:
    """One namespace and one Deployment in it. Every method raises ApiError."""

    def __init__(self, namespace: str, deployment: str, api_server: str | None = None) -> None:
        """Takes the API server's URL; by default that of this pod's cluster. Raises ApiError outside of one."""
        try:
            self._api = client.ApiClient(configuration(api_server))
        except config.ConfigException as error:
            raise ApiError(0, f"this is no pod of a cluster, or it has no token: {error}") from error
        # The client's types know neither plain responses nor dictionaries for bodies.
        self._core: Any = client.CoreV1Api(self._api)
        self._apps: Any = client.AppsV1Api(self._api)
        self._leases: Any = client.CoordinationV1Api(self._api)
        self.namespace = namespace
        self.deployment = deployment

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._api.close()

    async def scale(self) -> Scale:
        """Returns the Deployment's scale now."""
        found = await _document(
            self._apps.read_namespaced_deployment_scale(self.deployment, self.namespace, **_OPTIONS)
        )
        spec, status = found.get("spec") or {}, found.get("status") or {}
        return Scale(int(spec.get("replicas", 0)), int(status.get("replicas", 0)), str(status.get("selector", "")))

    async def set_replicas(self, replicas: int) -> None:
        """Patches the Deployment's scale."""
        await _document(
            self._apps.patch_namespaced_deployment_scale(
                self.deployment, self.namespace, {"spec": {"replicas": replicas}}, **_OPTIONS
            )
        )

    async def pods(self, selector: str) -> tuple[list[Document], str]:
        """Returns all pods, and the version from which a watch goes on."""
        found = await _document(self._core.list_namespaced_pod(self.namespace, label_selector=selector, **_OPTIONS))
        return list(found.get("items") or []), str(found["metadata"]["resourceVersion"])

    @contextlib.asynccontextmanager
    async def watch(self, selector: str, version: str) -> AsyncIterator[AsyncIterator[Document]]:
        """Yields the changes of pods since `version`, as watch events, which end by themselves now and then."""
        response = await _response(
            self._core.list_namespaced_pod(
                self.namespace,
                label_selector=selector,
                resource_version=version,
                watch=True,
                allow_watch_bookmarks=True,
                timeout_seconds=WATCH_S,
                _preload_content=False,
                _request_timeout=(TIMEOUT_S, WATCH_S + _WATCH_SLACK_S),
            )
        )
        async with response:
            yield _events(response)

    async def deployment_object(self) -> Document:
        """Returns the Deployment."""
        return await _document(self._apps.read_namespaced_deployment(self.deployment, self.namespace, **_OPTIONS))

    async def pulls(self, pod: str) -> list[Document]:
        """Returns the events that tell of a pod's images that were pulled, or were there."""
        found = await _document(
            self._core.list_namespaced_event(
                self.namespace, field_selector=f"involvedObject.name={pod},reason=Pulled", limit=20, **_OPTIONS
            )
        )
        return list(found.get("items") or [])

    async def lease_object(self, name: str) -> Document | None:
        """Returns a Lease object, or None if there is none."""
        try:
            return await _document(self._leases.read_namespaced_lease(name, self.namespace, **_OPTIONS))
        except ApiError as error:
            if error.status != 404:
                raise
            return None

    async def create_lease_object(self, lease: Document) -> Document:
        """Creates a Lease object. Refused (409) if there is one."""
        return await _document(self._leases.create_namespaced_lease(self.namespace, lease, **_OPTIONS))

    async def replace_lease_object(self, name: str, lease: Document) -> Document:
        """Replaces a Lease object. Refused (409) if it is not of the version in `lease` any more."""
        return await _document(self._leases.replace_namespaced_lease(name, self.namespace, lease, **_OPTIONS))


_OPTIONS: dict[str, Any] = {"_preload_content": False, "_request_timeout": TIMEOUT_S}


async def _response(call: Awaitable[Any]) -> aiohttp.ClientResponse:
    try:
        response: aiohttp.ClientResponse = await call
        if response.status < 300:
            return response
        async with response:
            text = await response.read()
    except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
        raise ApiError(0, str(error) or type(error).__name__) from error
    message = response.reason or ""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        message = str(orjson.loads(text)["message"])
    raise ApiError(response.status, message or f"status {response.status}")


async def _document(call: Awaitable[Any]) -> Document:
    response = await _response(call)
    try:
        async with response:
            found = orjson.loads(await response.read())
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise ApiError(0, str(error) or type(error).__name__) from error
    if not isinstance(found, dict):
        raise ApiError(0, "the answer is no object")
    return found


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[Document]:
    try:
        async for line in response.content:
            event = orjson.loads(line)
            if event["type"] == "ERROR":
                status = event["object"]
                raise ApiError(int(status.get("code", 0)), str(status.get("message", "")))
            yield event
    except (aiohttp.ClientError, OSError, ValueError, KeyError, TypeError) as error:
        raise ApiError(0, str(error) or type(error).__name__) from error
