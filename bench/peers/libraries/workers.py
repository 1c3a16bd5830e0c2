"""Workers and clients of five libraries: `python -m bench.peers.libraries.workers LIBRARY fill | work | trickle`.

Each library is imported in its own function, as each has an environment of its own. Settings, where there are any:

POLL_DELAY_S    arq's time between polls, which its throughput depends on (arq's default: 0.5)
POOL            Celery's `prefork` (one child runs the jobs) or `solo` (the main process does, and hears nothing else)
FUNCTION        what Leadtime's `fill` pushes
"""

# mypy: disable-error-code="import-not-found,untyped-decorator"

from __future__ import annotations

import asyncio
import logging
import os
import sys
import uuid
from typing import Any

from bench.peers.libraries import common
from bench.peers.libraries.common import COMMAND, CONCURRENCY, JOBS, METER, REDIS_URL


async def noop(ctx: dict[str, Any]) -> None:
    """What the libraries with a context run in `fill`."""
    METER.ran()


async def stamp(ctx: dict[str, Any], sent: float) -> None:
    """What they run in `trickle`."""
    METER.started(sent)


async def leadtime() -> None:
    """With its own defaults: 5 attempts, 300 s timeout, results kept for 24 h. Runs the `workers` of any checkout."""
    import orjson
    from arq.worker import func

    from workers.settings import WorkerSettings
    from workers.stream import NewJob, Stream
    from workers.worker import Worker

    def job(function: str, *arguments: float) -> NewJob:
        return NewJob(uuid.uuid4().hex, orjson.dumps(arguments), function=function)

    logging.basicConfig(level=logging.WARNING)
    settings = WorkerSettings(redis_url=REDIS_URL, max_backlog=10_000_000)
    if COMMAND == "work":
        await Worker([func(noop), func(stamp)], settings=settings, max_jobs=CONCURRENCY).async_run()
        return
    stream = Stream(settings)
    await stream.open()
    name = os.environ.get("FUNCTION", "noop")
    await common.enqueue(lambda: stream.push(job(name)), lambda sent: stream.push(job("stamp", sent)))
    await stream.close()


async def arq() -> None:
    """With its poll delay as POLL_DELAY_S says."""
    from arq import create_pool
    from arq.connections import RedisSettings
    from arq.worker import Worker

    settings = RedisSettings.from_dsn(REDIS_URL)
    if COMMAND == "work":
        delay_s = float(os.environ.get("POLL_DELAY_S", "0.5"))
        worker = Worker(functions=[noop, stamp], redis_settings=settings, max_jobs=CONCURRENCY, poll_delay=delay_s)
        await worker.async_run()
    pool = await create_pool(settings)
    await common.enqueue(lambda: pool.enqueue_job("noop"), lambda sent: pool.enqueue_job("stamp", sent))
    await pool.aclose()


async def saq() -> None:
    """With orjson for its JSON, and with as many concurrent operations allowed as it runs jobs."""
    import orjson
    from saq import Queue, Worker

    operations = max(20, CONCURRENCY)
    queue = Queue.from_url(REDIS_URL, dump=orjson.dumps, load=orjson.loads, max_concurrent_ops=operations)
    if COMMAND == "work":
        await Worker(queue, functions=[noop, stamp], concurrency=CONCURRENCY).start()
    else:
        await common.enqueue(lambda: queue.enqueue("noop"), lambda sent: queue.enqueue("stamp", sent=sent))
    await queue.disconnect()


async def streaq() -> None:
    """Enqueues many jobs in one call, as its documents advise."""
    from streaq import Worker

    worker: Any = Worker(redis_url=REDIS_URL, concurrency=CONCURRENCY, anyio_kwargs={"use_uvloop": True})

    @worker.task(name="noop")
    async def noop() -> None:
        METER.ran()

    @worker.task(name="stamp")
    async def stamp(sent: float) -> None:
        METER.started(sent)

    if COMMAND == "work":
        await worker.run_async()
        return
    async with worker:
        if COMMAND == "trickle":
            await common.enqueue(noop.enqueue, stamp.enqueue)
        for start in range(0, JOBS if COMMAND == "fill" else 0, 1000):
            await worker.enqueue_many([noop.enqueue() for _ in range(min(1000, JOBS - start))])


def celery() -> None:
    """Without what only fleets of workers need.

    Late acknowledgement and no prefetching: a job's worker may die, and one that is busy for long must hold no other
    job. It has no asyncio interface: `enqueue` waits for it, which harms nobody here.
    """
    from celery import Celery

    app = Celery("bench", broker=REDIS_URL, backend=REDIS_URL)
    app.conf.update(
        task_acks_late=True,
        worker_prefetch_multiplier=1,
        worker_redirect_stdouts=False,
        broker_connection_retry_on_startup=True,
    )

    @app.task(name="noop")
    def noop() -> None:
        METER.ran()

    @app.task(name="stamp")
    def stamp(sent: float) -> None:
        METER.started(sent)

    if COMMAND == "work":
        options = ["--concurrency", "1", "--pool", os.environ.get("POOL", "prefork"), "--loglevel", "WARNING"]
        app.worker_main(["worker", *options, "--without-gossip", "--without-mingle", "--without-heartbeat"])

    async def enqueue_noop() -> None:
        noop.apply_async()

    async def enqueue_stamp(sent: float) -> None:
        stamp.apply_async((sent,))

    asyncio.run(common.enqueue(enqueue_noop, enqueue_stamp))


if __name__ == "__main__":
    library = globals()[sys.argv[1]]
    if asyncio.iscoroutinefunction(library):
        import uvloop

        uvloop.run(library())
    else:
        library()
