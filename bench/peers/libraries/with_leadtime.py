"""Leadtime's worker, with its own defaults: 5 attempts, 300 s timeout, results kept for 24 h.

FUNCTION names what `fill` pushes. It runs the `workers` of any checkout: see `--against`.
"""

from __future__ import annotations

import logging
import os
import uuid
from typing import Any

import orjson
import uvloop
from arq.worker import func

from bench.peers.libraries import common
from workers.settings import WorkerSettings
from workers.stream import NewJob, Stream
from workers.worker import Worker

FUNCTION = os.environ.get("FUNCTION", "noop")


async def noop(ctx: dict[str, Any]) -> None:
    common.METER.ran()


async def stamp(ctx: dict[str, Any], sent: float) -> None:
    common.METER.started(sent)


def new_job(function: str, *arguments: float) -> NewJob:
    return NewJob(uuid.uuid4().hex, orjson.dumps(arguments), function=function)


async def main() -> None:
    settings = WorkerSettings(redis_url=common.REDIS_URL, max_backlog=10_000_000)
    if common.COMMAND == "work":
        worker = Worker([func(noop), func(stamp)], settings=settings, max_jobs=common.CONCURRENCY)
        try:
            await worker.async_run()
        finally:
            await worker.close()
        return
    stream = Stream(settings)
    await stream.open()
    await common.enqueue(lambda: stream.push(new_job(FUNCTION)), lambda sent: stream.push(new_job("stamp", sent)))
    await stream.close()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    uvloop.run(main())
