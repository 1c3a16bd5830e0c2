"""The price of one call: what the server took for it, by its own count, and the round trip."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import redis.asyncio

from bench.common.processes import BenchError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

T = TypeVar("T")
_FCALL = re.compile(rb"cmdstat_fcall:calls=(\d+),usec=(\d+)")


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one operation in one round, in microseconds."""

    server_us: float
    round_trip_us: float


def midmean(figures: Sequence[float]) -> float:
    """The mean of the middle half: finer than a median of whole microseconds, and blind to what was interrupted."""
    ordered = sorted(figures)
    quarter = len(ordered) // 4
    middle = ordered[quarter : len(ordered) - quarter]
    return sum(middle) / len(middle)


class Meter:
    """Times calls to one server that nobody else calls meanwhile.

    The server's time is the difference of INFO commandstats before and after: all of an FCALL, its queueing
    and the network left out.
    """

    def __init__(self, url: str) -> None:
        self._client = redis.asyncio.Redis.from_url(url, socket_timeout=60)
        self._client.set_response_callback("INFO", lambda reply, **_: reply)
        # Costs of calls that are timed while this is set are forgotten.
        self.muted = False
        self._server_us: dict[str, list[int]] = defaultdict(list)
        self._round_trip_us: dict[str, list[float]] = defaultdict(list)

    async def stats(self) -> tuple[int, int]:
        """All function calls so far: how many, and the server's time for them in microseconds."""
        text = await self._client.execute_command("INFO", "commandstats")
        found = _FCALL.search(text)
        return (int(found[1]), int(found[2])) if found else (0, 0)

    async def time(self, operation: str, call: Callable[[], Awaitable[T]]) -> T:
        """Awaits one call and takes down what it cost. Raises BenchError if it was not one call to the server."""
        calls, usec = await self.stats()
        since_s = time.perf_counter()
        result = await call()
        passed_s = time.perf_counter() - since_s
        calls_after, usec_after = await self.stats()
        if calls_after != calls + 1:
            raise BenchError(f"{operation}: {calls_after - calls} calls reached the server in place of one")
        if not self.muted:
            self._server_us[operation].append(usec_after - usec)
            self._round_trip_us[operation].append(1e6 * passed_s)
        return result

    def take(self) -> dict[str, Cost]:
        """What each operation cost since the last `take`."""
        costs = {
            operation: Cost(midmean(server_us), midmean(self._round_trip_us[operation]))
            for operation, server_us in self._server_us.items()
        }
        self._server_us.clear()
        self._round_trip_us.clear()
        return costs

    async def close(self) -> None:
        """Closes its connection."""
        await self._client.aclose()
