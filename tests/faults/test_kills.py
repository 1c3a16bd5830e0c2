"""Hundreds of jobs while workers, server and gateway are killed: nothing is lost, and nothing is there twice."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.kills import CLIENTS, DEADLINE_S, LEASE_S, SEED, WORKERS, KillLoad
from tests.fleet.client import PersistentClient
from tests.fleet.fleet import RecordedFleet, surviving
from tests.servers import server_kinds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import Server

pytestmark = [pytest.mark.fault, pytest.mark.timeout(400)]
# One kind of server is killed by every run of the tests.

logger = logging.getLogger(__name__)

JOBS = 300
MANY_JOBS = 1000  # in the slow suite
# Of each third push: its job is scheduled, and could expire.
OPTIONS = {"delay": "0.2", "ttl": "600", "keep": "3600", "max_attempts": "100", "tag": "third"}


async def push_and_see(client: PersistentClient, load: KillLoad, texts: Iterator[str]) -> None:
    """Pushes a job with each text, one after the other."""
    for text in texts:
        options = OPTIONS if len(load.acknowledged) % 3 == 0 else {}
        job_id = load.acknowledged[text] = await client.push(text, **options)
        await load.ended(job_id, await client.result(job_id))


async def kill_the_rest(fleet: RecordedFleet, load: KillLoad, rng: random.Random) -> None:
    """In the midst of the load: the server, the gateway, and the server again, each back after a moment."""
    await load.reached(0.25)
    await fleet.restart_server(rng.uniform(0.3, 1.2))
    await load.reached(0.5)
    await fleet.restart_gateway()
    await load.reached(0.75)
    await fleet.restart_server(rng.uniform(0.3, 1.2))


async def read_all(client: PersistentClient, ids: list[str]) -> dict[str, dict[str, Any]]:
    """What `/data` shows of each."""
    results: dict[str, dict[str, Any]] = {}
    for start in range(0, len(ids), CLIENTS):
        chunk = ids[start : start + CLIENTS]
        results |= zip(chunk, await asyncio.gather(*map(client.result, chunk)), strict=True)
    return results


@pytest.mark.parametrize(
    ("durable", "jobs"),
    [
        *(pytest.param(*kind.values, JOBS, marks=kind.marks) for kind in server_kinds()),
        pytest.param("valkey", MANY_JOBS, marks=pytest.mark.slow),
    ],
    indirect=["durable"],
)
async def test_every_acknowledged_push_finishes_once(durable: Server, tmp_path: Path, jobs: int) -> None:
    rng = random.Random(SEED)
    settings = {"LEASE_S": str(LEASE_S), "MODEL_PREDICT_S": "0.01"}
    async with (
        RecordedFleet(durable, tmp_path, **settings) as fleet,
        PersistentClient(fleet.base, DEADLINE_S) as client,
    ):
        await fleet.start_gateway()
        await fleet.start_workers(WORKERS)
        load = KillLoad(jobs)
        texts = iter([f"text {n}" for n in range(jobs)])
        clients = (push_and_see(client, load, texts) for _ in range(CLIENTS))
        await load.under_kills(fleet, rng, kill_the_rest(fleet, load, rng), *clients)
        await fleet.drained()

        # What a client has once seen stays, also past the leases of the workers that were killed last.
        await asyncio.sleep(LEASE_S + 1)  # workers sweep the queue once a second
        again = await read_all(client, list(load.results))
        changed = {job_id: (first, again[job_id]) for job_id, first in load.results.items() if first != again[job_id]}
        assert not changed, f"{len(changed)} results changed: {list(changed.items())[:5]}"

        # Each id is one input's, and each result that of a run with that input.
        assert len(set(load.acknowledged.values())) == jobs
        runs = set(fleet.runs)
        strange = [
            (text, again[job_id])
            for text, job_id in load.acknowledged.items()
            if again[job_id]["input"] != text or (again[job_id]["output"].partition(" ")[0], text) not in runs
        ]
        assert not strange, f"{len(strange)} results belong to no run of their job: {strange[:5]}"

        # No push was done twice: there are as many records as jobs, all of them finished.
        records = await fleet.stream.redis.keys(f"{fleet.stream.prefix}:job:*")
        assert len(records) == jobs, f"{len(records)} jobs for {jobs} pushes"
        counts = await fleet.stream.counts()
        assert (counts.length, counts.waiting, counts.pending, counts.released) == (0, 0, 0, 0), counts
        assert (counts.deferred, counts.dead) == (0, 0), counts

        assert surviving(fleet.orphans) == [], "models outlived their workers"
        logger.info(
            "%d workers killed, %d runs repeated, clients tried again: %s",
            fleet.killed, len(runs) - jobs, dict(client.trouble),
        )  # fmt: skip
        assert fleet.complaints() == []
