"""The primary is killed while jobs are pushed and run; REDIS_URL names Sentinel, which promotes a replica."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis

from tests.fleet.client import PersistentClient
from tests.fleet.fleet import RecordedFleet
from tests.processes import PATIENCE_S
from tests.sentinels import watched
from tests.servers import server_binaries, server_kinds

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers import Server

pytestmark = [pytest.mark.fault, pytest.mark.slow]

BEFORE, AFTER = 60, 60


async def linked(server: Server, replicas: int) -> None:
    """Returns once so many replicas follow it, as Sentinel sees only what the primary tells."""
    async with asyncio.timeout(PATIENCE_S), Redis(port=server.port) as redis:
        while True:
            followers = (await redis.execute_command("ROLE"))[2]  # type: ignore[no-untyped-call]
            if len(followers) == replicas and all(int(offset) > 0 for _, _, offset in followers):
                return
            await asyncio.sleep(0.1)


async def known(sentinel: Server, service: str, replicas: int) -> None:
    """Returns once Sentinel knows so many replicas."""
    async with asyncio.timeout(PATIENCE_S), Redis(port=sentinel.port) as redis:
        while len(await redis.sentinel_slaves(service)) < replicas:  # type: ignore[no-untyped-call]  # noqa: ASYNC110
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("kind", server_kinds())
async def test_no_confirmed_push_is_lost_in_a_failover(kind: str, tmp_path: Path) -> None:
    """Two replicas, and PUSH_REPLICAS=1: Sentinel takes the one that has more, so it has each confirmed push."""
    with watched(server_binaries()[kind], tmp_path, replicas=2) as (sentinel, servers):
        await linked(servers[0], 2)
        await known(sentinel, "main", 2)
        settings = {"REDIS_URL": sentinel.url, "MODEL_PREDICT_S": "0", "PUSH_REPLICAS": "1", "REDIS_TIMEOUT_S": "1"}
        async with RecordedFleet(servers[0], tmp_path, **settings) as fleet, PersistentClient(fleet.base) as client:
            await fleet.start_gateway()
            await fleet.start_workers(2)
            pushed: list[str] = []
            killed = asyncio.Event()

            async def push_on() -> None:
                while len(pushed) < BEFORE or not killed.is_set() or len(after) < AFTER:
                    job_id = await client.push(f"job-{len(pushed)}")
                    (after if killed.is_set() else pushed).append(job_id)

            after: list[str] = []
            pushing = asyncio.create_task(push_on())
            async with asyncio.timeout(PATIENCE_S):
                while len(pushed) < BEFORE:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            servers[0].kill()
            killed.set()
            await pushing

            results = [await client.result(job_id) for job_id in (*pushed, *after)]
            assert len(results) >= BEFORE + AFTER
            async with Redis(port=sentinel.port) as asked:
                _, port = await asked.sentinel_get_master_addr_by_name("main")  # type: ignore[no-untyped-call]
            assert int(port) in [server.port for server in servers[1:]]
            assert client.trouble, "the client has noticed"
            assert fleet.complaints() == []
