"""arq. Its time between polls is a setting that its throughput depends on: POLL_DELAY_S; arq's default is 0.5."""

from __future__ import annotations

import os
from typing import Any

import uvloop
from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker

from bench.peers.libraries import common

POLL_DELAY_S = float(os.environ.get("POLL_DELAY_S", "0.5"))
METER = common.Meter()


async def noop(ctx: dict[str, Any]) -> None:
    METER.ran()


async def stamp(ctx: dict[str, Any], sent: float) -> None:
    METER.started(sent)


async def main() -> None:
    settings = RedisSettings.from_dsn(common.REDIS_URL)
    if common.command() == "work":
        worker = Worker(
            functions=[noop, stamp], redis_settings=settings, max_jobs=common.CONCURRENCY, poll_delay=POLL_DELAY_S
        )
        await worker.async_run()
        return
    pool = await create_pool(settings)
    if common.command() == "fill":
        await common.fill(lambda: pool.enqueue_job("noop"))
    else:
        await common.trickle(lambda sent: pool.enqueue_job("stamp", sent))
    await pool.aclose()


if __name__ == "__main__":
    uvloop.run(main())
