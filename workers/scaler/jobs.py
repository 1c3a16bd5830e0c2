"""The jobs as a scaler sees them: how many came, wait and run, and how long those took that ended."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workers.scaler.observer import Unseen
from workers.scaler.services import Services
from workers.stream import is_unavailable

if TYPE_CHECKING:
    from workers.scaler.memory import Memory
    from workers.stream import Stream

# Workers write their registrations three times a lease, 10 s by default.
_REGISTRATIONS_S = 3.0


@dataclass(frozen=True, slots=True)
class JobsSeen:
    """`now_s` is a clock of the scaler's own that goes on after a restart; `services_s` are new, in seconds.

    `arrived` never goes back: it grows by what the stream's own count grows.
    """

    now_s: float
    at_ms: int
    arrived: int
    waiting: int
    running: int
    services_s: tuple[float, ...]


class Jobs:
    """Looks at the stream, going on where the memory ends."""

    def __init__(self, stream: Stream, memory: Memory | None = None) -> None:
        self._stream = stream
        self._services = Services(memory.services_seen if memory else None)
        self._count = memory.count if memory else -1
        self._arrived = memory.arrived if memory else 0
        self._least_now_s = memory.now_s if memory else 0.0
        self._now_s: float | None = None
        self._clock_s = 0.0
        self._registrations_s = 0.0
        self._services_s: tuple[float, ...] = ()

    @property
    def count(self) -> int:
        """The stream's own count of what arrived; -1 before the first look."""
        return self._count

    @property
    def arrived(self) -> int:
        """How many have arrived, as the policy is told."""
        return self._arrived

    @property
    def services_seen(self) -> dict[str, int]:
        """How many attempts of each worker have been counted."""
        return self._services.seen

    async def look(self) -> JobsSeen:
        """Raises Unseen."""
        try:
            demand = await self._stream.demand()
            clock_s = time.monotonic()
            if clock_s >= self._registrations_s:
                self._services_s += self._services.new(await self._stream.workers())
                self._registrations_s = clock_s + _REGISTRATIONS_S
        except Exception as error:
            if not is_unavailable(error):
                raise
            raise Unseen(f"the stream can't be read ({error})") from error
        if self._count < 0:
            self._arrived = demand.arrived
        self._arrived += max(0, demand.arrived - self._count) if self._count >= 0 else 0
        self._count = demand.arrived
        services_s, self._services_s = self._services_s, ()
        return JobsSeen(
            self._now(demand.now_ms, clock_s),
            demand.now_ms,
            self._arrived,
            demand.waiting,
            demand.running,
            services_s,
        )

    def _now(self, server_ms: int, clock_s: float) -> float:
        # The server's clock is the one that several scalers share, but it may be set: it only counts at the start.
        if self._now_s is None:
            self._now_s = max(server_ms / 1000, self._least_now_s)
        else:
            self._now_s += clock_s - self._clock_s
        self._clock_s = clock_s
        return self._now_s
