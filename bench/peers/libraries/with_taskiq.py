"""taskiq, run by its command line. orjson instead of JSON and pickle, and arguments not parsed with pydantic.

BROKER is `stream` (a stream with acknowledgements, which reads as many messages at once as it runs jobs) or
`list` (BRPOP: faster, and loses its jobs with the worker).
"""

# mypy: disable-error-code="import-not-found,untyped-decorator"

from __future__ import annotations

import os
import sys

import uvloop
from taskiq.serializers import ORJSONSerializer
from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend, RedisStreamBroker

from bench.peers.libraries import common

METER = common.Meter()

broker = (
    (
        ListQueueBroker(common.REDIS_URL)
        if os.environ.get("BROKER") == "list"
        else RedisStreamBroker(common.REDIS_URL, xread_count=max(100, common.CONCURRENCY))
    )
    .with_result_backend(RedisAsyncResultBackend(common.REDIS_URL, prefix_str="result", serializer=ORJSONSerializer()))
    .with_serializer(ORJSONSerializer())
)


@broker.task(task_name="noop")
async def noop() -> None:
    METER.ran()


@broker.task(task_name="stamp")
async def stamp(sent: float) -> None:
    METER.started(sent)


async def main() -> None:
    await broker.startup()
    if common.command() == "fill":
        await common.fill(noop.kiq)
    else:
        await common.trickle(stamp.kiq)
    await broker.shutdown()


if __name__ == "__main__":
    if common.command() == "work":
        options = ["--workers", "1", "--max-async-tasks", str(common.CONCURRENCY), "--no-parse"]
        options += ["--max-prefetch", str(common.CONCURRENCY), "--log-level", "WARNING"]
        os.execv(  # noqa: S606
            sys.executable,
            [sys.executable, "-m", "taskiq", "worker", "bench.peers.libraries.with_taskiq:broker", *options],
        )
    uvloop.run(main())
