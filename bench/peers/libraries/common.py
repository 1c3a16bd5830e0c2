"""What all peers' modules share; needs the standard library only. The environment says what to do:

REDIS_URL, JOBS (how many), CONCURRENCY (jobs at once of the worker), RATE (jobs/s of `trickle`).

`fill` enqueues JOBS calls of `noop()`. `work` runs one worker, which tells in JSON lines how fast. `trickle`
enqueues one call of `stamp(sent)`, waits for a line on its standard input (that job has run, so the worker
is up), then enqueues JOBS more at RATE.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

REDIS_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")
JOBS = int(os.environ.get("JOBS", "1000"))
CONCURRENCY = int(os.environ.get("CONCURRENCY", "100"))
RATE = float(os.environ.get("RATE", "20"))


class Meter:
    """Watches the job functions of one worker process, from inside."""

    def __init__(self, jobs: int = JOBS) -> None:
        self._jobs = jobs
        self._skipped = max(1, jobs // 10)
        self._count = 0
        self._since_s = 0.0
        self._latencies_s: list[float] = []

    def ran(self) -> None:
        """One no-op job has run. After a tenth of them: prints {"warm"}; after the last: {"jobs", "seconds"}.

        The figures are of those between. At both ends of that time the worker is as full of jobs, so what it
        takes to end a job is in them.
        """
        self._count += 1
        if self._count == self._skipped:
            tell({"warm": True})
            self._since_s = time.perf_counter()
        if self._count == self._jobs:
            tell({"jobs": self._jobs - self._skipped, "seconds": time.perf_counter() - self._since_s})

    def started(self, sent: float) -> None:
        """A job that was sent at `sent` (s since the epoch) starts.

        After the first: prints {"ready"}. After JOBS more: prints {"latencies"}, in seconds.
        """
        latency_s = time.time() - sent
        self._count += 1
        if self._count == 1:
            tell({"ready": True})
            return
        self._latencies_s.append(latency_s)
        if len(self._latencies_s) == self._jobs:
            tell({"latencies": self._latencies_s})


def tell(message: dict[str, Any]) -> None:
    """Writes one JSON line to whoever started this process."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def pauses_s() -> list[float]:
    """The time before each job, the same for all peers: RATE on average, never in step with a poll."""
    generator = random.Random(20)
    return [generator.uniform(0.5, 1.5) / RATE for _ in range(JOBS)]


async def trickle(send: Callable[[float], Awaitable[Any]]) -> None:
    """Sends the time, in s since the epoch, as a job's argument, just before that job is enqueued."""
    await send(time.time())
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    for pause_s in pauses_s():
        await asyncio.sleep(pause_s)
        await send(time.time())


async def fill(send: Callable[[], Awaitable[Any]], at_once: int = 100) -> None:
    """Enqueues JOBS jobs, `at_once` at a time."""
    for start in range(0, JOBS, at_once):
        await asyncio.gather(*(send() for _ in range(min(at_once, JOBS - start))))


def command() -> str:
    """What this process was told to do."""
    if len(sys.argv) != 2 or sys.argv[1] not in {"fill", "work", "trickle"}:
        sys.exit("usage: fill | work | trickle")
    return sys.argv[1]
