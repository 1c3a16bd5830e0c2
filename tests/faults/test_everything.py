"""Files, batches, events and webhooks at once, while workers, gateway, server and object store are killed.

`FAULT_JOBS=2000` runs more jobs than the default.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from tests.faults.kills import LEASE_S, SEED, WORKERS, KillLoad
from tests.fleet.client import PersistentClient
from tests.fleet.everything import PARTS
from tests.fleet.fleet import RecordedFleet, surviving
from tests.workers.webhooks.receiver import Receiver
from workers.objects.names import job_of, queue_prefix
from workers.objects.store import ObjectStore
from workers.objects.sweep import sweep
from workers.settings import ObjectSettings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from tests.objects import S3Server
    from tests.servers import Server
    from tests.sse import ReadEvent

logger = logging.getLogger(__name__)

JOBS = int(os.environ.get("FAULT_JOBS", "120"))
DEADLINE_S = 240.0 + JOBS
CLIENTS = 20
BATCH = 10
INLINE_BYTES = 1024
FILE_BYTES = 100_000
JOBS_PER_KILL = 20  # of another part than a worker

pytestmark = [pytest.mark.fault, pytest.mark.slow, pytest.mark.timeout(DEADLINE_S + 120)]


class EverythingLoad(KillLoad):
    """Batches, jobs with files whose events are followed, and jobs with long inputs. All name one webhook."""

    def __init__(self, jobs: int, client: PersistentClient, webhook: str) -> None:
        super().__init__(jobs)
        self._client = client
        self._webhook = webhook
        self.files: dict[str, bytes] = {}
        self.longs: dict[str, str] = {}
        self.followed: dict[str, list[ReadEvent]] = {}

    async def one_after_the_other(self, numbers: Iterator[int]) -> None:
        """Makes so many jobs: of each twenty, ten in a batch."""
        for number in numbers:
            if number % (2 * BATCH) == 0:
                await self._batch([f"text {number + place}" for place in range(BATCH)])
            elif number % (2 * BATCH) >= BATCH:
                await (self._with_file if number % 2 else self._with_long_text)(f"text {number}")

    async def _batch(self, texts: list[str]) -> None:
        inputs = [{"text": text, "long": self._long(text) if place == 3 else ""} for place, text in enumerate(texts)]
        document = await self._client.accepted("/batches", lambda: {"json": inputs}, webhook=self._webhook)
        self.acknowledged |= zip(texts, document["jobs"], strict=True)
        events = await self._client.follow(f"/batches/{document['id']}/results")
        # Those of one millisecond may come twice.
        assert {event.value["id"] for event in events[:-1]} == set(document["jobs"])
        assert events[-1].value["finished"] == BATCH, events[-1]
        for job_id in document["jobs"]:
            await self.ended(job_id, await self._client.result(job_id))

    async def _with_file(self, text: str) -> None:
        content = self.files[text] = random.Random(text).randbytes(FILE_BYTES)

        def body() -> dict[str, Any]:
            form = aiohttp.FormData({"text": text})
            form.add_field("file", content, filename="in.bin")
            return {"data": form}

        await self._followed(text, (await self._client.accepted("/push", body, webhook=self._webhook))["id"])

    async def _with_long_text(self, text: str) -> None:
        given = {"text": text, "long": self._long(text)}
        pushed = await self._client.accepted("/push", lambda: {"json": given}, webhook=self._webhook)
        await self._followed(text, pushed["id"])

    def _long(self, text: str) -> str:
        return self.longs.setdefault(text, f"{text} " * INLINE_BYTES)

    async def _followed(self, text: str, job_id: str) -> None:
        self.acknowledged[text] = job_id
        self.followed[job_id] = await self._client.follow(f"/events/{job_id}")
        await self.ended(job_id, await self._client.result(job_id))


async def kill_the_rest(fleet: RecordedFleet, s3: S3Server, load: KillLoad, rng: random.Random) -> None:
    """Server, gateway and store in turns, each at a random moment, and back after another."""
    count = max(6, load.jobs // JOBS_PER_KILL)
    parts = ["server", "gateway", "store"] * (count // 3)
    rng.shuffle(parts)
    for number, part in enumerate(parts):
        await load.reached((number + rng.random()) / len(parts))
        logger.info("%s is killed, %d results", part, len(load.results))
        if part == "server":
            await fleet.restart_server(rng.uniform(0.3, 1.2))
        elif part == "gateway":
            await fleet.restart_gateway()
        else:
            s3.kill()
            await asyncio.sleep(rng.uniform(0, 1))
            await asyncio.to_thread(s3.start)


def check_events(events: list[ReadEvent]) -> list[ReadEvent]:
    """Those of the attempt that ended the job: none is missing, none came twice."""
    places = [tuple(map(int, event.id.split("-"))) for event in events]
    assert all(earlier < later for earlier, later in pairwise(places)), events
    run = [event for event, (began_ms, _) in zip(events, places, strict=True) if began_ms == places[-1][0]]
    assert [event.id.rpartition("-")[2] for event in run] == [str(number) for number in range(len(run))], run
    assert [event.kind for event in run] == ["begin", *["partial"] * (PARTS + 1), "end"], run
    return run


async def check_job(client: PersistentClient, load: EverythingLoad, text: str) -> None:
    """Its result is its input's, each of its files can be read, and its events are there for those who come late."""
    job_id = load.acknowledged[text]
    result = load.results[job_id]
    *parts, last = result["output"]
    assert parts == [f"{text} {number}" for number in range(PARTS)]
    assert result["input"]["text"] == text
    if text in load.files:
        for one in (last, result["input"]["file"]):
            assert await client.file(one["url"]) == load.files[text], one
    else:
        assert last == load.longs.get(text, "")
    run = check_events(await client.follow(f"/events/{job_id}"))
    assert run[-1].value["output"] == result["output"]
    if job_id in load.followed:
        assert check_events(load.followed[job_id]) == run
    assert await client.result(job_id) == result


