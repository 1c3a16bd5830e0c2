"""Pods die under load; every job that was accepted ends finished."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import time
from typing import TYPE_CHECKING

from deploy.kubernetes.chart import CHART, RELEASE
from deploy.kubernetes.helm import upgrade
from tests.e2e.cluster import NAMESPACE, WORKERS, environment, is_ready, until
from tests.e2e.helm import revision, rollback, values_of_release

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.e2e.api import Api
    from tests.e2e.cluster import Cluster

logger = logging.getLogger(__name__)

CALM_S = float(os.environ.get("E2E_CALM_S", "300"))
AWAY_S = 45


async def push_steadily(api: Api, every_s: float, for_s: float) -> list[str]:
    """The ids of jobs pushed one after another."""
    ids: list[str] = []
    end = time.monotonic() + for_s
    while time.monotonic() < end:
        ids.append(await api.push(f"steady {len(ids)}"))
        await asyncio.sleep(every_s)
    return ids


@contextlib.asynccontextmanager
async def steady_pushes(api: Api, every_s: float) -> AsyncIterator[list[str]]:
    """Pushes jobs one after another as long as the context is open; their ids, complete when it is closed."""
    ids: list[str] = []
    ended = asyncio.Event()

    async def push() -> None:
        while not ended.is_set():
            ids.append(await api.push(f"steady {len(ids)}"))
            await asyncio.sleep(every_s)

    task = asyncio.create_task(push())
    try:
        yield ids
    finally:
        ended.set()
        await task


async def check_all_finished(api: Api, ids: list[str]) -> None:
    """Each has its own result."""
    results = await asyncio.gather(*map(api.result, ids))
    assert [result["id"] for result in results] == ids
    assert [result["input"] for result in results] == [f"steady {n}" for n in range(len(ids))]
    statuses = await asyncio.gather(*map(api.status, ids))
    assert {status["status"] for status in statuses} == {"finished"}
    latencies = sorted(result["latency"] for result in results)
    logger.info(
        "%d jobs finished; attempts %s; latency median %.1f s, longest %.1f s; trouble on the way: %s",
        *(len(ids), sorted({s["attempts"] for s in statuses}), latencies[len(ids) // 2], latencies[-1]),
        dict(api.trouble),
    )


async def test_longer_calm_test_with_faults(cluster: Cluster, api: Api) -> None:
    """0.1 jobs/s for five minutes, a random worker pod deleted every 30 s: gently or not, as it comes."""
    pushing = asyncio.create_task(push_steadily(api, 10, CALM_S))
    deleted = []
    while not pushing.done():
        await asyncio.wait([pushing], timeout=30)
        if names := sorted(await cluster.names()):
            grace_s = random.choice([None, 0])
            deleted.append(grace_s)
            await cluster.delete(random.choice(names), grace_s)
    logger.info("%d worker pods were deleted, %d of them without grace", len(deleted), deleted.count(0))
    await check_all_finished(api, await pushing)
    assert deleted


async def test_valkey_pod_deleted_under_load(cluster: Cluster, api: Api) -> None:
    """Its data and its address outlive it."""
    pushing = asyncio.create_task(push_steadily(api, 1, 40))
    await asyncio.sleep(15)
    (before,) = await cluster.pods("valkey")
    await cluster.delete(before.metadata.name, 0)
    deleted_s = time.monotonic()

    async def is_back() -> bool:
        pods = await cluster.pods("valkey")
        return [pod.metadata.uid for pod in pods] != [before.metadata.uid] and len(pods) == 1 and is_ready(pods[0])

    logger.info("Valkey was ready again after %.1f s", await until(is_back, "Valkey is back") - deleted_s)
    await check_all_finished(api, await pushing)


async def test_workers_stay_while_the_server_is_away(cluster: Cluster, api: Api) -> None:
    """KEDA can't read the stream: nobody is sent away, and what was accepted is finished when it is back."""
    ids = [await api.push(f"steady {n}") for n in range(20)]

    async def some_ready() -> bool:
        return await cluster.ready() >= 3

    await until(some_ready, "three workers are ready")
    there = await cluster.replicas()
    await cluster.scale_valkey(0)
    try:
        for _ in range(AWAY_S):
            await asyncio.sleep(1)
            assert await cluster.replicas() >= there
    finally:
        await cluster.scale_valkey(1)
    await check_all_finished(api, ids)


async def test_rolling_update_under_load(cluster: Cluster, api: Api) -> None:
    """New pods have loaded their model before old ones go; old ones end their jobs."""
    pushing = asyncio.create_task(push_steadily(api, 1.5, 60))

    async def some_ready() -> bool:
        return await cluster.ready() >= 2

    await until(some_ready, "two workers are ready")
    old = await cluster.names()
    body = {"spec": {"template": {"metadata": {"annotations": {"leadtime/e2e": str(time.time())}}}}}
    await cluster.apps.patch_namespaced_deployment(WORKERS, NAMESPACE, body)
    began_s = time.monotonic()

    async def rolled() -> bool:
        return not old & await cluster.names() and await cluster.ready() > 0

    logger.info(
        "rolled after %.1f s", await until(rolled, "new workers are ready, old ones on their way out") - began_s
    )
    ids = await pushing
    await check_all_finished(api, ids)
    assert {(await api.status(job_id))["attempts"] for job_id in ids} == {1}


async def test_a_version_back_under_load(cluster: Cluster, api: Api) -> None:
    """`helm rollback` brings pods of the template before, and costs no job an attempt."""
    values = await asyncio.to_thread(values_of_release, RELEASE, NAMESPACE)
    before = await asyncio.to_thread(revision, RELEASE, NAMESPACE)
    defaults = values.get("modelDefaults", {})
    other = values | {"modelDefaults": defaults | {"env": defaults.get("env", {}) | {"E2E_VERSION": "next"}}}

    async def template() -> str:
        """The one that all workers' pods have; empty while there is no ready one, or of several."""
        pods = await cluster.pods("worker")
        found = {pod.metadata.labels["pod-template-hash"] for pod in pods}
        return found.pop() if len(found) == 1 and any(map(is_ready, pods)) else ""

    async def two_ready() -> bool:
        return await cluster.ready() >= 2

    async def next_is_there() -> bool:
        return await template() not in ("", old)

    async def old_is_back() -> bool:
        return await template() == old

    async with steady_pushes(api, 1.5) as ids:
        await until(two_ready, "two workers are ready")
        old = await template()
        assert old
        began_s = time.monotonic()
        await asyncio.to_thread(upgrade, CHART, RELEASE, NAMESPACE, other)
        try:
            forth_s = await until(next_is_there, "all workers are of the next version") - began_s
            assert environment(await cluster.workers()).get("E2E_VERSION") == "next"
        finally:
            began_s = time.monotonic()
            await asyncio.to_thread(rollback, RELEASE, NAMESPACE, before)
        back_s = await until(old_is_back, "all workers are of the version before") - began_s
    logger.info("the next version was there after %.1f s, the one before after %.1f s", forth_s, back_s)

    await check_all_finished(api, ids)
    assert {(await api.status(job_id))["attempts"] for job_id in ids} == {1}
    assert "E2E_VERSION" not in environment(await cluster.workers())
    assert await asyncio.to_thread(revision, RELEASE, NAMESPACE) == before + 2
    assert await asyncio.to_thread(values_of_release, RELEASE, NAMESPACE) == values
