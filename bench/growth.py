"""`python -m bench growth`: what calls cost the server with many jobs or workers, as ratios to the cost with none.

Each queue is on a server of its own, and all are there at once: blocks of calls go from one to the next, so that
whatever else the machine does strikes all of them alike. A cost is the server's own time for an FCALL, by INFO
commandstats: neither the network nor this program is in it. The "call that looks at nothing" sets one key; as its cost
can't depend on the queue, what it grows by is the price of a larger memory (the processor's caches).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import statistics
import sys
from collections import defaultdict
from operator import truediv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis.asyncio
import uvloop

from bench.common import placement, server
from bench.common.arguments import whole
from bench.common.processes import BenchError
from workers.settings import StreamSettings
from workers.stream import Finish, NewJob, Stream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

CALLS = ("push", "status", "claim", "finish", "renew", "a call that looks at nothing")
_BLOCK = 10
_HOUR_S = 3600
_CHUNK = 500
# The fields of a registration that workers.worker.beside.heartbeat writes, as long as they are there.
_REGISTRATION: dict[str, str | int] = {
    "state": "idle", "host": "worker-5d8c7b9f6d-x2x7z", "pid": 1, "concurrency": 1, "starting_since": 1_700_000_000_000,
    "ready_since": 1_700_000_030_000, "running": 0, "job": "",
}  # fmt: skip


class GrowthQueue:
    """A queue with jobs that wait, jobs that are deferred, or idle workers; `costs_us` are those of the last round."""

    def __init__(self, url: str, waiting: int = 0, deferred: int = 0, idle: int = 0) -> None:
        self.counts = (waiting, deferred, idle)
        self.costs_us: dict[str, list[int]] = defaultdict(list)
        self._redis: Any = redis.asyncio.Redis.from_url(url, socket_timeout=60)
        self._wakeups = self._redis.pubsub()
        self._stream = Stream(StreamSettings(redis_url=url, redis_timeout_s=60, max_backlog=10**9, lease_s=_HOUR_S))
        self._pushed = 0

    async def fill(self) -> None:
        """Makes what is to be there. Raises BenchError if the server counts otherwise."""
        waiting, deferred, idle = self.counts
        await self._stream.open()
        for count, defer_ms in ((waiting, 0), (deferred, 1000 * _HOUR_S)):
            for start in range(0, count, _CHUNK):
                await self._stream.push_many([self._job(defer_ms) for _ in range(min(_CHUNK, count - start))])
        for number in range(idle):
            # One connection listens for all workers, as no push wakes a worker that nobody hears.
            await self._wakeups.subscribe(f"{self._stream.prefix}:wake:{_worker(number)}")
            await self._stream.register(_worker(number), _HOUR_S, _REGISTRATION)
            await self._stream.claim(_worker(number), 1, 0, number)
        found = await self._stream.counts()
        if (found.waiting, found.deferred, found.idle_workers) != self.counts:
            raise BenchError(
                f"{self.counts} jobs waiting, deferred, and idle workers were wanted, but there are {found}"
            )

    def _job(self, defer_ms: int = 0) -> NewJob:
        self._pushed += 1
        return NewJob(f"{self._pushed:032x}", b'["x"]', defer_ms=defer_ms)

    async def cycle(self) -> None:
        """Measures each call once, and leaves as many jobs and idle workers as it found. Raises BenchError."""
        waiting, _, idle = self.counts
        stream, worker = self._stream, _worker(0)
        await self._timed("push", stream.push, self._job())
        # The oldest jobs are claimed first: of the younger half, any still waits.
        some = f"{self._pushed - random.randrange(1 + waiting // 2):032x}"
        await self._timed("status", stream.view, some)
        job = (await self._timed("claim", stream.claim, worker, 1))[0]
        await self._timed("renew", stream.renew, worker, [(job.id, job.attempt)])
        finish = Finish(job.id, job.attempt, "finished", b"null", keep_ms=60_000)
        if not all(await self._timed("finish", stream.finish, worker, [finish])):
            raise BenchError("a result was refused")
        await self._timed("a call that looks at nothing", stream.write_health, 60, "nothing")
        if idle:
            await stream.claim(worker, 1)

    async def _timed(self, call: str, function: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        calls, before_us = await self._stats()
        result = await function(*args)
        calls_after, after_us = await self._stats()
        if calls_after != calls + 1:
            raise BenchError(f"{call}: {calls_after - calls} calls reached the server in place of one")
        self.costs_us[call].append(after_us - before_us)
        return result

    async def _stats(self) -> tuple[int, int]:
        """All function calls so far: how many, and the server's time for them in microseconds."""
        found = (await self._redis.info("commandstats")).get("cmdstat_fcall", {"calls": 0, "usec": 0})
        return found["calls"], found["usec"]

    async def close(self) -> None:
        """Closes all connections."""
        await self._wakeups.aclose()
        await self._redis.aclose()
        await self._stream.close()


