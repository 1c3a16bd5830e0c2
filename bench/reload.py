"""`python -m bench reload`: what a killed model process costs, with MODEL_FORK and without.

A job is ended in its middle, by SIGKILL or by a cancel, while the next one waits for the process. The time is that from
there to the start of the next job's `predict`, on one clock. The memory is the sum of PSS (proc(5)) of all processes
below the worker's: what several share counts once.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import time
from typing import TYPE_CHECKING, NamedTuple

import orjson
import psutil
import uvloop

from bench.common import placement
from bench.common.arguments import positive, whole
from bench.common.figures import percentile
from workers.model_host.errors import ModelCrashed
from workers.model_host.host import ModelHost
from workers.model_host.options import ModelOptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_PATIENCE_S = 600.0
_LONG_S = 3600
_EACH_SLOW = 10  # of as many kills, one is measured the slow way


class ReloadFigures(NamedTuple):
    """Seconds of each load, and from each end to the next job's start; bytes of all processes."""

    loads_s: list[float]
    killed_s: list[float]
    cancelled_s: list[float]
    pss_bytes: int


@contextlib.asynccontextmanager
async def _running(size: int, is_forked: bool, loads_s: list[float]) -> AsyncIterator[ModelHost]:
    model = "bench.models.reload:WeighsMuch"
    options = ModelOptions(model, _PATIENCE_S, 0, max_result_bytes=1000, stop_grace_s=1.0, is_forked=is_forked)
    host = ModelHost(options, size, lambda _count: None, loads_s.append)
    running = asyncio.create_task(host.run())
    try:
        async with asyncio.timeout(_PATIENCE_S):
            while host.count < size and not running.done():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        yield host
    finally:
        running.cancel()
        await asyncio.wait([running])


async def _next_start_s(host: ModelHost, is_killed: bool) -> float:
    """Seconds from the end of a job in its middle to the start of the next one."""
    _, pid, _ = orjson.loads(await host.predict(b"0"))
    job = asyncio.create_task(host.predict(str(_LONG_S).encode()))
    await asyncio.sleep(0.1)  # it has begun
    next_job = asyncio.create_task(host.predict(b"0"))
    await asyncio.sleep(0)
    ended_s = time.monotonic()
    if is_killed:
        os.kill(pid, signal.SIGKILL)
    else:
        job.cancel()
    with contextlib.suppress(ModelCrashed, asyncio.CancelledError):
        await job
    began_s, _, _ = orjson.loads(await next_job)
    return float(began_s - ended_s)


async def measure(processes: int, kills: int, is_forked: bool) -> ReloadFigures:
    """The figures of one of the two ways."""
    found = ReloadFigures([], [], [], 0)
    async with _running(1, is_forked, found.loads_s) as host:
        for _ in range(kills):
            found.killed_s.append(await _next_start_s(host, is_killed=True))
            found.cancelled_s.append(await _next_start_s(host, is_killed=False))
    async with _running(processes, is_forked, []) as host:
        await asyncio.gather(*(host.predict(b"0.2") for _ in range(processes)))
        pss_bytes = sum(one.memory_full_info().pss for one in psutil.Process().children(recursive=True))
    return found._replace(pss_bytes=pss_bytes)


def table(by_way: dict[str, ReloadFigures], processes: int) -> str:
    """A line for each way."""
    lines = [["", "load", "kill to next start, p50", "p95", "cancel to next start, p50", "p95", f"PSS of {processes}"]]
    for way, found in by_way.items():
        ends = [f"{percentile(ends_s, p) * 1000:.0f} ms" for ends_s in found[1:3] for p in (50, 95)]
        lines.append([way, f"{percentile(found.loads_s, 50):.2f} s", *ends, f"{found.pss_bytes / 1e9:.2f} GB"])
    return "\n".join(f"{line[0]:14}" + "".join(f"{cell:>26}" for cell in line[1:]) for line in lines)


def main() -> None:
    """Reads the command line, measures both ways and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m bench reload", description=__doc__.partition("\n")[0])
    parser.add_argument("--gigabytes", type=positive, default=1.0, help="of the model (default: %(default)s)")
    parser.add_argument("--processes", type=whole(1), default=8, help="whose memory is measured (default: %(default)s)")
    parser.add_argument("--kills", type=whole(1), default=50, help="and as many cancels (default: %(default)s)")
    told = parser.parse_args()
    logging.getLogger("workers").setLevel(logging.ERROR)  # each end would be a line
    os.environ["MODEL_BYTES"] = str(int(told.gigabytes * 1e9))
    found = {}
    for way, is_forked in (("MODEL_FORK=1", True), ("MODEL_FORK=0", False)):
        kills = told.kills if is_forked else -(-told.kills // _EACH_SLOW)
        found[way] = uvloop.run(measure(told.processes, kills, is_forked))
    print(f"{table(found, told.processes)}\n\na model of {told.gigabytes:g} GB, on {placement.machine()}")
