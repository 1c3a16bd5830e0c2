"""Celery, for the latency only: one prefork child, without what only fleets of workers need."""

# mypy: disable-error-code="import-not-found,untyped-decorator"

from __future__ import annotations

import asyncio
import os
import sys
import time

from celery import Celery

from bench.peers import common

METER = common.Meter()

app = Celery("bench", broker=common.REDIS_URL, backend=common.REDIS_URL)
app.conf.worker_redirect_stdouts = False
app.conf.broker_connection_retry_on_startup = True


@app.task(name="stamp")
def stamp(sent: float) -> None:
    METER.started(sent)


async def send(_sent: float) -> None:
    # It has no asyncio interface: the loop waits, which harms nobody here.
    stamp.delay(time.time())


if __name__ == "__main__":
    match common.command():
        case "work":
            options = ["--concurrency", "1", "--loglevel", "WARNING"]
            options += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
            os.execv(  # noqa: S606
                sys.executable, [sys.executable, "-m", "celery", "-A", "bench.peers.with_celery", "worker", *options]
            )
        case "trickle":
            asyncio.run(common.trickle(send))
        case _:
            sys.exit("latency only")
