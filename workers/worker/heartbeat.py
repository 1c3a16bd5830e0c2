"""What a worker tells the server again and again: that it lives, what it does, and that its jobs are still its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from workers.stream import LIBRARY

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from workers.worker.worker import Worker

logger = logging.getLogger(__name__)

T = TypeVar("T")

BEATS_IN_A_LEASE = 3
_BEATS_TO_EXPIRY = 3.5
_CALLS_OF_SLACK = 5


class Heartbeat:
    """Renews leases and the worker's registration, three times a lease, and sooner when the state changes."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._lease_s = worker.settings.lease_s
        self._early = asyncio.Event()
        self._turned_s = time.monotonic()

    @property
    def interval_s(self) -> float:
        """Seconds between two beats."""
        return self._lease_s / BEATS_IN_A_LEASE

    @property
    def age_s(self) -> float:
        """Seconds since the heartbeat last did something, be it that it found the server unavailable."""
        return time.monotonic() - self._turned_s

    @property
    def limit_s(self) -> float:
        """The age at which the heartbeat is stuck: one lease (three beats), and the time that some calls may take.

        By then the leases have run out, so that nothing is left to lose by a restart.
        """
        return self._lease_s + _CALLS_OF_SLACK * self._worker.settings.redis_timeout_s

    def hasten(self) -> None:
        """Lets the next beat come at once: the state has changed."""
        self._early.set()

    async def run(self) -> None:
        """Never returns; ends by cancellation, or by an error that is not the server's absence."""
        while True:
            self._early.clear()
            await self.register()
            await self._renew()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.interval_s):
                    await self._early.wait()

    async def register(self) -> None:
        """Writes the worker's registration."""
        worker = self._worker

        async def register() -> None:
            fields: dict[str, str | int] = {
                "state": worker.state,
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "concurrency": worker.max_jobs,
                "starting_since": worker.starting_since_ms,
                "ready_since": worker.ready_since_ms,
                "running": worker.runner.running,
                "job": worker.runner.job_at_hand,
                "takes": LIBRARY if worker.takes_jobs else "",
                "served": worker.metrics.served.count,
                "served_s": worker.metrics.served.text(),
            }
            await worker.stream.register(worker.id, self.interval_s * _BEATS_TO_EXPIRY, fields)

        await self._call(register, "registering")

    async def _renew(self) -> None:
        worker = self._worker
        held: list[tuple[str, int]] = []

        async def renew() -> list[str]:
            # Asked anew at each try: the server may have been away for long.
            held[:] = worker.runner.held
            return await worker.stream.renew(worker.id, held) if held else []

        lost = await self._call(renew, "renewing leases")
        attempts = dict(held)
        for job_id in lost:
            worker.runner.stop(job_id, "lost", attempts[job_id])

    async def _call(self, call: Callable[[], Awaitable[T]], what: str) -> T:
        async def turn() -> T:
            self._turned_s = time.monotonic()
            return await call()

        return await self._worker.link.call(turn, what)


class Health:
    """arq's health check: a line under a key that expires shortly after the next one is due."""

    def __init__(self, worker: Worker, key: str | None) -> None:
        self._worker = worker
        self._key = key
        self._logged = ""

    async def run(self) -> None:
        """Writes it once in `health_check_interval`; never returns."""
        while True:
            await self.record()
            await asyncio.sleep(self._worker.health_check_interval)

    async def record(self) -> None:
        """Writes it now."""
        worker = self._worker
        counts = await worker.link.call(worker.stream.counts, "health check")
        figures = (
            f"j_complete={worker.jobs_complete} j_failed={worker.jobs_failed} j_retried={worker.jobs_retried} "
            f"j_ongoing={worker.runner.running} queued={counts.waiting + counts.released + counts.deferred}"
        )
        line = f"{datetime.now():%b-%d %H:%M:%S} {figures}"
        expiry_s = worker.health_check_interval + 1

        async def write() -> None:
            if self._key is None:
                await worker.stream.health_check(expiry_s, line)
            else:
                await worker.stream.redis.set(self._key, line, px=round(expiry_s * 1000))

        await worker.link.call(write, "health check")
        if self._logged and self._logged != figures:
            logger.info("recording health: %s", line)
        self._logged = figures

    async def remove(self) -> None:
        """Takes the line away if no worker is left; raises the redis client's errors."""
        if (await self._worker.stream.counts()).workers == 0:
            await self._worker.stream.redis.delete(self._worker.health_check_key)
