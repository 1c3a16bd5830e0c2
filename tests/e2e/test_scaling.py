"""Workers come and go with the jobs, as KEDA reads them in the stream, and take none with them."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import until
from tests.e2e.jobs import push_many, results_of

if TYPE_CHECKING:
    from tests.e2e.api import Api
    from tests.e2e.cluster import Cluster

logger = logging.getLogger(__name__)

pytestmark = pytest.mark.scaled_by("streams")


async def test_first_job_wakes_a_worker_and_the_last_one_lets_it_go(cluster: Cluster, api: Api) -> None:
    """0 -> 1 -> 0, with how long each step took."""
    await cluster.until_idle()
    pushed_s = time.monotonic()
    job_id = await api.push("alone")
    result = asyncio.create_task(api.result(job_id))

    async def is_wanted() -> bool:
        return await cluster.replicas() > 0

    async def is_created() -> bool:
        return bool(await cluster.names())

    async def is_ready() -> bool:
        return await cluster.ready() > 0

    steps = {
        "activation": await until(is_wanted, "a worker is wanted"),
        "pod created": await until(is_created, "its pod is there"),
        "ready": await until(is_ready, "it is ready"),
    }
    document = await result
    steps["finished"] = time.monotonic()
    assert document["input"] == "alone"
    assert await cluster.replicas() == 1
    await cluster.until_replicas(lambda n: n == 0, "no worker is wanted")
    steps["scaled to zero"] = time.monotonic()
    await cluster.until_idle()
    steps["worker gone"] = time.monotonic()
    logger.info("one job, seconds since its push: %s", {k: round(v - pushed_s, 1) for k, v in steps.items()})


async def test_backlog_gets_as_many_workers_as_it_may(cluster: Cluster, api: Api) -> None:
    """0 -> max -> 0. Never fewer workers than running jobs."""
    await cluster.until_idle()
    most: int = (await cluster.scaled_object())["spec"]["maxReplicaCount"]
    pushed_s = time.monotonic()
    ids = await push_many(api, "backlog", 5 * most)
    timeline: list[tuple[float, int, int, int]] = []

    async def look() -> bool:
        figures, replicas = await api.figures(), await cluster.replicas()
        row = (replicas, await cluster.ready(), int(figures["leadtime_jobs_pending"]))
        assert replicas <= most
        if not timeline or timeline[-1][1:] != row:
            timeline.append((round(time.monotonic() - pushed_s, 1), *row))
        return replicas + figures["leadtime_jobs_waiting"] + figures["leadtime_jobs_pending"] == 0

    await until(look, "the backlog has come and gone", 600)
    logger.info("%d jobs, (seconds, replicas, ready, pending): %s", len(ids), timeline)
    assert max(row[1] for row in timeline) == most
    assert max(row[2] for row in timeline) == most
    results = await results_of(api, ids)
    assert len({result["output"].split()[1] for result in results}) == most


async def test_busy_workers_finish_before_they_go(cluster: Cluster, api: Api) -> None:
    """Fewer workers are allowed while all are busy: those that must go end their job first."""
    most: int = (await cluster.scaled_object())["spec"]["maxReplicaCount"]
    ids = await push_many(api, "shrink", 6 * most)

    async def all_ready() -> bool:
        return await cluster.ready() == most

    await until(all_ready, "all workers are ready")
    before = await cluster.names()
    await cluster.patch_scaled_object({"spec": {"maxReplicaCount": 1}})
    try:
        await cluster.until_replicas(lambda n: n == 1, "one worker is wanted")

        async def told_to_go() -> bool:
            return len(before - await cluster.names()) >= most - 1

        await until(told_to_go, "all but one are told to go")
        busy = (await api.figures())["leadtime_jobs_pending"]
        logger.info("%d workers were told to go while %d jobs ran", most - 1, busy)
        assert busy > 1
        assert await api.outstanding() > 0
    finally:
        await cluster.patch_scaled_object({"spec": {"maxReplicaCount": most}})
    await results_of(api, ids)


async def test_idle_workers_go_first(cluster: Cluster, api: Api) -> None:
    """The deletion cost says what each worker does, and the ReplicaSet goes by it."""
    await cluster.pause_keda(True)
    try:
        await cluster.scale(4)

        async def all_idle() -> bool:
            return await cluster.ready() == 4 and set((await cluster.costs()).values()) == {"0"}

        await until(all_idle, "four idle workers")
        ids = await push_many(api, "few", 2)

        async def two_busy() -> bool:
            return sorted(cost or "" for cost in (await cluster.costs()).values()) == ["0", "0", "1", "1"]

        await until(two_busy, "two workers are busy")
        busy = {name for name, cost in (await cluster.costs()).items() if cost == "1"}
        await cluster.scale(2)

        async def two_left() -> bool:
            return len(await cluster.names()) == 2

        await until(two_left, "two workers are left")
        assert await cluster.names() == busy
        await results_of(api, ids)
    finally:
        await cluster.pause_keda(False)
