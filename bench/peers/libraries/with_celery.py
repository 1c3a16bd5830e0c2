"""Celery, without what only fleets of workers need. Late acknowledgement and no prefetching: a job's worker may die,
and a worker that is busy for long must hold no other job.

POOL is `prefork` (one child runs the jobs) or `solo` (the main process does; it hears nothing meanwhile).
"""

# mypy: disable-error-code="import-not-found,untyped-decorator"

from __future__ import annotations

import asyncio
import os
import time

from celery import Celery

from bench.peers.libraries import common

app = Celery("bench", broker=common.REDIS_URL, backend=common.REDIS_URL)
app.conf.task_acks_late = True
app.conf.worker_prefetch_multiplier = 1
app.conf.worker_redirect_stdouts = False
app.conf.broker_connection_retry_on_startup = True


@app.task(name="noop")
def noop() -> None:
    common.METER.ran()


@app.task(name="stamp")
def stamp(sent: float) -> None:
    common.METER.started(sent)


# It has no asyncio interface: the loop waits, which harms nobody here.
async def enqueue_noop() -> None:
    noop.apply_async()


async def enqueue_stamp(_sent: float) -> None:
    stamp.apply_async((time.time(),))


if __name__ == "__main__":
    if common.COMMAND == "work":
        options = ["--concurrency", "1", "--pool", os.environ.get("POOL", "prefork"), "--loglevel", "WARNING"]
        options += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        common.run_module("celery", "-A", "bench.peers.libraries.with_celery", "worker", *options)
    asyncio.run(common.enqueue(enqueue_noop, enqueue_stamp))
