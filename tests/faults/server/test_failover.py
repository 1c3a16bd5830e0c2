"""A planned failover behind a fixed address: the connections stay open, and lead to what is a replica now."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from redis.asyncio import Redis

from tests.faults.server.test_away import answer
from tests.fleet.client import PersistentClient
from tests.fleet.fleet import RecordedFleet
from tests.processes import PATIENCE_S
from tests.proxy import TcpProxy
from tests.servers import Server, free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.fault

REPLICA = "the job stream's server is a replica, which takes no writes"


async def until_readiness(fleet: RecordedFleet, status: int, probe_port: int) -> tuple[Any, Any]:
    """What the gateway and the worker say once both are as ready as `status`."""

    async def of_worker() -> tuple[int, Any]:
        async with aiohttp.request("GET", f"http://127.0.0.1:{probe_port}/readyz") as response:
            return response.status, await response.json(content_type=None)

    async with asyncio.timeout(PATIENCE_S):
        while True:
            gateway = await answer(fleet, "GET", "/readyz")
            worker = await of_worker()
            if gateway[0] == worker[0] == status:
                return gateway[1], worker[1]
            await asyncio.sleep(0.1)


async def test_all_is_well_again_after_a_failover_behind_a_fixed_address(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    old = start_server()
    folder = tmp_path / "new"
    folder.mkdir()
    new = Server(old.binary, folder, "--replicaof", f"127.0.0.1 {old.port}")
    new.start()
    probe_port = free_port()
    try:
        async with TcpProxy(old.port) as address:
            settings = {"REDIS_URL": address.url, "MODEL_PREDICT_S": "0", "PROBE_PORT": str(probe_port)}
            async with (
                RecordedFleet(old, tmp_path, **settings) as fleet,
                PersistentClient(fleet.base) as client,
                Redis(port=old.port) as old_redis,
                Redis(port=new.port) as new_redis,
            ):
                await fleet.start_gateway()
                await fleet.start_workers(1)
                before = await client.push("before")
                result = await client.result(before)
                assert await old_redis.execute_command("WAIT", 1, 10_000) == 1  # type: ignore[no-untyped-call]

                # The new primary replicates to nobody: nothing that is published there reaches the old connections.
                await old_redis.execute_command("REPLICAOF", "127.0.0.1", free_port())  # type: ignore[no-untyped-call]
                said, worker_said = await until_readiness(fleet, 503, probe_port)
                assert (said["detail"], worker_said["detail"]) == (REPLICA, REPLICA)
                status, document, _ = await answer(fleet, "POST", "/push?input=refused")
                assert (status, document["detail"]) == (503, REPLICA)
                address.target = new.port
                await new_redis.execute_command("REPLICAOF", "NO", "ONE")  # type: ignore[no-untyped-call]
                await until_readiness(fleet, 200, probe_port)

                # A worker that missed the message would claim this job with its next heartbeat, in 10 s; a waiter would
                # hear of its end after 60.
                async with asyncio.timeout(9):
                    status, document, _ = await answer(fleet, "POST", "/push?input=after&wait=60")
                assert (status, document["status"], document["input"]) == (200, "finished", "after")
                assert await client.result(before) == result
                assert fleet.complaints() == []
    finally:
        new.kill()
