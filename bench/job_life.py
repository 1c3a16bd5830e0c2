"""What `bench calls` has done by the code of any checkout: `python -m bench.job_life URL JOBS PUSHED CHUNK`.

Pushes so many jobs, PUSHED in a call, and claims and finishes them, CHUNK in a call. Prints {"done"} after each of
these, and goes on when it is told a line.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import uvloop

from workers.settings import StreamSettings
from workers.stream import Finish, NewJob, Stream


async def live(url: str, jobs: int, pushed: int, chunk: int) -> None:
    """All of it. Each call is awaited before the next."""
    stream = Stream(StreamSettings(redis_url=url, max_backlog=10**9))
    await stream.open()
    await stream.register("w", 600, {"state": "idle"})
    _say("open")
    for start in range(0, jobs, pushed):
        await stream.push_many([NewJob(f"{start + n:032x}", b'["x"]') for n in range(min(pushed, jobs - start))])
    _say("push")
    claimed: list[Any] = []
    while len(claimed) < jobs:
        claimed += await stream.claim("w", chunk)
    _say("claim")
    for start in range(0, jobs, chunk):
        some = claimed[start : start + chunk]
        ends = [Finish(job.id, job.attempt, "finished", b"null", 600_000) for job in some]
        if "is_plain" in Finish._fields:  # an older checkout has none
            ends = [end._replace(is_plain=job.is_plain) for end, job in zip(ends, some, strict=True)]
        await stream.finish("w", ends)
    _say("finish")
    await stream.close()


def _say(what: str) -> None:
    print(json.dumps({"done": what}), flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    uvloop.run(live(sys.argv[1], *map(int, sys.argv[2:])))
