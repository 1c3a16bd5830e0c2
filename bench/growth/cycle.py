"""One of each operation, ending with the queue as it was."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bench.common.processes import BenchError
from bench.growth.cells import ARGS, HOUR_MS
from bench.growth.light import done, registration
from workers.stream import NewJob

if TYPE_CHECKING:
    from bench.growth.cells import Cell
    from workers.stream import Claimed

# Longer than an eager interval, and than the time of a job that is nearly due.
_PAUSE_S = 0.003
_SOON_MS = 1

# One SET of one key: whatever it costs more is the machine's price of a larger memory.
CONTROL = "control"
OPERATIONS = {
    "push": "a push; where a worker waits, it is woken",
    "status": "the status of some waiting job, with the number of jobs ahead",
    "claim": "one job for one worker",
    "finish": "one job's result",
    "scrape": "the queue's numbers, for /metrics",
    "cancel": "some waiting job's end",
    "register": "a worker's heartbeat",
    "renew": "the lease of the job that it runs",
    "claim nothing": "an idle worker's look at an empty queue",
    "push deferred": "a job for later",
    "status deferred": "the status of some deferred job",
    "cancel deferred": "some deferred job's end",
    "sweep": "with nothing to do; once a second for all workers together",
    "sweep due": "one deferred job is due",
    "sweep prune": "with a look for dead workers; once a lease (30 s) for all workers together",
    CONTROL: "one SET of one key, which can't depend on any of this",
}
# What takes a step for each of these, as it must, and how often for all workers together.
BY_DESIGN = {
    ("idle", "sweep prune"): "a step for each worker, once in 30 s",
    ("busy", "sweep"): "a step for each running job, once in 1 s",
    ("busy", "sweep due"): "a step for each running job, once in 1 s",
}


async def cycle(cell: Cell) -> None:
    """Measures each operation once."""
    await _life(cell)
    await _cancel(cell)
    await _deferred(cell)
    await _due(cell)
    await asyncio.sleep(_PAUSE_S)
    await cell.meter.time("sweep", cell.stream.sweep)
    if cell.axis.name != "busy":
        await asyncio.sleep(_PAUSE_S)
        await cell.meter.time("sweep prune", cell.pruning.sweep)
        # It lets the next sweep prune, too, whoever's that is.
        await asyncio.sleep(_PAUSE_S)
        await cell.stream.sweep()


async def _life(cell: Cell) -> None:
    stream, meter, worker = cell.stream, cell.meter, cell.worker
    pushed = await meter.time("push", lambda: stream.push(NewJob(cell.waiting.new(), ARGS)))
    if pushed.outcome != "accepted":
        raise BenchError(f"a push was answered with {pushed.outcome}")
    some = cell.waiting.some()
    view = await meter.time("status", lambda: stream.view(some))
    if view is None or view.ahead is None:
        raise BenchError("a waiting job's status does not say how many are ahead")
    await meter.time("scrape", stream.counts)
    jobs = await meter.time("claim", lambda: stream.claim(worker.id, 1, 0, worker.number))
    held = [(job.id, job.attempt) for job in _one(cell, jobs)]
    await meter.time("register", lambda: stream.register(worker.id, HOUR_MS / 1000, registration(worker.number)))
    if await meter.time("renew", lambda: stream.renew(worker.id, held)):
        raise BenchError("a lease was lost")
    finished = await meter.time("finish", lambda: stream.finish(worker.id, [done(job) for job in jobs]))
    if not all(finished):
        raise BenchError("a result was refused")
    if cell.axis.idles:
        jobs = await meter.time("claim nothing", lambda: stream.claim(worker.id, 1, 0, worker.number))
        if jobs:
            raise BenchError("there was a job where none should be")
    await meter.time(CONTROL, lambda: stream.write_health(60, "nothing"))


async def _cancel(cell: Cell) -> None:
    await cell.stream.push(NewJob(cell.waiting.new(), ARGS))
    some = cell.waiting.some()
    if await cell.meter.time("cancel", lambda: cell.stream.cancel(some)) != "cancelled":
        raise BenchError("a waiting job could not be cancelled")
    cell.waiting.drop(some)
    await _idle(cell)


async def _deferred(cell: Cell) -> None:
    stream, meter = cell.stream, cell.meter
    later = NewJob(cell.deferred.new(), ARGS, defer_ms=HOUR_MS)
    await meter.time("push deferred", lambda: stream.push(later))
    some = cell.deferred.some()
    await meter.time("status deferred", lambda: stream.view(some))
    if await meter.time("cancel deferred", lambda: stream.cancel(some)) != "cancelled":
        raise BenchError("a deferred job could not be cancelled")
    cell.deferred.drop(some)


async def _due(cell: Cell) -> None:
    # Counted among the waiting from the start: it is their last once it is due, and the first of them is claimed.
    await cell.stream.push(NewJob(cell.waiting.new(), ARGS, defer_ms=_SOON_MS))
    await asyncio.sleep(_PAUSE_S)
    await cell.meter.time("sweep due", cell.stream.sweep)
    jobs = await cell.stream.claim(cell.worker.id, 1, 0, cell.worker.number)
    await cell.stream.finish(cell.worker.id, [done(job) for job in _one(cell, jobs)])
    await _idle(cell)


def _one(cell: Cell, jobs: list[Claimed]) -> list[Claimed]:
    if len(jobs) != 1:
        raise BenchError(f"{len(jobs)} jobs were claimed in place of one")
    cell.waiting.drop(jobs[0].id)
    return jobs


async def _idle(cell: Cell) -> None:
    """The worker waits again, where it did before."""
    if cell.axis.idles:
        await cell.stream.claim(cell.worker.id, 1, 0, cell.worker.number)
