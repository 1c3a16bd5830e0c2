"""A worker without functions: the connections of `workers.worker`, its registration, its subscription, its calls."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from workers.stream import Finish, Stream
from workers.worker.heartbeat import BEATS_IN_A_LEASE

if TYPE_CHECKING:
    from workers.settings import StreamSettings
    from workers.stream import Claimed

# Registrations outlast the measurement, in which most workers are silent.
_EXPIRY_S = 86_400.0


class LightWorker:
    """Connected, subscribed and registered; silent unless it is live (it answers wake-ups) or `keep_pace` runs.

    `number` is its place among those that wait: the lowest is woken first.
    """

    def __init__(self, settings: StreamSettings, number: int) -> None:
        self.id = f"light-{number:05}-00000000"
        self.stream = Stream(settings)
        self.number = number
        self.wakes = 0
        # Set: it is live, and tells there when it has claimed a job (perf_counter), once it waits again.
        self.served: asyncio.Queue[float] | None = None
        self._claimed_s: list[float] = []
        self._work = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Returns when the server knows of it, and what is published to it is heard."""
        subscription = self.stream.wakeups(self.id, self._woken, lambda _id: None)
        self._tasks = [asyncio.create_task(subscription.run()), asyncio.create_task(self._serve())]
        await self.register()
        await subscription.subscribed.wait()
        self.wakes = 0
        self._work.clear()

    async def register(self) -> None:
        """A heartbeat, with all that a worker's says."""
        await self.stream.register(self.id, _EXPIRY_S, registration(self.number))

    async def claim(self) -> list[Claimed]:
        """Asks for one job; with none there it is idle from now on."""
        return await self.stream.claim(self.id, 1, 0, self.number)

    def _woken(self) -> None:
        self.wakes += 1
        self._work.set()

    async def _serve(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            while self.served and (jobs := await self.claim()):
                claimed_s = time.perf_counter()
                await self.stream.finish(self.id, [done(job) for job in jobs])
                self._claimed_s.append(claimed_s)
            if self.served:
                while self._claimed_s:
                    self.served.put_nowait(self._claimed_s.pop())

    async def keep_pace(self, offset_s: float) -> None:
        """Sweeps, registers and claims as often as an idle worker does; never returns."""
        await asyncio.sleep(offset_s)
        beat_s = self.stream.settings.lease_s / BEATS_IN_A_LEASE
        beaten_s = time.monotonic() - offset_s * beat_s
        while True:
            await asyncio.sleep(await self.stream.sweep())
            if time.monotonic() - beaten_s > beat_s:
                beaten_s = time.monotonic()
                await self.register()
                await self.claim()

    async def close(self) -> None:
        """Without a goodbye: its server ends with it."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self.stream.close()


def registration(number: int) -> dict[str, str | int]:
    """The fields that `workers.worker.heartbeat` writes, as long as they are there."""
    return {
        "state": "idle",
        "host": "worker-5d8c7b9f6d-x2x7z",
        "pid": 1,
        "concurrency": 1,
        "starting_since": 1_700_000_000_000 + number,
        "ready_since": 1_700_000_030_000 + number,
        "running": 0,
        "job": "",
    }


def done(job: Claimed) -> Finish:
    """A no-op job's end."""
    return Finish(job.id, job.attempt, "finished", b"null", 60_000)
