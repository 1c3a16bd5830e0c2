"""Leadtime's worker, with its own defaults: 5 attempts, 300 s timeout, results kept for 24 h.

FUNCTION names what `fill` pushes. With OWNED it pushes as the gateway does for a client with an API key, and with
KEYED for one that sends an Idempotency-Key.
"""

from __future__ import annotations

import hashlib
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

METER = common.Meter()
CHUNK = 500
FUNCTION = os.environ.get("FUNCTION", "noop")
OWNER = uuid.uuid4().hex if "OWNED" in os.environ else ""
FINGERPRINT = hashlib.sha256(b"[]").hexdigest()


async def noop(ctx: dict[str, Any]) -> None:
    METER.ran()


async def stamp(ctx: dict[str, Any], sent: float) -> None:
    METER.started(sent)


async def work(settings: WorkerSettings) -> None:
    worker = Worker([func(noop), func(stamp)], settings=settings, max_jobs=common.CONCURRENCY)
    try:
        await worker.async_run()
    finally:
        await worker.close()


def new() -> NewJob:
    job = NewJob(uuid.uuid4().hex, b"[]", function=FUNCTION, owner=OWNER)
    if "KEYED" not in os.environ:
        return job
    return job._replace(idempotency_key=hashlib.sha256(job.id.encode()).hexdigest(), fingerprint=FINGERPRINT)


async def fill(stream: Stream) -> None:
    for start in range(0, common.JOBS, CHUNK):
        await stream.push_many([new() for _ in range(min(CHUNK, common.JOBS - start))])


async def main() -> None:
    settings = WorkerSettings(redis_url=common.REDIS_URL, max_backlog=10_000_000)
    if common.command() == "work":
        await work(settings)
        return
    stream = Stream(settings)
    await stream.open()
    if common.command() == "fill":
        await fill(stream)
    else:
        await common.trickle(lambda sent: stream.push(NewJob(uuid.uuid4().hex, orjson.dumps([sent]), function="stamp")))
    await stream.close()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    uvloop.run(main())
