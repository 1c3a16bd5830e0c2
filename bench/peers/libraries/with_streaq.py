"""streaQ, on uvloop."""

# mypy: disable-error-code="import-not-found,untyped-decorator"

from __future__ import annotations

from typing import Any

import uvloop
from streaq import Worker

from bench.peers.libraries import common

CHUNK = 1000

worker: Any = Worker(redis_url=common.REDIS_URL, concurrency=common.CONCURRENCY, anyio_kwargs={"use_uvloop": True})


@worker.task
async def noop() -> None:
    common.METER.ran()


@worker.task
async def stamp(sent: float) -> None:
    common.METER.started(sent)


async def enqueue() -> None:
    async with worker:
        if common.COMMAND == "trickle":
            await common.enqueue(noop.enqueue, stamp.enqueue)
            return
        for start in range(0, common.JOBS, CHUNK):
            await worker.enqueue_many([noop.enqueue() for _ in range(min(CHUNK, common.JOBS - start))])


if __name__ == "__main__":
    if common.COMMAND == "work":
        worker.run_sync()
    else:
        uvloop.run(enqueue())
