"""`python -m bench objects`: jobs with large files in and out, and the memory that the service takes for them.

One gateway, workers with a model that returns the file that it gets, a Valkey with the memory of the one in
deploy/chart, and a folder as the object store. Each client streams a file in, waits, and reads the result's file.
In the end the records have expired, and a sweep deletes what is left of them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import os
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
import uvloop

from bench.common import placement, server
from bench.common.arguments import whole
from bench.common.processes import BenchError, MeasuredProcess
from workers.objects.store import ObjectStore
from workers.objects.sweep import sweep
from workers.settings import ObjectSettings, StreamSettings
from workers.stream import Stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterator

MEGABYTE = 1_000_000
# deploy/chart/values.yaml
_MOST_MEMORY = "320mb"
_KEEP_S = 30
_PATIENCE_S = 120.0
_LOOK_S = 0.1
_PIECE_BYTES = 256 * 1024


class ObjectFigures(NamedTuple):
    """What was measured; the memory is the highest that was seen."""

    took_s: float
    gateway_bytes: int
    worker_bytes: int
    server_bytes: int
    swept: int
    left: int


class ObjectParts(NamedTuple):
    """The running parts."""

    base: str
    valkey: server.BenchServer
    gateway: MeasuredProcess
    worker: MeasuredProcess
    store: ObjectStore
    settings: StreamSettings


@contextlib.contextmanager
def running(concurrency: int, megabytes: int) -> Iterator[ObjectParts]:
    """The parts, until the block's end."""
    with server.running("valkey") as valkey, tempfile.TemporaryDirectory() as folder:
        valkey.client.config_set("maxmemory", _MOST_MEMORY)
        port = server.free_port()
        variables = {
            "REDIS_URL": valkey.url,
            "OBJECT_STORE": f"file:{folder}",
            "MAX_OBJECT_BYTES": str(2 * megabytes * MEGABYTE),
            "KEEP_RESULT_S": str(_KEEP_S),
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "MODEL": "bench.models.object:Echo",
            "CONCURRENCY": str(concurrency),
            "LOG_LEVEL": "ERROR",
        }
        gateway_command, worker_command = ([sys.executable, "-m", part] for part in ("gateway", "workers"))
        with (
            MeasuredProcess(gateway_command, variables, placement.REST) as gateway,
            MeasuredProcess(worker_command, variables, placement.REST) as worker,
        ):
            settings = StreamSettings(redis_url=valkey.url)
            store = ObjectStore(ObjectSettings(object_store=f"file:{folder}"))
            yield ObjectParts(f"http://127.0.0.1:{port}", valkey, gateway, worker, store, settings)


async def measure(place: ObjectParts, jobs: int, clients: int, megabytes: int) -> ObjectFigures:
    """Runs so many jobs, some at a time. Raises BenchError if one has not ended with its own file."""
    most = {"gateway": 0, "worker": 0, "server": 0}
    watching = asyncio.create_task(_watch(place, most))
    numbers = iter(range(jobs))
    timeout = aiohttp.ClientTimeout(total=None, sock_read=_PATIENCE_S)
    async with aiohttp.ClientSession(place.base, timeout=timeout) as http:
        await _until_ready(http)
        began_s = time.monotonic()
        await asyncio.gather(*(_client(http, numbers, megabytes) for _ in range(clients)))
        took_s = time.monotonic() - began_s
    watching.cancel()
    swept, left = await _left(place)
    return ObjectFigures(took_s, most["gateway"], most["worker"], most["server"], swept, left)


async def _client(http: aiohttp.ClientSession, numbers: Iterator[int], megabytes: int) -> None:
    for number in numbers:
        body = (number.to_bytes(8, "big") + os.urandom(MEGABYTE - 8)) * megabytes
        await _job(http, body)


async def _job(http: aiohttp.ClientSession, body: bytes) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(body), _PIECE_BYTES):
            yield body[at : at + _PIECE_BYTES]

    headers = {"Content-Type": "application/octet-stream"}
    while True:
        async with http.post("/push?wait=120", data=pieces(), headers=headers) as response:
            document: dict[str, Any] = await response.json()
            if response.status != 503:  # too many uploads at the same time
                break
        await asyncio.sleep(1)
    if document.get("status") != "finished":
        raise BenchError(f"a job has not ended well: {document}")
    digest = hashlib.sha256()
    async with http.get(document["url"]) as response:
        async for piece in response.content.iter_chunked(_PIECE_BYTES):
            digest.update(piece)
    if digest.digest() != hashlib.sha256(body).digest():
        raise BenchError("a result is not what was pushed")


async def _until_ready(http: aiohttp.ClientSession) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with http.get("/readyz") as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(_LOOK_S)


async def _watch(place: ObjectParts, most: dict[str, int]) -> None:
    while True:
        most["gateway"] = max(most["gateway"], place.gateway.resident_bytes())
        most["worker"] = max(most["worker"], place.worker.resident_bytes())
        most["server"] = max(most["server"], int(place.valkey.client.info("memory")["used_memory"]))
        await asyncio.sleep(_LOOK_S)


async def _left(place: ObjectParts) -> tuple[int, int]:
    """How many objects a sweep deletes once all records have expired, and how many are left then."""
    await asyncio.sleep(_KEEP_S + 1)
    stream = Stream(place.settings)

    async def which_exist(job_ids: Collection[str]) -> Collection[str]:
        return [view.id for view in await stream.view_many([(one, False) for one in job_ids]) if view]

    swept = await sweep(place.store, place.settings.queue_name, which_exist, min_age_s=0)
    await stream.close()
    return swept, sum([len(page) async for page in place.store.pages("")])


def main() -> None:
    """Reads the command line, measures and prints the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench objects", description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=whole(1), default=1000, help="default: %(default)s")
    parser.add_argument("--megabytes", type=whole(1), default=10, help="of each file (default: %(default)s)")
    parser.add_argument("--clients", type=whole(1, 1000), default=8, help="at the same time (default: %(default)s)")
    parser.add_argument("--concurrency", type=whole(1, 100), default=2, help="model processes (default: %(default)s)")
    told = parser.parse_args()
    with running(told.concurrency, told.megabytes) as place:
        figures = uvloop.run(measure(place, told.jobs, told.clients, told.megabytes))
    moved = told.jobs * told.megabytes
    print(f"{told.jobs} jobs with {told.megabytes} MB in and out: {told.jobs / figures.took_s:.1f} jobs/s")
    print(f"{moved:,} MB each way in {figures.took_s:.0f} s: {moved / figures.took_s:.0f} MB/s")
    memory = [
        f"{part} {size / 2**20:.0f} MiB"
        for part, size in zip(("gateway", "worker", "server"), figures[1:4], strict=True)
    ]
    print(f"most memory: {', '.join(memory)}")
    print(f"a sweep deleted {figures.swept} objects and left {figures.left}\n\non {placement.machine()}")
