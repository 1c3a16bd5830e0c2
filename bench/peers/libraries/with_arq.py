"""arq. Its throughput depends on its time between polls: POLL_DELAY_S; arq's default is 0.5."""

from __future__ import annotations

import os
from typing import Any

import uvloop
from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker

from bench.peers.libraries import common


async def noop(ctx: dict[str, Any]) -> None:
    common.METER.ran()


async def stamp(ctx: dict[str, Any], sent: float) -> None:
    common.METER.started(sent)


async def main() -> None:
    settings = RedisSettings.from_dsn(common.REDIS_URL)
    if common.COMMAND == "work":
        delay_s = float(os.environ.get("POLL_DELAY_S", "0.5"))
        worker = Worker(
            functions=[noop, stamp], redis_settings=settings, max_jobs=common.CONCURRENCY, poll_delay=delay_s
        )
        await worker.async_run()
    pool = await create_pool(settings)
    await common.enqueue(lambda: pool.enqueue_job("noop"), lambda sent: pool.enqueue_job("stamp", sent))
    await pool.aclose()


if __name__ == "__main__":
    uvloop.run(main())
