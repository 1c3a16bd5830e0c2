"""`python -m bench gateway`: what one gateway process bears: clients that follow jobs, and batches of inputs.

Each listener follows a job of its own (`GET /events/{id}`). First nothing happens, for their memory. Then each job
tells a value once a second, in turns, and each value is the time at which it was told. This program plays the worker
and the listeners. The batches are NDJSON of small inputs, from four clients at the same time.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import resource
import sys
import time
import uuid
from typing import TYPE_CHECKING, NamedTuple

import aiohttp
import uvloop

from bench.common import placement, server
from bench.common.arguments import positive, whole
from bench.common.figures import percentile
from bench.common.processes import BenchError, MeasuredProcess
from workers.settings import StreamSettings
from workers.stream import NewJob, Stream, Telling

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_PATIENCE_S = 120.0
_REST_S = 3.0
_STEP_S = 0.01
_AT_ONCE = 100  # jobs of one call, and listeners that connect together
_BATCH = 1000
_CLIENTS = 4
_MOST_JOBS = 10_000_000
_WORKER = "bench"


class GatewayPlace(NamedTuple):
    """The running parts."""

    port: int
    gateway: MeasuredProcess
    stream: Stream


class ListenFigures(NamedTuple):
    """Bytes of an idle listener, seconds from each value to its listener, and how many values were told."""

    listener_bytes: float
    late_s: list[float]
    told: int


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[GatewayPlace]:
    """A gateway and its server, until the block's end."""
    with server.running("valkey") as valkey:
        port = server.free_port()
        variables = {
            "REDIS_URL": valkey.url,
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "MAX_BACKLOG": str(_MOST_JOBS),
            "MAX_CONNECTIONS": "10000",
            "MAX_WAITERS": "9000",
            "LOG_LEVEL": "ERROR",
        }
        settings = StreamSettings(redis_url=valkey.url, redis_timeout_s=60, max_backlog=_MOST_JOBS, lease_s=3600)
        stream = Stream(settings)
        with MeasuredProcess([sys.executable, "-m", "gateway"], variables) as gateway:
            await stream.open()
            try:
                await _until_it_answers(port)
                yield GatewayPlace(port, gateway, stream)
            finally:
                await stream.close()


async def _until_it_answers(port: int) -> None:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http, asyncio.timeout(_PATIENCE_S):
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with http.get("/healthz"):
                    return
            await asyncio.sleep(0.1)


async def listen(place: GatewayPlace, listeners: int, seconds: float) -> ListenFigures:
    """Has so many clients follow jobs, each of which tells something once a second. Raises BenchError."""
    ids = [uuid.uuid4().hex for _ in range(listeners)]
    for at in range(0, listeners, _AT_ONCE):
        some = ids[at : at + _AT_ONCE]
        await place.stream.push_many([NewJob(job_id, b'["x"]') for job_id in some])
        await place.stream.claim(_WORKER, len(some))
    before = place.gateway.resident_bytes()
    late_s: list[float] = []
    tasks: list[asyncio.Task[None]] = []
    try:
        for at in range(0, listeners, _AT_ONCE):
            some_opened = [asyncio.Event() for _ in ids[at : at + _AT_ONCE]]
            for job_id, opened in zip(ids[at:], some_opened, strict=False):
                tasks.append(asyncio.create_task(_follow(place.port, job_id, opened, late_s)))
            async with asyncio.timeout(_PATIENCE_S):
                await asyncio.gather(*(opened.wait() for opened in some_opened))
        await asyncio.sleep(_REST_S)
        idle = (place.gateway.resident_bytes() - before) / listeners
        told = await _tell(place.stream, ids, seconds)
        async with asyncio.timeout(_PATIENCE_S):
            while len(late_s) < told and not any(task.done() for task in tasks):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    if len(late_s) != told:
        raise BenchError(f"{told} values were told, and {len(late_s)} came")
    return ListenFigures(idle, sorted(late_s), told)


async def _follow(port: int, job_id: str, opened: asyncio.Event, late_s: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET /events/%b HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n" % job_id.encode())
        kind = b""
        while line := await reader.readline():
            opened.set()
            if line.startswith(b"event: "):
                kind = line[7:].strip()
            elif line.startswith(b"data: ") and kind == b"partial":
                late_s.append(time.time() - float(line[6:]))
    finally:
        writer.close()


async def _tell(stream: Stream, ids: list[str], seconds: float) -> int:
    """One value of each job a second, evenly; how many."""
    began_s, told = time.monotonic(), 0
    while (passed_s := time.monotonic() - began_s) < seconds:
        due = int(passed_s * len(ids))
        while told < due:
            places = range(told, min(due, told + _AT_ONCE))
            tellings = [
                Telling(ids[place % len(ids)], 1, 1 + place // len(ids), [("partial", b"%.6f" % time.time())])
                for place in places
            ]
            if not all(await stream.tell(_WORKER, tellings)):
                raise BenchError("a job was not this program's any more")
            told += len(places)
        await asyncio.sleep(_STEP_S)
    return told


async def accept(place: GatewayPlace, batches: int) -> float:
    """Jobs a second that are accepted in batches of 1,000. Raises BenchError."""
    body = b"\n".join(b'{"number": %d}' % number for number in range(_BATCH))
    numbers = iter(range(batches))

    async def push(http: aiohttp.ClientSession) -> None:
        for _ in numbers:
            async with http.post("/batches", data=body, headers={"Content-Type": "application/x-ndjson"}) as response:
                if response.status != 202:
                    raise BenchError(f"a batch was not accepted: {await response.text()}")

    async with aiohttp.ClientSession(f"http://127.0.0.1:{place.port}") as http:
        began_s = time.monotonic()
        await asyncio.gather(*(push(http) for _ in range(_CLIENTS)))
        return batches * _BATCH / (time.monotonic() - began_s)


async def _measure(arguments: argparse.Namespace) -> None:
    async with running() as place:
        found = await listen(place, arguments.listeners, arguments.seconds)
        print(f"memory of an idle listener: {found.listener_bytes / 1000:.1f} KB, of {arguments.listeners}")
        p50_ms, p99_ms = (1000 * percentile(found.late_s, share) for share in (50, 99))
        rate = found.told / arguments.seconds
        print(f"{rate:,.0f} events/s in all, from the worker to the listener: p50 {p50_ms:.1f} ms, p99 {p99_ms:.1f} ms")
        rate, memory = await accept(place, arguments.batches), place.gateway.resident_bytes() / 2**20
        print(f"accepted in batches of {_BATCH}: {rate:,.0f} jobs/s; the gateway's memory after that: {memory:.0f} MiB")


def main() -> None:
    """Measures and prints; 1 if it can't, with one sentence on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m bench gateway", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--listeners", type=whole(1), default=2000, help="clients that follow a job (default: 2000)")
    parser.add_argument("--seconds", type=positive, default=10.0, help="how long jobs tell something (default: 10)")
    parser.add_argument("--batches", type=whole(1), default=300, help="batches that are pushed (default: 300)")
    arguments = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with placement.on(placement.REST):
        try:
            uvloop.run(_measure(arguments))
        except BenchError as error:
            sys.exit(f"bench: {error}")


if __name__ == "__main__":
    main()
