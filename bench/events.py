"""`python -m bench events`: how late a reader sees what generators yield, and how many values one worker sends.

Each generator has a process of its own, in one worker, and a reader of its own. First they yield at a pace, and each
value is the time at which it was yielded. Then they yield as fast as they can.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import time
import uuid
from typing import TYPE_CHECKING, NamedTuple

import orjson
import uvloop

from bench.common import placement, server
from bench.common.arguments import positive, whole
from bench.common.figures import percentile
from bench.common.processes import ROOT, BenchError, environment
from workers.settings import StreamSettings
from workers.stream import NewJob, Stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_PATIENCE_S = 600.0
_MOST = 1_000_000


class EventFigures(NamedTuple):
    """Seconds from each yield to its reader, how many values came, and seconds from the push to the last."""

    late_s: list[float]
    values: int
    took_s: float


@contextlib.asynccontextmanager
async def running(generators: int) -> AsyncIterator[Stream]:
    """The stream of a worker with so many processes."""
    with server.running("valkey") as valkey:
        stream = Stream(StreamSettings(redis_url=valkey.url))
        await stream.open()
        variables = {
            "REDIS_URL": valkey.url,
            "MODEL": "bench.models.event:Clock",
            "MODEL_FORK": "1",
            "CONCURRENCY": str(generators),
            "MAX_EVENTS": str(_MOST),
            "MAX_EVENTS_BYTES": str(100 * _MOST),
            "LOG_LEVEL": "ERROR",
        }
        command = (sys.executable, "-m", "workers")
        worker = await asyncio.create_subprocess_exec(*command, env=environment(variables), cwd=ROOT)
        try:
            await measure(stream, generators, 1, 0.5)  # until each process is there
            yield stream
        finally:
            worker.terminate()
            await worker.wait()
            await stream.close()


async def measure(stream: Stream, generators: int, count: int, pause_s: float) -> EventFigures:
    """So many values from each generator. Raises BenchError if one is missing."""
    began_s = time.monotonic()
    job_ids = [await _push(stream, count, pause_s) for _ in range(generators)]
    read = await asyncio.gather(*(_read(stream, job_id) for job_id in job_ids))
    took_s = time.monotonic() - began_s
    late_s = [late for one in read for late in one]
    if len(late_s) != generators * count:
        raise BenchError(f"{len(late_s)} of {generators * count} values have come")
    return EventFigures(late_s, len(late_s), took_s)


async def _push(stream: Stream, count: int, pause_s: float) -> str:
    job_id = uuid.uuid4().hex
    await stream.push(NewJob(job_id, orjson.dumps([{"count": count, "pause_s": pause_s}])))
    return job_id


async def _read(stream: Stream, job_id: str) -> list[float]:
    """The seconds that each value of a job was under way."""
    late_s: list[float] = []
    after = ""
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            for event in await stream.events(job_id, after, wait_s=_PATIENCE_S):
                after = event.entry
                if event.kind == "partial":
                    late_s.append(time.time() - float(event.value))
                elif event.is_last:
                    return late_s


async def _both(generators: int, rate: float, seconds: float, flood: int) -> tuple[EventFigures, EventFigures]:
    async with running(generators) as stream:
        paced = await measure(stream, generators, max(1, round(rate * seconds)), 1 / rate)
        return paced, await measure(stream, generators, flood, 0)


def main() -> None:
    """Reads the command line, measures and prints the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench events", description=__doc__.partition("\n")[0])
    parser.add_argument("--generators", type=whole(1, 100), default=20, help="at the same time (default: %(default)s)")
    parser.add_argument("--rate", type=positive, default=50, help="values/s of each (default: %(default)s)")
    parser.add_argument("--seconds", type=positive, default=10, help="of the pace (default: %(default)s)")
    parser.add_argument(
        "--flood", type=whole(1, 100_000), default=3000, help="values each, then (default: %(default)s)"
    )
    told = parser.parse_args()
    paced, flood = uvloop.run(_both(told.generators, told.rate, told.seconds, told.flood))
    late = "".join(f" p{p} {percentile(paced.late_s, p) * 1000:.1f} ms," for p in (50, 95, 99))
    print(f"{told.generators} generators of {told.rate:g} values/s, yield to reader:{late} of {paced.values}")
    print(f"as fast as they can: {flood.values / flood.took_s:,.0f} values/s read\n\non {placement.machine()}")
