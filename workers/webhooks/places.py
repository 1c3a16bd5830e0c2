"""How many deliveries go to one host at the same time: one that hangs holds up nobody else."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MOST_RUNNING, MOST_WAITING = 16, 100


class HostBusy(Exception):  # noqa: N818
    """So many deliveries wait for this host that another one has to come later."""


class Places:
    """Of each host MOST_RUNNING deliveries may run, and MOST_WAITING may wait for one of them to end."""

    def __init__(self) -> None:
        self._held: Counter[str] = Counter()
        self._running: dict[str, asyncio.Semaphore] = {}

    @contextlib.asynccontextmanager
    async def place(self, host: str) -> AsyncIterator[None]:
        """Waits for a place. Raises HostBusy."""
        if self._held[host] >= MOST_RUNNING + MOST_WAITING:
            raise HostBusy
        self._held[host] += 1
        try:
            async with self._running.setdefault(host, asyncio.Semaphore(MOST_RUNNING)):
                yield
        finally:
            self._held[host] -= 1
            if not self._held[host]:
                del self._held[host], self._running[host]
