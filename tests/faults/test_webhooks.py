"""Webhooks while workers, server and gateway are killed: each job's end is told, and what is told is true."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from tests.faults.test_kills import CLIENTS, DEADLINE_S, LEASE_S, SEED, WORKERS, KillLoad, kill_the_rest, kill_workers
from tests.fleet.client import PersistentClient
from tests.fleet.fleet import RecordedFleet
from tests.workers.webhooks.receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import Server

pytestmark = [pytest.mark.fault, pytest.mark.slow, pytest.mark.timeout(400)]

JOBS = 500


class TellingLoad(KillLoad):
    """The same, but each push names a webhook."""

    url = ""

    async def client(self, client: PersistentClient, texts: Iterator[str]) -> None:
        for text in texts:
            job_id = self.acknowledged[text] = await client.push(text, webhook=self.url)
            self.results[job_id] = await client.result(job_id)
            async with self.progress:
                self.progress.notify_all()


@pytest.mark.parametrize("durable", ["valkey"], indirect=True)
async def test_each_end_is_told_at_least_once_and_as_it_was(durable: Server, tmp_path: Path) -> None:
    rng = random.Random(SEED)
    settings = {"LEASE_S": str(LEASE_S), "MODEL_PREDICT_S": "0.01", "WEBHOOK_ALLOW": "127.0.0.1"}
    settings["WEBHOOK_SECRETS"] = "a secret of the fleet itself"
    refusals = random.Random(SEED)
    receiver = Receiver(lambda _: web.Response(status=503 if refusals.random() < 0.1 else 204))
    async with (
        receiver.serving() as base,
        RecordedFleet(durable, tmp_path, **settings) as fleet,
        PersistentClient(fleet.base, DEADLINE_S) as client,
    ):
        await fleet.start_gateway()
        await fleet.start_workers(WORKERS)
        load = TellingLoad(JOBS)
        load.url = f"{base}/hook"
        texts = iter([f"text {n}" for n in range(JOBS)])
        killing = asyncio.create_task(kill_workers(fleet, rng))
        try:
            async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
                group.create_task(kill_the_rest(fleet, load, rng))
                for _ in range(CLIENTS):
                    group.create_task(load.client(client, texts))
        finally:
            killing.cancel()
            await asyncio.wait([killing])
        await fleet.drained()
        async with asyncio.timeout(DEADLINE_S):
            while {got.message["data"]["id"] for got in receiver.got} < load.results.keys():  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        told = {got.message["data"]["id"]: got for got in receiver.got}
    assert told.keys() == load.results.keys()
    for job_id, got in told.items():
        assert got.message["type"] == "job.finished"
        assert got.message["data"]["output"] == load.results[job_id]["output"]
    assert len({got.id for got in receiver.got}) == JOBS
