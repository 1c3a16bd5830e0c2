"""The jobs as a scaler sees them: how many came, wait and run, and how long those took that ended."""

from __future__ import annotations

import contextlib
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workers.scaler.surroundings import ObservationError
from workers.stream import bad_server, is_unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from workers.scaler.memory import Memory
    from workers.stream import Stream, WorkerView

# Workers write their registrations three times a lease, 10 s by default.
_REGISTRATIONS_S = 3.0


@contextlib.contextmanager
def reading_stream() -> Iterator[None]:
    """Raises ObservationError in place of errors that mean that the stream is unavailable."""
    try:
        yield
    except Exception as error:
        if not is_unavailable(error) or bad_server(error):
            raise
        raise ObservationError(f"the stream can't be read ({error})") from error


@dataclass(frozen=True, slots=True)
class JobsSeen:
    """`now_s` is a clock of the scaler's own that goes on after a restart; `services_s` are new, in seconds.

    `arrived` never goes back: it grows by what the stream's own count grows.
    """

    now_s: float
    at_ms: int  # by the server's clock
    arrived: int
    waiting: int
    running: int
    services_s: tuple[float, ...]
    busy: int = 0  # workers that hold jobs


class JobObserver:
    """Observes the stream, going on where the memory ends."""

    def __init__(self, stream: Stream, memory: Memory | None = None) -> None:
        self._stream = stream
        self._services = NewServiceTimes(memory.services_seen if memory else None)
        self._count = memory.count if memory else -1
        self._arrived = memory.arrived if memory else 0
        self._least_now_s = memory.now_s if memory else 0.0
        self._now_s: float | None = None
        self._clock_s = 0.0
        self._registrations_s = 0.0
        self._services_s: tuple[float, ...] = ()

    @property
    def count(self) -> int:
        """The stream's own count of arrivals; -1 before the first observation."""
        return self._count

    @property
    def arrived(self) -> int:
        """How many have arrived, as the policy is told."""
        return self._arrived

    @property
    def services_seen(self) -> dict[str, int]:
        """How many attempts of each worker have been counted."""
        return self._services.seen

    async def observe(self) -> JobsSeen:
        """Returns the jobs now. Raises ObservationError."""
        with reading_stream():
            demand = await self._stream.demand()
            clock_s = time.monotonic()
            if clock_s >= self._registrations_s:
                self._services_s += self._services.new(await self._stream.workers())
                self._registrations_s = clock_s + _REGISTRATIONS_S
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
            demand.busy,
        )

    def _now(self, server_ms: int, clock_s: float) -> float:
        # Several scalers share the server's clock, but somebody may set it: so it is read at the start only.
        if self._now_s is None:
            self._now_s = max(server_ms / 1000, self._least_now_s)
        else:
            self._now_s += clock_s - self._clock_s
        self._clock_s = clock_s
        return self._now_s


class NewServiceTimes:
    """Finds what is new in the workers' registrations: remembers how many attempts of each worker it has seen."""

    def __init__(self, seen: Mapping[str, int] | None = None) -> None:
        self._seen = dict(seen or {})

    @property
    def seen(self) -> dict[str, int]:
        """Attempts by worker."""
        return dict(self._seen)

    def new(self, workers: Iterable[WorkerView]) -> tuple[float, ...]:
        """Returns the seconds of attempts that ended since the last time, as far as the workers have kept them."""
        found: list[float] = []
        seen: dict[str, int] = {}
        for worker in workers:
            count, last_s = _served(worker.fields)
            before = self._seen.get(worker.id, 0)
            seen[worker.id] = max(count, before)
            if count > before:
                found += last_s[before - count :]
        self._seen = seen
        return tuple(found)


def _served(fields: Mapping[str, str]) -> tuple[int, list[float]]:
    """Returns a worker's number of attempts and its last service times; a worker of an older release tells neither."""
    try:
        count, last_s = int(fields.get("served", "0")), [float(text) for text in fields.get("served_s", "").split()]
    except ValueError:
        return 0, []
    return max(0, count), [seconds for seconds in last_s if math.isfinite(seconds) and seconds >= 0]
