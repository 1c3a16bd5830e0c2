"""taskiq, run by its command line. orjson instead of JSON and pickle, and arguments not parsed with pydantic.

BROKER is `stream` (a stream with acknowledgements, which reads as many messages at once as it runs jobs) or `list`
(BRPOP: faster, and loses its jobs with the worker).
"""

# mypy: disable-error-code="import-not-found,untyped-decorator"

from __future__ import annotations

import os

import uvloop
from taskiq.serializers import ORJSONSerializer
from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend, RedisStreamBroker

from bench.peers.libraries import common

results = RedisAsyncResultBackend(common.REDIS_URL, prefix_str="result", serializer=ORJSONSerializer())
broker = (
    ListQueueBroker(common.REDIS_URL)
    if os.environ.get("BROKER") == "list"
    else RedisStreamBroker(common.REDIS_URL, xread_count=max(100, common.CONCURRENCY))
)
broker = broker.with_result_backend(results).with_serializer(ORJSONSerializer())


@broker.task(task_name="noop")
async def noop() -> None:
    common.METER.ran()


@broker.task(task_name="stamp")
async def stamp(sent: float) -> None:
    common.METER.started(sent)


async def main() -> None:
    await broker.startup()
    await common.enqueue(noop.kiq, stamp.kiq)
    await broker.shutdown()


if __name__ == "__main__":
    if common.COMMAND == "work":
        at_once = str(common.CONCURRENCY)
        options = ["--workers", "1", "--max-async-tasks", at_once, "--max-prefetch", at_once, "--no-parse"]
        module = "bench.peers.libraries.with_taskiq:broker"
        common.run_module("taskiq", "worker", module, *options, "--log-level", "WARNING")
    uvloop.run(main())
