"""Clients that stall, send without end or never read, all at once: the gateway stays small and serves the others."""

from __future__ import annotations

import asyncio
import os
import re
import resource
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests.faults.hoarders import KINDS, MIB
from tests.fleet.client import PersistentClient
from tests.fleet.fleet import ProcessFleet
from tests.gateway.service import samples
from tests.processes import LoggedProcess, module
from workers.stream import Finish, NewJob

if TYPE_CHECKING:
    from tests.servers import Server

pytestmark = [pytest.mark.fault, pytest.mark.slow]

LIMIT_BYTES = 256 * MIB  # that of the gateway's pod
LARGE_BYTES = 10 * MIB
LARGE_RESULTS = 2
HONEST = 3


def peak_bytes(pid: int) -> int:
    """The most memory that the process has ever had (VmHWM)."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(encoding="ascii"))
    assert found is not None
    return int(found[1]) * 1024


async def finish_with_large_result(fleet: ProcessFleet, job_id: str) -> None:
    """Plays the worker of a job."""
    await fleet.stream.open()
    await fleet.stream.push(NewJob(job_id, b'["a"]'))
    [job] = await fleet.stream.claim("w", 1)
    await fleet.stream.finish("w", [Finish(job.id, job.attempt, "finished", b'"%b"' % (b"r" * LARGE_BYTES), 600_000)])


async def test_clients_that_hoard_memory_do_not_get_it_and_the_others_are_served(
    valkey: Server, tmp_path: Path
) -> None:
    async with (
        ProcessFleet(valkey, tmp_path, MODEL_PREDICT_S="0") as fleet,
        PersistentClient(fleet.base) as client,
        aiohttp.ClientSession(fleet.base) as http,
    ):
        await finish_with_large_result(fleet, "large")
        gateway = await fleet.start_gateway()
        # Private memory that could be written, used or not: an allocation beyond it fails.
        resource.prlimit(gateway.pid, resource.RLIMIT_DATA, (LIMIT_BYTES, LIMIT_BYTES))
        [worker] = await fleet.start_workers(1)
        command = [*module("tests.faults.hoarders"), str(fleet.port), "large"]
        with LoggedProcess(command, os.environ, tmp_path / "hoarders.log") as hoarders:
            for kind in KINDS:
                await hoarders.says(f"hoarding: {kind}")
            served = asyncio.Event()

            async def push_and_fetch(name: str) -> int:
                count = 0
                while not (served.is_set() and count):
                    text = f"{name}: {count}"
                    assert (await client.result(await client.push(text)))["input"] == text
                    await client.push(text * 20_000)
                    count += 1
                return count

            async def fetch_large() -> None:
                for _ in range(LARGE_RESULTS):
                    assert len((await client.result("large"))["output"]) == LARGE_BYTES
                served.set()

            await asyncio.gather(fetch_large(), *(push_and_fetch(f"client-{number}") for number in range(HONEST)))

            assert peak_bytes(gateway.pid) < LIMIT_BYTES
            assert (await samples(http))["leadtime_connections_cut_total['memory']"] > 0
        assert [await gateway.stopped(), await worker.stopped()] == [0, 0]
        assert fleet.complaints() == []
