"""arq's health check: a line with a worker's figures, under a key that expires shortly after the next one is due."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.worker.session import Session

logger = logging.getLogger(__name__)


class Health:
    """Writes the line each `interval_s` seconds; `key` is the user's own, or None for the queue's."""

    def __init__(self, session: Session, interval_s: float, key: str | None) -> None:
        self._session = session
        self._interval_s = interval_s
        self._key = key
        self._logged = ""

    async def run(self) -> None:
        """Never returns."""
        while True:
            await self.record()
            await asyncio.sleep(self._interval_s)

    async def record(self) -> None:
        """Writes it now."""
        session = self._session
        counts = await session.outage.call(session.stream.counts, "health check")
        jobs = session.metrics.jobs
        figures = (
            f"j_complete={jobs['finished']} j_failed={jobs['failed']} j_retried={jobs['retried'] + jobs['released']} "
            f"j_ongoing={session.life.running} "
            f"queued={counts.waiting + counts.released + counts.ahead + counts.deferred}"
        )
        line = f"{datetime.now():%b-%d %H:%M:%S} {figures}"
        expiry_s = self._interval_s + 1
        await session.outage.call(lambda: session.stream.write_health(expiry_s, line, self._key), "health check")
        if self._logged and self._logged != figures:
            logger.info("recording health: %s", line)
        self._logged = figures

    async def remove(self) -> None:
        """Takes the line away if no worker is left; raises the redis client's errors."""
        stream = self._session.stream
        if (await stream.counts()).workers == 0:
            await stream.delete_health(self._key)
