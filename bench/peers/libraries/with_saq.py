"""SAQ, with orjson for its JSON, and with as many concurrent operations allowed as it runs jobs."""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

from typing import Any

import orjson
import uvloop
from saq import Queue, Worker

from bench.peers.libraries import common

METER = common.Meter()


async def noop(ctx: dict[str, Any]) -> None:
    METER.ran()


async def stamp(ctx: dict[str, Any], *, sent: float) -> None:
    METER.started(sent)


async def main() -> None:
    queue = Queue.from_url(
        common.REDIS_URL, dump=orjson.dumps, load=orjson.loads, max_concurrent_ops=max(20, common.CONCURRENCY)
    )
    match common.command():
        case "work":
            await Worker(queue, functions=[noop, stamp], concurrency=common.CONCURRENCY).start()
        case "fill":
            await common.fill(lambda: queue.enqueue("noop"))
        case _:
            await common.trickle(lambda sent: queue.enqueue("stamp", sent=sent))
    await queue.disconnect()


if __name__ == "__main__":
    uvloop.run(main())