async def check_webhooks(receiver: Receiver, load: KillLoad) -> None:
    """The end of each job is told, as it was."""
    async with asyncio.timeout(DEADLINE_S):
        while {got.message["data"]["id"] for got in receiver.got} < load.results.keys():  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    told = {got.message["data"]["id"]: got.message for got in receiver.got}
    assert told.keys() == load.results.keys()
    for job_id, message in told.items():
        assert message["type"] == "job.finished"
        # What is in the store is left out.
        assert message["data"].get("output") in (None, load.results[job_id]["output"])
    assert len({got.id for got in receiver.got}) == len(told)


async def check_store(s3: S3Server, queue: str, load: KillLoad) -> None:
    """After a sweep there is no object that isn't of a job."""
    store, jobs = ObjectStore(ObjectSettings(object_store=s3.url)), set(load.results)

    async def which_exist(ids: Collection[str]) -> Collection[str]:
        return jobs.intersection(ids)

    removed = await sweep(store, queue, which_exist, min_age_s=-5)
    keys = [view.key async for page in store.pages(queue_prefix(queue)) for view in page]
    logger.info("%d objects, and %d that a sweep has removed", len(keys), removed)
    assert {job_of(queue, key) for key in keys} <= jobs


@pytest.mark.parametrize("durable", ["valkey"], indirect=True)
async def test_nothing_is_lost_whatever_is_killed(
    durable: Server, own_s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng, refusals = random.Random(SEED), random.Random(SEED)
    for name, value in own_s3.variables.items():
        monkeypatch.setenv(name, value)
    settings = {
        "MODEL": "tests.fleet.everything:Everything", "LEASE_S": str(LEASE_S), "INLINE_BYTES": str(INLINE_BYTES),
        "WEBHOOK_ALLOW": "127.0.0.1", "WEBHOOK_SECRETS": "a secret of the fleet itself",
        "OBJECT_STORE": own_s3.url, "OBJECT_TIMEOUT_S": "2", "PRESIGN_S": "0",
    }  # fmt: skip
    receiver = Receiver(lambda _: web.Response(status=503 if refusals.random() < 0.1 else 204))
    async with (
        receiver.serving() as base,
        RecordedFleet(durable, tmp_path, **settings) as fleet,
        PersistentClient(fleet.base, DEADLINE_S) as client,
    ):
        await fleet.start_gateway()
        await fleet.start_workers(WORKERS)
        load = EverythingLoad(JOBS, client, f"{base}/hook")
        numbers = iter(range(JOBS))
        clients = (load.one_after_the_other(numbers) for _ in range(CLIENTS))
        await load.under_kills(fleet, rng, kill_the_rest(fleet, own_s3, load, rng), *clients, deadline_s=DEADLINE_S)
        await fleet.drained()
        await asyncio.sleep(LEASE_S + 1)  # past the leases of the workers that were killed last

        assert len(set(load.acknowledged.values())) == len(load.results) == JOBS
        for text in load.acknowledged:
            await check_job(client, load, text)
        await check_webhooks(receiver, load)
        await check_store(own_s3, fleet.queue, load)
        records = await fleet.stream.redis.keys(f"{fleet.stream.prefix}:job:*")
        assert len(records) == JOBS, f"{len(records)} jobs for {JOBS} pushes"
        logger.info("%d workers killed, clients tried again: %s", fleet.killed, dict(client.trouble))
        assert surviving(fleet.orphans) == [], "models outlived their workers"
        assert fleet.complaints() == []
