"""What a push does to many idle workers, and what they cost while nothing is pushed."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.common.processes import BenchError
from bench.growth.cells import ARGS
from bench.growth.meter import midmean
from workers.stream import NewJob

if TYPE_CHECKING:
    from bench.growth.cells import Cell

# To be woken, claim, finish, and be idle again.
_PATIENCE_S = 30.0
# A wake-up too many would have come by then.
_SETTLE_S = 0.02


@dataclass(frozen=True, slots=True)
class Wakeups:
    """Of one round, for each push: workers woken, all calls (push, claim, finish, claim), time from push to claim."""

    woken: float
    calls: float
    start_us: float


@dataclass(frozen=True, slots=True)
class Pace:
    """Of idle workers that do what they do while nothing happens: share of a core of the server's, calls/s."""

    server: float
    calls_per_s: float


async def wakeups(cell: Cell, pushes: int) -> Wakeups:
    """Pushes one job after the other, each to workers that all wait. Raises BenchError if none takes it."""
    served: asyncio.Queue[float] = asyncio.Queue()
    for worker in cell.workers:
        worker.served, worker.wakes = served, 0
    calls, _ = await cell.meter.stats()
    starts_us = []
    for _ in range(pushes):
        since_s = time.perf_counter()
        await cell.stream.push(NewJob(job_id := cell.waiting.new(), ARGS))
        try:
            starts_us.append(1e6 * (await asyncio.wait_for(served.get(), _PATIENCE_S) - since_s))
        except TimeoutError:
            raise BenchError(f"none of {len(cell.workers)} idle workers took a job in {_PATIENCE_S:g} s") from None
        cell.waiting.drop(job_id)
    await asyncio.sleep(_SETTLE_S)
    calls_after, _ = await cell.meter.stats()
    woken = sum(worker.wakes for worker in cell.workers)
    for worker in cell.workers:
        worker.served = None
    return Wakeups(woken / pushes, (calls_after - calls) / pushes, midmean(starts_us))


async def pace(cell: Cell, seconds: float) -> Pace:
    """Lets all workers go on at an idle worker's pace, out of step with one another."""
    offsets = random.Random(20)
    tasks = [asyncio.create_task(worker.keep_pace(offsets.random())) for worker in cell.workers]
    try:
        await asyncio.sleep(1.5)  # all of them have begun
        (calls, _), cpu_s, since_s = await cell.meter.stats(), cell.server.process.cpu_s(), time.perf_counter()
        ended, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()
        (calls_after, _), cpu_after_s = await cell.meter.stats(), cell.server.process.cpu_s()
        passed_s = time.perf_counter() - since_s
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return Pace((cpu_after_s - cpu_s) / passed_s, (calls_after - calls) / passed_s)
