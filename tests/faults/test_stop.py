"""SIGTERM under load: nothing is lost, and nothing waits for a lease to run out."""

from __future__ import annotations

import asyncio
import signal
from itertools import count
from typing import TYPE_CHECKING

import pytest

from tests.fleet.client import PersistentClient
from tests.fleet.fleet import RecordedFleet
from tests.processes import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import Server

pytestmark = pytest.mark.fault

# So long that a job which waited for its lease would time the test out.
LEASE_S = "600"
CLIENTS = 12


async def load(client: PersistentClient, texts: Iterator[int], ids: list[str], stopped: asyncio.Event) -> None:
    """Pushes one job after another, each when the last has its result, until told to stop."""
    while not stopped.is_set():
        job_id = await client.push(f"text {next(texts)}")
        ids.append(job_id)
        await client.result(job_id)


@pytest.mark.parametrize(
    "grace_s", [pytest.param("60", id="finishes", marks=pytest.mark.slow), pytest.param("0", id="hands back")]
)
async def test_rolling_restart_of_workers(valkey: Server, tmp_path: Path, grace_s: str) -> None:
    """With grace every job at hand is finished; without, it is handed back, uncounted, and runs elsewhere at once."""
    settings = {"LEASE_S": LEASE_S, "GRACE_S": grace_s, "MODEL_PREDICT_S": "0.2", "CONCURRENCY": "2"}
    async with RecordedFleet(valkey, tmp_path, **settings) as fleet, PersistentClient(fleet.base) as client:
        await fleet.start_gateway()
        await fleet.start_workers(2)
        ids: list[str] = []
        stopped = asyncio.Event()
        codes = []
        async with asyncio.timeout(2 * PATIENCE_S), asyncio.TaskGroup() as group:
            texts = count()
            for _ in range(CLIENTS):
                group.create_task(load(client, texts, ids, stopped))
            for old in [*fleet.workers, *fleet.workers]:
                await fleet.start_workers(1)
                victim = old if old in fleet.workers else fleet.workers[0]
                fleet.workers.remove(victim)
                codes.append(await victim.stopped())
            stopped.set()
        assert codes == [0] * 4
        await fleet.drained()
        views = await fleet.stream.view_many([(job_id, False) for job_id in ids])
        seen = {(view.status, view.attempts) if view else None for view in views}
        assert seen == {("finished", 1)}, f"{seen}\n{fleet.account()}"
        repeated = len(fleet.runs) - len(ids)
        assert repeated > 0 if grace_s == "0" else repeated == 0
        assert fleet.complaints() == []


async def test_all_workers_stop_and_others_take_over(valkey: Server, tmp_path: Path) -> None:
    """What the old workers had at hand is the first that a new one runs."""
    settings = {"LEASE_S": LEASE_S, "GRACE_S": "0", "MODEL_PREDICT_S": "1", "CONCURRENCY": "2"}
    async with RecordedFleet(valkey, tmp_path, **settings) as fleet, PersistentClient(fleet.base) as client:
        await fleet.start_gateway()
        old = await fleet.start_workers(2)
        texts = [f"text {n}" for n in range(5)]
        ids = [await client.push(text) for text in texts]
        async with asyncio.timeout(PATIENCE_S):
            while (await fleet.stream.counts()).pending < 4 or len(fleet.runs) < 4:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert await asyncio.gather(*(worker.stopped() for worker in old)) == [0, 0]
        counts = await fleet.stream.counts()
        assert (counts.released, counts.workers) == (counts.pending, 0), counts
        assert counts.released > 0
        at_hand = len(fleet.runs)
        handed_back = {run.input for run in fleet.runs[at_hand - counts.released :]}
        await fleet.start_workers(1)
        async with asyncio.timeout(PATIENCE_S):
            results = await asyncio.gather(*(client.result(job_id) for job_id in ids))
        assert [result["input"] for result in results] == texts
        assert {run.input for run in fleet.runs[at_hand : at_hand + counts.released]} == handed_back
        await fleet.drained()
        assert fleet.complaints() == []


async def test_gateway_stops_under_load(valkey: Server, tmp_path: Path) -> None:
    """Whatever it has acknowledged is there afterwards, and it is gone with exit code 0."""
    async with (
        RecordedFleet(valkey, tmp_path, LEASE_S=LEASE_S, MODEL_PREDICT_S="0") as fleet,
        PersistentClient(fleet.base) as client,
    ):
        gateway = await fleet.start_gateway()
        acknowledged: dict[str, str] = {}

        async def push(name: str) -> None:
            for number in count():
                text = f"{name} {number}"
                status, document = await client.ask("POST", "/push", json=text)
                if status == 0:
                    return
                assert status in (202, 503), f"{status} {document}"
                if status == 202:
                    acknowledged[text] = document["id"]

        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
            for name in range(30):
                group.create_task(push(f"client {name}"))
            while len(acknowledged) < 300:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            assert await gateway.stopped() == 0
        views = await fleet.stream.view_many([(job_id, False) for job_id in acknowledged.values()])
        lost = [text for text, view in zip(acknowledged, views, strict=True) if view is None]
        assert not lost, f"{len(lost)} of {len(acknowledged)} acknowledged pushes are lost: {lost[:5]}"
        assert fleet.complaints() == []


async def test_gateway_answers_what_it_has_begun(valkey: Server, tmp_path: Path) -> None:
    """A push whose body is still on its way, and a waiter, both get their answers."""
    async with RecordedFleet(valkey, tmp_path, LEASE_S=LEASE_S) as fleet, PersistentClient(fleet.base) as client:
        gateway = await fleet.start_gateway()
        job_id = await client.push("hello")
        pushing = await asyncio.open_connection("127.0.0.1", fleet.port)
        pushing[1].write(
            b"POST /push HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        )
        waiting = await asyncio.open_connection("127.0.0.1", fleet.port)
        waiting[1].write(f"GET /status/{job_id}?wait=60 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        async with asyncio.timeout(PATIENCE_S):
            assert await pushing[0].readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            # The waiter was sent before this request, on a connection that was opened before.
            assert (await client.ask("GET", "/healthz"))[0] == 200
            gateway.send(signal.SIGTERM)
            await gateway.says("Shutting down")
            pushing[1].write(b'"end"')
            pushed = await pushing[0].read()
            waited = await waiting[0].read()
        assert pushed.startswith(b"HTTP/1.1 202 "), pushed
        assert waited.startswith(b"HTTP/1.1 200 "), waited
        assert b'"queued"' in waited
        assert await gateway.code() == 0
        assert (await fleet.stream.counts()).waiting == 2
        pushing[1].close()
        waiting[1].close()
        assert fleet.complaints() == []
