"""A worker that is paused past its lease, and counters that are read after a restart of the server."""

from __future__ import annotations

import asyncio
import signal
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.fleet.client import PersistentClient
from tests.fleet.fleet import RecordedFleet
from tests.processes import PATIENCE_S
from workers.stream import Finish, NewJob, Stream, StreamSettings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers import Server

pytestmark = pytest.mark.fault


async def test_worker_that_lost_its_lease_changes_nothing(valkey: Server, tmp_path: Path) -> None:
    """Paused like a machine that sleeps, it wakes up with a job that another worker has finished meanwhile."""
    settings = {"MODEL_PREDICT_S": "0.5", "LEASE_S": "1"}
    async with RecordedFleet(valkey, tmp_path, **settings) as fleet, PersistentClient(fleet.base) as client:
        await fleet.start_gateway()
        [paused] = await fleet.start_workers(1)
        job_id = await client.push("hello")
        async with asyncio.timeout(PATIENCE_S):
            while not fleet.runs:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        paused.send(signal.SIGSTOP)
        await fleet.start_workers(1)
        result = await client.result(job_id)
        first, second = (run.id for run in fleet.runs)
        assert result["output"].partition(" ")[0] == second
        other = next(worker for worker in fleet.workers if worker is not paused)
        assert await other.stopped() == 0
        paused.send(signal.SIGCONT)

        # It runs one job at a time, so that once it runs another it is done with the one that it lost.
        again = await client.result(await client.push("again"))
        assert again["output"].partition(" ")[0] not in (first, second)
        assert await client.result(job_id) == result
        await fleet.drained()
        assert await paused.stopped() == 0
        assert fleet.complaints() == []


async def test_counters_are_exact_after_a_restart_of_the_server(durable: Server) -> None:
    """What scaling reads. Redis 7.0 does not write the count of delivered entries to its append-only file."""
    stream = Stream(StreamSettings(redis_url=durable.url, queue_name=f"faults-{uuid.uuid4().hex}"))
    await stream.open()
    for number in range(5):
        await stream.push(NewJob(f"job-{number}", b"[]"))
    held = await stream.claim("worker", 3)
    assert await stream.finish("worker", [Finish(held[0].id, 1, "finished", b"1", 60_000)]) == [True]

    durable.kill()
    await asyncio.to_thread(durable.start)
    await stream.redis.connection_pool.disconnect()
    await stream.sweep()
    [group] = await stream.redis.xinfo_groups(f"{stream.prefix}:stream")
    assert (group["lag"], group["pending"]) == (2, 2)
    counts = await stream.counts()
    assert (counts.length, counts.waiting, counts.pending) == (4, 2, 2)

    rest = [*held[1:], *await stream.claim("worker", 5)]
    assert len(rest) == 4
    finishes = [Finish(job.id, job.attempt, "finished", b"1", 60_000) for job in rest]
    assert await stream.finish("worker", finishes) == [True] * 4
    [group] = await stream.redis.xinfo_groups(f"{stream.prefix}:stream")
    assert (group["lag"], group["pending"]) == (0, 0)
    await stream.close()