def _worker(number: int) -> str:
    return f"growth-{number:05}-00000000"


def midmean(figures: Sequence[float]) -> float:
    """The mean of the middle half: finer than a median of whole microseconds, and blind to interrupted calls."""
    ordered, quarter = sorted(figures), len(figures) // 4
    return statistics.fmean(ordered[quarter : len(ordered) - quarter])


async def measure(name: str, jobs: int, workers: int, rounds: int, cycles: int) -> dict[str, dict[str, list[float]]]:
    """Microseconds of each call, one figure a round, by the queue's description. Raises BenchError."""
    sizes = {
        "nothing": {},
        f"{jobs:,} waiting": {"waiting": jobs},
        f"{jobs:,} deferred": {"deferred": jobs},
        "1 idle worker": {"idle": 1},
        f"{workers:,} idle workers": {"idle": workers},
    }
    found: dict[str, dict[str, list[float]]] = {call: {what: [] for what in sizes} for call in CALLS}
    async with contextlib.AsyncExitStack() as stack:
        queues = {}
        for what, size in sizes.items():
            queue = queues[what] = GrowthQueue(stack.enter_context(server.running(name)).url, **size)
            stack.push_async_callback(queue.close)
            await queue.fill()
        for _ in range(rounds):
            for _ in range(max(1, cycles // _BLOCK)):
                for queue in queues.values():
                    for _ in range(min(cycles, _BLOCK)):
                        await queue.cycle()
            for what, queue in queues.items():
                for call, costs_us in queue.costs_us.items():
                    found[call][what].append(midmean(costs_us))
                queue.costs_us.clear()
    return found


def table(found: dict[str, dict[str, list[float]]]) -> str:
    """One row a call: microseconds with nothing there and with one idle worker, and times that with more there."""
    nothing, waiting, deferred, one, idle = found["push"]
    base = {waiting: nothing, deferred: nothing, idle: one}
    lines = [["server's time for", *(f"{'x' if what in base else 'us'} with {what}" for what in found["push"])]]
    for call, by in found.items():
        lines.append([call])
        for what, us in by.items():
            ratio = statistics.median(map(truediv, us, by[base.get(what, what)]))
            lines[-1].append(f"{ratio:.2f}" if what in base else f"{statistics.median(us):.0f}")
    return "\n".join(f"{line[0]:28}" + "".join(f"{cell:>26}" for cell in line[1:]) for line in lines)


def main() -> None:
    """Reads the command line, measures, prints the table and writes the figures. Ends with 1 if something failed."""
    parser = argparse.ArgumentParser(prog="python -m bench growth", description=__doc__.partition("\n")[0])
    sizes = {"--jobs": 1_000_000, "--workers": 1000, "--rounds": 3, "--cycles": 200}
    for name, default in sizes.items():
        parser.add_argument(name, type=whole(1), default=default, help="(default: %(default)s)")
    parser.add_argument(
        "--server", default="valkey", help="a program's name or path (default: the embedded %(default)s)"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="also writes all figures, as JSON")
    told = parser.parse_args()
    try:
        with placement.on(placement.MEASURED):  # the servers have the other cores
            found = uvloop.run(measure(told.server, told.jobs, told.workers, told.rounds, told.cycles))
        print(f"{table(found)}\n\n{told.server}, {told.rounds} rounds of {told.cycles} calls, on {placement.machine()}")
        if told.output:
            figures = {"machine": placement.machine(), "server": told.server, "microseconds": found}
            told.output.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    except (BenchError, OSError) as error:
        sys.exit(f"bench growth: {error}")
