"""What all peers' modules share; needs the standard library only. The environment says what to do:

REDIS_URL, JOBS (how many), CONCURRENCY (jobs at once of the worker), RATE (jobs/s of `trickle`).

`work` runs one worker, which tells in JSON lines how fast it is. `fill` enqueues JOBS calls of `noop()`. `trickle`
enqueues one call of `stamp(sent)`, waits for a line on its standard input (that job has run, so the worker is up),
then enqueues JOBS more at RATE.
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
COMMAND = sys.argv[-1]
# How the endpoints are served; the gateway's server is set the same.
SERVE: dict[str, Any] = {
    "host": os.environ.get("HOST", "127.0.0.1"), "port": int(os.environ.get("PORT", "8002")), "http": "httptools",
    "loop": "uvloop", "log_level": "warning", "access_log": False,
}  # fmt: skip


class JobMeter:
    """Watches the job functions of one worker process, from inside."""

    def __init__(self) -> None:
        self._skipped = max(1, JOBS // 10)
        self._count = 0
        self._since_s = 0.0
        self._latencies_s: list[float] = []

    def ran(self) -> None:
        """A no-op job has run. After a tenth of JOBS: prints {"warm"}; after the last one: {"jobs", "seconds"}.

        The figures are of the jobs between. The worker is as full of jobs at both ends of that time, so what it takes
        to end a job is in the figures.
        """
        self._count += 1
        if self._count == self._skipped:
            tell({"warm": True})
            self._since_s = time.perf_counter()
        if self._count == JOBS:
            tell({"jobs": JOBS - self._skipped, "seconds": time.perf_counter() - self._since_s})

    def started(self, sent: float) -> None:
        """A job that was sent at `sent` (s since the epoch) starts.

        After the first: prints {"ready"}. After JOBS more: prints {"latencies"}, in seconds.
        """
        self._latencies_s.append(time.time() - sent)
        if len(self._latencies_s) == 1:
            tell({"ready": True})
        elif len(self._latencies_s) == JOBS + 1:
            tell({"latencies": self._latencies_s[1:]})


METER = JobMeter()


def tell(message: dict[str, Any]) -> None:
    """Writes one JSON line to whoever started this process."""
    print(json.dumps(message), flush=True)


def run_module(*arguments: str) -> None:
    """Becomes a library's own command line: `python -m ARGUMENT ...`."""
    os.execv(sys.executable, [sys.executable, "-m", *arguments])  # noqa: S606


async def enqueue(noop: Callable[[], Awaitable[Any]], stamp: Callable[[float], Awaitable[Any]]) -> None:
    """`fill`, 100 at a time, or `trickle`. Both arguments enqueue one job; that of `stamp` gets a time."""
    if COMMAND == "fill":
        for start in range(0, JOBS, 100):
            await asyncio.gather(*(noop() for _ in range(min(100, JOBS - start))))
        return
    await stamp(time.time())
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    # The same pauses for all peers, never in step with a poll.
    generator = random.Random(20)
    for _ in range(JOBS):
        await asyncio.sleep(generator.uniform(0.5, 1.5) / RATE)
        await stamp(time.time())
