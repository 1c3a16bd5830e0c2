"""Watches the workers' pods: which are ready, which start and since when, and how long a start takes.

As many pods count as the Deployment wants. Pods beyond that do not: during a rolling update, for example, they replace
others. If there are fewer, the missing ones count as starting, though they have not been created yet.

Pods that get no place don't count as starting: the scheduler finds no node for them, or they are not even created, as
with a quota. If nodes have come for such pods before (a cluster autoscaler), a pod counts as starting for as long as
that took: its wait for a node is a part of its start-up, and is learnt with it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NoReturn

from workers.scaler.cluster.api import ApiError
from workers.scaler.cluster.missing_pods import MissingPods
from workers.scaler.cluster.placement import unschedulable
from workers.scaler.cluster.startup_parts import StartupParts
from workers.scaler.surroundings import ObservationError, ReplicasSeen
from workers.stream import backoff_s

if TYPE_CHECKING:
    from collections.abc import Iterable

    from workers.scaler.cluster.api import Document, KubernetesApi, Scale

logger = logging.getLogger(__name__)

# Seconds for which the last known pods count after the watch broke: usually it is there again by then.
_BROKEN_S = 5.0
# Seconds for which a pod that was ready, and is not any more, counts as ready: its worker may have lost Redis, but its
# model is loaded, and it is ready again as soon as Redis is back.
_UNREADY_S = 15.0
_PAUSE_S = 0.1
# Seconds that a start takes at least: the API's times are whole seconds, so that a start could take 0.
_LEAST_STARTUP_S = 0.5
# Waits for a node that are remembered; a pod is waited for as long as the longest of them, and as long again.
_NODE_WAITS = 20
_NODE_PATIENCE = 2.0
# Pods whose pulls are asked for in one observation.
_MOST_PULLS = 3


@dataclass(slots=True)
class _Pod:
    created_s: float
    restarts: int
    ready: bool
    ready_s: float
    unready_since_s: float | None = None
    was_starting: bool = False
    unplaced: str = ""  # why the scheduler finds no node


class PodObserver:
    """Observes one Deployment's pods; `run` must run beside it."""

    def __init__(self, api: KubernetesApi) -> None:
        self._api = api
        self._pods: dict[str, _Pod] = {}
        self._leaving: set[str] = set()  # pods that have been told to stop
        self._startups_s: list[float] = []
        self._parts = StartupParts()
        self._started: deque[Document] = deque(maxlen=100)  # pods that became ready, whose parts have yet to be learnt
        self._node_waits_s: deque[float] = deque(maxlen=_NODE_WAITS)
        self._missing = MissingPods(api)
        self._pulls_refused = False
        self._synced = False
        self._broken_s: float | None = None
        self._error = "they have not been listed yet"
        self.scale: Scale | None = None

    @property
    def age_s(self) -> float:
        """Seconds since the watch broke; 0 while it is there."""
        return 0.0 if self._broken_s is None else time.monotonic() - self._broken_s

    async def observe(self) -> ReplicasSeen:
        """Returns the pods now. Raises ObservationError."""
        self.scale = None
        try:
            scale = await self._api.scale()
        except ApiError as error:
            raise ObservationError(f"the Deployment {self._api.deployment} can't be read ({error})") from error
        if not self._synced or self.age_s > _BROKEN_S:
            raise ObservationError(f"the pods can't be watched ({self._error})")
        self.scale = scale
        startups_s, self._startups_s = tuple(self._startups_s), []
        await self._learn_parts()
        ready, ages_s, whys = self._count(time.time())
        surplus = ready + len(ages_s) + len(whys) - scale.wanted
        if surplus > 0:
            whys, surplus = whys[: max(0, len(whys) - surplus)], max(0, surplus - len(whys))
            ages_s = ages_s[: max(0, len(ages_s) - surplus)]  # the youngest first
            ready = min(ready, scale.wanted)
        if why := await self._missing.why(max(0, -surplus)):
            whys += [why] * -surplus
        else:
            ages_s += [0.0] * -surplus
        return ReplicasSeen(
            scale.current,
            ready,
            tuple(ages_s),
            startups_s,
            # The scale may count a pod as gone before the watch tells that it has been told to go.
            len(self._leaving) + max(0, len(self._pods) - max(scale.wanted, scale.current)),
            len(whys),
            whys[0] if whys else "",
            self._parts.medians_s(),
        )

    async def _learn_parts(self) -> None:
        for _ in range(min(_MOST_PULLS, len(self._started))):
            pod = self._started.popleft()
            pulls = None
            if not self._pulls_refused:
                try:
                    pulls = await self._api.pulls(pod["metadata"]["name"])
                except ApiError as error:
                    self._pulls_refused = error.status == 403
                    if self._pulls_refused:
                        logger.warning("events can't be read (%s): pulling counts as a part of starting", error)
            self._parts.learn(pod, pulls)

    def _count(self, now_s: float) -> tuple[int, list[float], list[str]]:
        ready, ages_s, whys = 0, [], []
        node_s = _NODE_PATIENCE * max(self._node_waits_s, default=0.0)
        for pod in self._pods.values():
            if pod.unplaced and now_s - pod.created_s >= node_s:
                whys.append(pod.unplaced)
            elif pod.ready or (pod.unready_since_s is not None and now_s - pod.unready_since_s < _UNREADY_S):
                ready += 1
            else:
                ages_s.append(max(0.0, now_s - (pod.unready_since_s or pod.created_s)))
        return ready, sorted(ages_s, reverse=True), whys

    # the watch

    async def run(self) -> NoReturn:
        """Never returns, whatever the API says."""
        waits = backoff_s(0.2, 5.0)
        while True:
            try:
                selector = (await self._api.scale()).selector
                pods, version = await self._api.pods(selector)
                self._take_all(pods)
                waits = backoff_s(0.2, 5.0)
                while True:
                    version = await self._watch(selector, version)
                    await asyncio.sleep(_PAUSE_S)
            except (ApiError, LookupError, TypeError, ValueError) as error:
                self._error = str(error)
                if self._broken_s is None:
                    self._broken_s = time.monotonic()
                    # 410: the watch's version is too old by now, which happens to every watch.
                    if getattr(error, "status", 0) != 410:
                        logger.warning("the pods' watch broke (%s), trying again", error)
            await asyncio.sleep(next(waits))

    async def _watch(self, selector: str, version: str) -> str:
        async with self._api.watch(selector, version) as events:
            self._connected()
            async for event in events:
                pod = event["object"]
                version = str(pod["metadata"]["resourceVersion"])
                if event["type"] == "DELETED":
                    self._pods.pop(pod["metadata"]["name"], None)
                    self._leaving.discard(pod["metadata"]["name"])
                elif event["type"] != "BOOKMARK":
                    self._take(pod)
        return version

    def _connected(self) -> None:
        self._synced = True
        if self._broken_s is not None:
            self._broken_s = None
            logger.info("the pods are watched again")

    def _take_all(self, pods: Iterable[Document]) -> None:
        names = set()
        for pod in pods:
            names.add(pod["metadata"]["name"])
            self._take(pod)
        for name in self._pods.keys() - names:
            del self._pods[name]
        self._leaving &= names

    def _take(self, document: Document) -> None:
        metadata, status = document["metadata"], document.get("status") or {}
        name = metadata["name"]
        if metadata.get("deletionTimestamp") or status.get("phase") in ("Succeeded", "Failed"):
            self._pods.pop(name, None)
            if status.get("phase") not in ("Succeeded", "Failed"):
                self._leaving.add(name)
            else:
                self._leaving.discard(name)
            return
        ready, ready_s = _readiness(status)
        restarts = sum(int(container.get("restartCount", 0)) for container in status.get("containerStatuses") or [])
        before = self._pods.get(name)
        pod = _Pod(_time_s(metadata["creationTimestamp"]), restarts, ready, ready_s, unplaced=unschedulable(document))
        if before is not None and before.unplaced and not pod.unplaced:
            self._node_waits_s.append(max(0.0, time.time() - pod.created_s))
        if before is None:
            pod.was_starting = not ready
        else:
            pod.was_starting = before.was_starting
            pod.unready_since_s = before.unready_since_s
            if ready and before.was_starting:
                self._startups_s.append(max(_LEAST_STARTUP_S, ready_s - pod.created_s))
                pod.was_starting = False
                self._started.append(document)
            if before.ready and not ready:
                pod.unready_since_s = time.time()
            if ready:
                pod.unready_since_s = None
            elif restarts > before.restarts:
                # The container restarted without its model: it starts once more, from now on.
                pod.unready_since_s, pod.created_s, pod.was_starting = None, time.time(), False
            elif pod.unready_since_s is None:
                pod.created_s = before.created_s
        self._pods[name] = pod


def _readiness(status: Document) -> tuple[bool, float]:
    for condition in status.get("conditions") or []:
        if condition.get("type") == "Ready":
            since_s = _time_s(condition.get("lastTransitionTime") or "")
            return condition.get("status") == "True", since_s
    return False, time.time()


def _time_s(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 time; now for what is none."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return time.time()
