"""The server is away, or hangs: the gateway says so, and goes on by itself when it is back."""

from __future__ import annotations

import asyncio
import signal
import socket
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.fleet.client import PersistentClient
from tests.fleet.fleet import RecordedFleet
from tests.processes import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers import Server

pytestmark = pytest.mark.fault

# A gateway that waited for the server would never answer. It should within two seconds; a busy machine gets more.
ANSWER_S = 10.0


async def answer(fleet: RecordedFleet, method: str, path: str, **options: Any) -> tuple[int, Any, str]:
    """Status, document and Retry-After of one request, which must be answered."""
    timeout = aiohttp.ClientTimeout(total=ANSWER_S)
    async with aiohttp.request(method, f"{fleet.base}{path}", timeout=timeout, **options) as response:
        return response.status, await response.json(content_type=None), response.headers.get("Retry-After", "")


async def check_unavailable(fleet: RecordedFleet, job_id: str) -> None:
    """Every endpoint that needs the server says 503, all at once and within some seconds; liveness stays."""
    requests = [
        ("GET", "/readyz"), ("POST", "/push?input=x"), ("GET", f"/status/{job_id}"), ("GET", f"/data/{job_id}"),
        ("GET", f"/status/{job_id}?wait=60"), ("POST", f"/cancel/{job_id}"), ("POST", f"/retry/{job_id}"),
    ]  # fmt: skip
    answers = await asyncio.gather(*(answer(fleet, method, path) for method, path in requests * 5))
    for (method, path), (status, document, retry_after) in zip(requests * 5, answers, strict=True):
        assert status == 503, f"{method} {path}: {status} {document}"
        assert document["status"] == 503
        assert document["detail"]
        assert retry_after.isdecimal(), f"{method} {path}: Retry-After is {retry_after!r}"
    assert (await answer(fleet, "GET", "/healthz"))[0] == 200


async def until_ready(fleet: RecordedFleet) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while (await answer(fleet, "GET", "/readyz"))[0] != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def test_gateway_starts_before_the_server(durable: Server, tmp_path: Path) -> None:
    durable.kill()
    async with RecordedFleet(durable, tmp_path) as fleet, PersistentClient(fleet.base) as client:
        await fleet.start_gateway()
        await check_unavailable(fleet, "0" * 32)
        await asyncio.to_thread(durable.start)
        await until_ready(fleet)
        job_id = await client.push("hello")
        # KEDA looks for the consumer group before there is a worker.
        groups = await fleet.stream.redis.xinfo_groups(f"{fleet.stream.prefix}:stream")
        assert len(groups) == 1

        durable.kill()
        await check_unavailable(fleet, job_id)
        await asyncio.to_thread(durable.start)
        await until_ready(fleet)
        assert (await answer(fleet, "GET", f"/status/{job_id}"))[1]["status"] == "queued"
        assert fleet.complaints() == []


async def test_hanging_server(durable: Server, tmp_path: Path) -> None:
    """Its connections stay open, and take what is sent; nothing comes back."""
    async with RecordedFleet(durable, tmp_path) as fleet, PersistentClient(fleet.base) as client:
        await fleet.start_gateway()
        job_id = await client.push("hello")
        durable.send(signal.SIGSTOP)
        key = {"Idempotency-Key": "the same"}
        try:
            await check_unavailable(fleet, job_id)
            assert (await answer(fleet, "POST", "/push?input=again", headers=key))[0] == 503
        finally:
            durable.send(signal.SIGCONT)
        await until_ready(fleet)
        # The server may have taken pushes that were answered with 503: with a key a client can repeat them.
        before = (await fleet.stream.counts()).length
        status, first, _ = await answer(fleet, "POST", "/push?input=again", headers=key)
        assert status == 202
        status, second, _ = await answer(fleet, "POST", "/push?input=again", headers=key)
        assert (status, second["id"]) == (202, first["id"])
        assert (await fleet.stream.counts()).length <= before + 1
        assert fleet.complaints() == []


async def test_waiters_are_woken_across_a_restart_of_the_server(durable: Server, tmp_path: Path) -> None:
    """A message that was sent while the gateway's subscription was down does not leave a waiter waiting."""
    async with RecordedFleet(durable, tmp_path, MODEL_PREDICT_S="0") as fleet, PersistentClient(fleet.base) as client:
        await fleet.start_gateway()
        ids = [await client.push(f"text {n}") for n in range(5)]
        waiting = [asyncio.create_task(client.ask("GET", f"/status/{job_id}?wait=25")) for job_id in ids]
        await fleet.restart_server(0.5)
        await fleet.start_workers(1)
        results = [await client.result(job_id) for job_id in ids]
        assert [result["input"] for result in results] == [f"text {n}" for n in range(5)]
        for status, document in await asyncio.gather(*waiting):
            assert status in (200, 503)
            if status == 200:
                assert document["status"] == "finished"
        assert fleet.complaints() == []


@pytest.mark.parametrize("how", ["restart", "hang"])
async def test_job_at_hand_runs_once(durable: Server, tmp_path: Path, how: str) -> None:
    """The worker finishes its job though the server went away under it, and nobody else runs it."""
    settings = {"MODEL_PREDICT_S": "1", "LEASE_S": "60"}
    async with RecordedFleet(durable, tmp_path, **settings) as fleet, PersistentClient(fleet.base) as client:
        await fleet.start_gateway()
        await fleet.start_workers(2)
        job_id = await client.push("hello")
        async with asyncio.timeout(PATIENCE_S):
            while not fleet.runs:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        if how == "restart":
            await fleet.restart_server(1.5)  # the job ends meanwhile
        else:
            durable.send(signal.SIGSTOP)
            await asyncio.sleep(3)  # past the job's end, and past the time that a command may take
            durable.send(signal.SIGCONT)
        result = await client.result(job_id)
        assert [run.id for run in fleet.runs] == [result["output"].partition(" ")[0]]
        view = await fleet.stream.view(job_id)
        assert view is not None
        assert view.attempts == 1
        await fleet.drained()
        assert fleet.complaints() == []


async def test_server_that_says_nothing(valkey: Server, tmp_path: Path) -> None:
    """A host that takes connections and says nothing at all."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        async with RecordedFleet(valkey, tmp_path, REDIS_URL=url) as fleet:
            await fleet.start_gateway()
            await check_unavailable(fleet, "0" * 32)
            assert fleet.gateway is not None
            assert await fleet.gateway.stopped() == 0
