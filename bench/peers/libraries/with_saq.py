"""SAQ, with orjson for its JSON, and with as many concurrent operations allowed as it runs jobs."""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

from typing import Any

import orjson
import uvloop
from saq import Queue, Worker

from bench.peers.libraries import common


async def noop(ctx: dict[str, Any]) -> None:
    common.METER.ran()


async def stamp(ctx: dict[str, Any], *, sent: float) -> None:
    common.METER.started(sent)


async def main() -> None:
    operations = max(20, common.CONCURRENCY)
    queue = Queue.from_url(common.REDIS_URL, dump=orjson.dumps, load=orjson.loads, max_concurrent_ops=operations)
    if common.COMMAND == "work":
        await Worker(queue, functions=[noop, stamp], concurrency=common.CONCURRENCY).start()
    else:
        await common.enqueue(lambda: queue.enqueue("noop"), lambda sent: queue.enqueue("stamp", sent=sent))
    await queue.disconnect()


if __name__ == "__main__":
    uvloop.run(main())
