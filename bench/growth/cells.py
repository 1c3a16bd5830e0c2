"""Queues of different sizes, each on a server of its own, all there at once: rounds go from one to the next."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.common import server
from bench.common.processes import BenchError
from bench.growth.light import LightWorker
from bench.growth.meter import Meter
from workers.settings import StreamSettings
from workers.stream import NewJob, Stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ARGS = b'["x"]'
HOUR_MS = 3_600_000
LEASE_S = 30.0  # the default
_CHUNK = 500
_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Axis:
    """What grows: `name` of it in tables, `sizes` it has. All else is as small as can be.

    `idles`: the worker that the operations are measured with waits for work between them, and is woken by pushes.
    """

    name: str
    what: str
    sizes: tuple[int, ...]
    idles: bool


class EagerStream(Stream):
    """Each of its sweeps is the first of an interval, which does the work of it."""

    @property
    def sweep_interval_s(self) -> float:
        """In seconds."""
        return 0.002


class Ids:
    """Ids of the jobs in one state; a million of them take no memory. They look as the gateway's do."""

    def __init__(self, kind: str) -> None:
        self._kind = kind.encode()
        self._first = self._end = 0
        self._gone: set[int] = set()
        self._random = random.Random(20)

    def new(self) -> str:
        """One more."""
        self._end += 1
        return self._name(self._end - 1)

    def some(self) -> str:
        """One of them at random."""
        while (number := self._random.randrange(self._first, self._end)) in self._gone:
            pass
        return self._name(number)

    def drop(self, job_id: str) -> None:
        """It is none of them any more."""
        self._gone.add(int(job_id[:8], 16))
        while self._first in self._gone:
            self._gone.discard(self._first)
            self._first += 1

    def _name(self, number: int) -> str:
        return f"{number:08x}" + hashlib.blake2b(b"%d" % number, key=self._kind, digest_size=12).hexdigest()


@dataclass(slots=True)
class Cell:
    """One queue of one size. `worker` is the one that operations are measured with."""

    axis: Axis
    size: int
    server: server.Server
    stream: EagerStream
    pruning: EagerStream
    meter: Meter
    workers: list[LightWorker]
    waiting: Ids = field(default_factory=lambda: Ids("waiting"))
    deferred: Ids = field(default_factory=lambda: Ids("deferred"))

    @property
    def worker(self) -> LightWorker:
        """The first that is woken."""
        return self.workers[0]


@contextlib.asynccontextmanager
async def cell(axis: Axis, size: int, server_name: str) -> AsyncIterator[Cell]:
    """A server with a queue that has `size` of what grows along the axis."""
    async with contextlib.AsyncExitStack() as stack:
        running = stack.enter_context(server.running(server_name))
        common = StreamSettings(
            redis_url=running.url,
            redis_timeout_s=60,
            max_backlog=1_000_000_000,
            keep_result_s=60,
            lease_s=HOUR_MS / 1000,
        )
        stream = EagerStream(common)
        stack.push_async_callback(stream.close)
        meter = Meter(running.url)
        stack.push_async_callback(meter.close)
        await stream.open()
        # Its leases end, and its pruning comes, whenever it sweeps.
        pruning = EagerStream(common.model_copy(update={"lease_s": 0.003}), stream.redis)
        count = size if axis.name == "idle" else size + 1 if axis.name == "busy" else 1
        workers = [LightWorker(common.model_copy(update={"lease_s": LEASE_S}), n) for n in range(count)]
        made = Cell(axis, size, running, stream, pruning, meter, workers)
        for worker in workers:
            stack.push_async_callback(worker.close)
        for start in range(0, count, _AT_ONCE):
            await asyncio.gather(*(worker.start() for worker in workers[start : start + _AT_ONCE]))
        await _grow(made)
        yield made


async def _grow(made: Cell) -> None:
    if made.axis.name in ("waiting", "deferred"):
        ids, defer_ms = (made.waiting, 0) if made.axis.name == "waiting" else (made.deferred, HOUR_MS)
        for start in range(0, made.size, _CHUNK):
            jobs = [NewJob(ids.new(), ARGS, defer_ms=defer_ms) for _ in range(min(_CHUNK, made.size - start))]
            await made.stream.push_many(jobs)
    if made.axis.name == "busy":
        for worker in made.workers[1:]:
            await made.stream.push(NewJob(made.waiting.new(), ARGS))
            for job in await worker.claim():
                made.waiting.drop(job.id)
    if made.axis.idles:
        for worker in made.workers if made.axis.name == "idle" else made.workers[:1]:
            await worker.claim()
    await _check(made)


async def _check(made: Cell) -> None:
    counts = await made.stream.counts()
    found = {
        "waiting": counts.waiting,
        "deferred": counts.deferred,
        "idle": counts.idle_workers,
        "busy": counts.pending,
    }[made.axis.name]
    if found != made.size:
        raise BenchError(f"{made.size} {made.axis.what} were wanted, but the queue has {found}")
